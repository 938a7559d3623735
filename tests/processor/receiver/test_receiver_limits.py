"""Memory of a request is bounded before it is acknowledged, for every signal, encoding and transport."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import prometheus_client
import pyarrow as pa
import pytest
from google.protobuf.json_format import MessageToJson
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import NumberDataPoint

from modelspan.processor.receiver import Limits
from modelspan.processor.receiver.inflate import zstd
from modelspan.semconv import attributes, columns, events
from tests.processor import otlp
from tests.processor.otlp import field, nested
from tests.processor.receiver.conftest import Running, running

LIMITS = Limits(size=4 << 20, records=10_000, values=30_000, cells=200_000)
MANY = 50_000
DAY = 86_400 * 10**9


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("limited"), limits=LIMITS) as started:
        yield started


def value(content: bytes) -> bytes:
    """A log record with this body."""
    return nested(1, 2, 2, 5, content=content)


def batches(*payloads: bytes) -> bytes:
    return b"".join(otlp.batch(payload).payload for payload in payloads)


def nulls(rows: int) -> bytes:
    return otlp.arrow({f"f.{i}": pa.nulls(rows) for i in range(3)}, compression="zstd")


def repeated_text(rows: int) -> bytes:
    text = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int8()), pa.array(["x" * 100_000]))
    return otlp.arrow({"f.text": text}, compression="zstd")


def constant(rows: int) -> bytes:
    return otlp.arrow({"f.x": pa.array([1.0] * rows), "f.y": pa.array([1.0] * rows)}, compression="lz4")


def daily_spans(days: int) -> bytes:
    return otlp.spans([{"start_time_unix_nano": (i + 1) * DAY} for i in range(days)]).payload


def daily_points(days: int) -> bytes:
    points = [NumberDataPoint(time_unix_nano=(i + 1) * DAY, as_int=1) for i in range(days)]
    request = ExportMetricsServiceRequest()
    request.resource_metrics.add().scope_metrics.add().metrics.add(name="m").gauge.data_points.extend(points)
    return request.SerializeToString()


def daily_rows(days: range) -> bytes:
    """A row for each of these days since 1970."""
    times = pa.array([(day + 1) * DAY // 1000 for day in days], pa.timestamp("us", "UTC"))
    return otlp.arrow({columns.TIME: times, columns.LABEL: ["a"] * len(days)}, compression="zstd")


TOO_MUCH: dict[str, tuple[str, Callable[[], bytes], str]] = {
    "empty log records": ("logs", lambda: nested(1, 2, content=b"\x12\x00" * MANY), "records"),
    "empty spans": ("traces", lambda: nested(1, 2, content=b"\x12\x00" * MANY), "records"),
    "empty metrics": ("metrics", lambda: nested(1, 2, content=b"\x12\x00" * MANY), "records"),
    "empty resources": ("traces", lambda: b"\x0a\x00" * MANY, "records"),
    "empty scopes": ("metrics", lambda: nested(1, content=b"\x12\x00" * MANY), "records"),
    "points of a gauge": ("metrics", lambda: nested(1, 2, 2, 5, content=b"\x0a\x00" * MANY), "records"),
    "exemplars": ("metrics", lambda: nested(1, 2, 2, 5, 1, content=b"\x2a\x00" * MANY), "records"),
    "quantiles": ("metrics", lambda: nested(1, 2, 2, 11, 1, content=b"\x32\x00" * MANY), "records"),
    "events of a span": ("traces", lambda: nested(1, 2, 2, content=b"\x5a\x00" * MANY), "records"),
    "links of a span": ("traces", lambda: nested(1, 2, 2, content=b"\x6a\x00" * MANY), "records"),
    "attributes": ("logs", lambda: nested(1, 2, 2, content=b"\x32\x00" * MANY), "values"),
    "attributes of a resource": ("logs", lambda: nested(1, 1, content=b"\x0a\x00" * MANY), "values"),
    "attributes of a scope": ("traces", lambda: nested(1, 2, 1, content=b"\x1a\x00" * MANY), "values"),
    "an array": ("logs", lambda: value(nested(5, content=b"\x0a\x00" * MANY)), "values"),
    "a map": ("logs", lambda: value(nested(6, content=b"\x0a\x00" * MANY)), "values"),
    "a body said again and again": ("logs", lambda: nested(1, 2, 2, content=b"\x2a\x00" * MANY), "values"),
    "a status said again and again": ("traces", lambda: nested(1, 2, 2, content=b"\x7a\x00" * MANY), "values"),
    "arrays in arrays": (
        "logs",
        lambda: value(nested(5, content=nested(1, 5, content=b"\x0a\x00" * 9) * 5000)),
        "values",
    ),
    "buckets": ("metrics", lambda: nested(1, 2, 2, 10, 1, 8, 2, content=b"\x01" * MANY), "values"),
    "buckets, not packed": ("metrics", lambda: nested(1, 2, 2, 10, 1, 8, content=b"\x10\x01" * MANY), "values"),
    "bounds": ("metrics", lambda: nested(1, 2, 2, 9, 1, 7, content=bytes(8 * MANY)), "values"),
    "one record with a third": ("logs", lambda: nested(1, 2, 2, content=b"\x32\x00" * 10_500), "values in one record"),
    "a map as JSON": (
        "traces",
        lambda: otlp.spans([{"attributes": {attributes.ML_INPUT_FEATURES: json.dumps({"x": [1] * MANY})}}]).payload,
        "values in maps as JSON",
    ),
    "batches of nulls": ("logs", lambda: batches(*[nulls(5000)] * 3), "cells"),
    "batches of equal numbers": ("logs", lambda: batches(*[constant(5000)] * 3), "cells"),
    "a batch of many columns": (
        "logs",
        lambda: batches(otlp.arrow({f"f.{i}": pa.nulls(1) for i in range(8000)})),
        "cells",
    ),
    "a resource that each record repeats": (
        "logs",
        lambda: nested(1, content=nested(1, 1, 1, content=b"k" * 10_000) + field(2, b"\x12\x00" * 9000)),
        "bytes of resources and scopes, once for each record,",
    ),
    "a description that each point repeats": (
        "metrics",
        lambda: nested(1, 2, 2, content=field(2, b"d" * 10_000) + nested(5, content=b"\x0a\x00" * 9000)),
        "bytes of names and descriptions, once for each point,",
    ),
    "an attribute that each row repeats": (
        "logs",
        lambda: otlp.batch(constant(5000), {attributes.ML_OUTCOME_NAME: "n" * 10_000}).payload,
        "bytes of attributes of batches, once for each row,",
    ),
    "spans of many days": ("traces", lambda: daily_spans(401), "days on which its records lie"),
    "log records of many days": (
        "logs",
        lambda: b"".join(otlp.log("e", {}, time=(i + 1) * DAY).payload for i in range(401)),
        "days on which its records lie",
    ),
    "points of many days": ("metrics", lambda: daily_points(401), "days on which its records lie"),
    "predictions of many months": (
        "logs",
        lambda: batches(daily_rows(range(0, 6200, 31)), daily_rows(range(6200, 402 * 31, 31))),
        "months on which the rows of its batches lie",
    ),
    "actuals of many months": (
        "logs",
        lambda: (
            otlp.log(
                events.ML_PREDICTION_ACTUAL, {attributes.ML_PREDICTION_BATCH_DATA: daily_rows(range(0, 402 * 31, 31))}
            ).payload
        ),
        "months on which the rows of its batches lie",
    ),
    "a long text in each row": ("logs", lambda: batches(repeated_text(200)), "bytes once its batches are expanded"),
}


@pytest.mark.parametrize("transport", ["gRPC", "HTTP"])
@pytest.mark.parametrize("case", TOO_MUCH)
def test_a_request_that_holds_too_much_is_refused_for_good(limited: Running, case: str, transport: str):
    signal, request, what = TOO_MUCH[case]
    reason = refused(limited, transport, signal, gzip.compress(request()))
    assert f" or more {what}" in reason
    assert "raise receiver.max_request_" in reason
    assert limited.stored() == []


def refused(service: Running, transport: str, signal: str, zipped: bytes) -> str:
    """The reason why the request is refused for good."""
    if transport == "HTTP":
        response = service.post(signal, zipped, content_encoding="gzip")
        assert (response.status_code, "retry-after" in response.headers) == (400, False)
        return Status.FromString(response.content).message
    with pytest.raises(grpc.RpcError) as caught:
        service.export(signal, gzip.decompress(zipped), grpc.Compression.Gzip)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    return str(caught.value.details())


@pytest.mark.parametrize(
    "text",
    [
        '{"resourceLogs": [' + "{}," * MANY + "{}]}",
        '{"unknown": [' + "[]," * MANY + "[]]}",
        '{"unknown": {' + ",".join(f'"{i}": 1' for i in range(MANY)) + "}}",
        '{"unknown": "' + "[" * MANY + '"}',
    ],
    ids=["records", "arrays", "members", "brackets"],
)
def test_json_that_holds_too_much_is_refused_before_it_is_read(limited: Running, text: str):
    response = limited.post("logs", gzip.compress(text.encode()), "application/json", content_encoding="gzip")
    assert response.status_code == 400
    assert "or more values in JSON and the limit is 20,000" in response.json()["message"]
    assert limited.stored() == []


def test_json_is_measured_as_protobuf_is(limited: Running):
    request = MessageToJson(ExportMetricsServiceRequest.FromString(daily_points(401)))
    response = limited.post("metrics", request.encode(), "application/json")
    assert response.status_code == 400
    assert "401 or more days on which its records lie and the limit is 400" in response.json()["message"]


def test_a_schema_whose_columns_share_their_bytes_is_refused(limited: Running):
    payload = otlp.stream(pa.table({f"c{i}": pa.array([], pa.int8()) for i in range(17_000)}))
    reason = refused(limited, "HTTP", "logs", gzip.compress(batches(payload)))
    assert "more than 16384 columns" in reason


def test_values_inside_one_another_are_taken_to_a_depth_and_refused_beyond_it_with_the_reason(limited: Running):
    def deep(levels: int) -> bytes:
        content = b""
        for _ in range(levels):
            content = nested(5, 1, content=content)
        return value(content)

    limited.export("logs", deep(40))
    assert len(limited.stored()) == 1
    assert "nested more than 100 deep" in refused(limited, "gRPC", "logs", gzip.compress(deep(60)))


@pytest.mark.parametrize(
    ("signal", "request_bytes"),
    [
        ("logs", nested(1, 2, content=b"\x12\x00" * 9_990)),
        ("logs", nested(1, 2, content=field(2, b"\x32\x00" * 2900) * 10)),
        ("logs", batches(*[constant(3000)] * 3)),
        ("traces", daily_spans(400)),
        ("metrics", daily_points(400)),
        ("logs", batches(daily_rows(range(10 * 365)))),
    ],
    ids=["records", "values", "cells", "days of spans", "days of points", "ten years of daily rows"],
)
def test_a_request_within_the_limits_is_taken(limited: Running, signal: str, request_bytes: bytes):
    limited.export(signal, request_bytes)
    assert [record.payload for record in limited.stored()] == [request_bytes]


def test_a_refusal_is_counted_and_logged_with_its_reason_for_both_transports(
    limited: Running, caplog: pytest.LogCaptureFixture
):
    request = gzip.compress(nested(1, 2, content=b"\x12\x00" * MANY))
    before = rejected()
    reasons = [refused(limited, transport, "logs", request) for transport in ("gRPC", "HTTP")]
    assert rejected() == before + 2
    assert [record.getMessage() for record in caplog.records] == [
        f"refused a request of logs: {reason}" for reason in reasons
    ]
    assert len({record.msg for record in caplog.records}) == 1, "the log can tell that they say the same"


def rejected() -> float:
    labels = {"modelspan_signal": "logs", "modelspan_outcome": "rejected"}
    return prometheus_client.REGISTRY.get_sample_value("modelspan_receiver_requests_total", labels) or 0.0


def test_a_message_beyond_the_limit_of_grpc_is_counted_and_logged(limited: Running, caplog: pytest.LogCaptureFixture):
    with pytest.raises(grpc.RpcError) as caught:
        limited.export("logs", value(field(1, bytes(5 << 20))))
    assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert any("exceeds 4194304 bytes" in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize("coding", ["gzip", "deflate", "zstd"])
def test_a_body_may_be_compressed_in_any_of_these_ways(limited: Running, coding: str):
    compress: Any = {"gzip": gzip.compress, "deflate": zlib.compress, "zstd": zstd.compress}[coding]
    body = nested(1, 2, 2, 5, 1, content=b"text" * 1000)
    assert limited.post("logs", compress(body), content_encoding=coding).status_code == 200
    assert [record.payload for record in limited.stored()] == [body]


def test_a_header_that_is_sent_twice_counts_twice(limited: Running):
    headers = [("content-type", "application/x-protobuf"), ("content-encoding", "gzip"), ("content-encoding", "gzip")]
    body = gzip.compress(gzip.compress(value(b"")))
    response = limited.http.post("/v1/logs", content=body, headers=headers)
    assert response.status_code == 415
    assert "send one of gzip, deflate, zstd, identity" in Status.FromString(response.content).message
    assert limited.stored() == []
