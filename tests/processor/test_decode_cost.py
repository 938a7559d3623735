"""A request is counted in its bytes exactly as a parser finds it, and no further than the limit."""

from __future__ import annotations

import random
from typing import Any

import pytest
from google.protobuf.message import Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from modelspan.processor.decode.cost import Cost, bound, cost_of
from tests.processor.arbitrary import arbitrary
from tests.processor.otlp import field, nested

NO_LIMIT = Cost(10**9, 10**9, 10**9, 100)
REQUESTS = [ExportLogsServiceRequest, ExportMetricsServiceRequest, ExportTraceServiceRequest]


def parsed(message: Message, depth: int = 1) -> tuple[int, int, int]:
    """Records, values and depth of a message that a parser has built."""
    records, values, deepest = 0, 0, depth
    for one, content in message.ListFields():
        several = content if one.is_repeated else [content]
        if one.message_type is None:
            values += len(several) if one.is_repeated else 0
            continue
        if one.is_repeated and "common.v1" not in one.message_type.full_name:
            records += len(several)
        else:
            values += len(several)
        for inner in [parsed(part, depth + 1) for part in several]:
            records, values, deepest = records + inner[0], values + inner[1], max(deepest, inner[2])
    return records, values, deepest


def counted(request: bytes, kind: Any, most: Cost = NO_LIMIT) -> tuple[int, int, int]:
    cost = cost_of(request, kind.DESCRIPTOR, most)
    return cost.records, cost.values, cost.depth


@pytest.mark.parametrize("kind", REQUESTS)
@pytest.mark.parametrize("seed", range(15))
def test_any_requests_are_counted_as_a_parser_finds_them(kind: Any, seed: int):
    chance = random.Random(seed)
    # Many resources, so that they are walked in step, each with other fields than the next.
    several = [arbitrary(kind(), chance) for _ in range(100)]
    request = b"".join(message.SerializeToString() for message in several)
    assert counted(request, kind) == parsed(kind.FromString(request))


def test_alike_spans_are_counted_as_a_parser_finds_them():
    attributes = b"".join(nested(9, content=field(1, b"k%d" % i) + nested(2, 1, content=b"v" * i)) for i in range(9))
    request = nested(1, 2, content=field(2, attributes + b"\x39" + bytes(8) + b"\x30\x01") * 500)
    assert counted(request, ExportTraceServiceRequest) == (502, 500 * 18, 6)


@pytest.mark.parametrize("repeated", [b"\x08\x01", b"\x10\xff\xff\x03", b"\x12\x03\x01\x80\x01"])
def test_numbers_count_whether_packed_or_not(repeated: bytes):
    point = field(8, repeated * 70)  # the positive buckets of an exponential histogram
    request = nested(1, 2, 2, 10, content=field(1, point) * 100)
    assert counted(request, ExportMetricsServiceRequest) == parsed(ExportMetricsServiceRequest.FromString(request))


@pytest.mark.parametrize(
    "tag", [b"\x12", b"\x92\x00", b"\x92\x80\x00"], ids=["shortest", "one byte more", "two bytes more"]
)
def test_a_tag_may_be_longer_than_need_be(tag: bytes):
    request = nested(1, 2, content=(tag + b"\x00") * 1000)
    assert counted(request, ExportLogsServiceRequest) == (1002, 0, 4)
    assert bound(request) >= 1002


def test_counting_ends_soon_after_the_limit():
    request = nested(1, 2, content=b"\x12\x00" * 1_000_000)
    records, _, _ = counted(request, ExportLogsServiceRequest, Cost(1000, 1000, 1000, 100))
    assert 1000 < records < 50_000


def test_depth_is_counted_up_to_one_more_than_its_limit():
    deep = b""
    for _ in range(400):
        deep = nested(5, 1, content=deep)
    request = nested(1, 2, 2, 5, content=deep)
    assert counted(request, ExportLogsServiceRequest)[2] == 101


def test_the_values_of_the_largest_record_are_counted():
    small, large = field(2, b"\x32\x00" * 10), field(2, b"\x32\x00" * 5000)
    request = nested(1, 2, content=small * 100 + large + small * 100)
    cost = cost_of(request, ExportLogsServiceRequest.DESCRIPTOR, Cost(10**9, 10**9, 4000, 100))
    assert cost.record_values == 5000


@pytest.mark.parametrize("seed", range(40))
def test_no_damage_makes_counting_fail_or_go_on_for_ever(seed: int):
    chance = random.Random(seed)
    kind = chance.choice(REQUESTS)
    request = bytearray(b"".join(arbitrary(kind(), chance).SerializeToString() for _ in range(100)))
    for _ in range(chance.choice([1, 10, 1000])):
        request[chance.randrange(len(request))] = chance.randrange(256)
    del request[chance.randrange(len(request)) :]
    assert counted(bytes(request), kind)[0] >= 0
