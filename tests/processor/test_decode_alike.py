"""Spans that are read many at once become the same rows as spans that are read one by one."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.semconv.attributes import error_attributes

from modelspan.processor.decode import Decoded, alike, decode
from modelspan.processor.decode.wire import PADDING, Texts, shape_of
from modelspan.processor.journal import Record, Signal
from modelspan.semconv import attributes as names
from tests.processor.otlp import MODEL, RESOURCE, TIME, pairs

NOW = 1_700_000_000_999
MANY = 40


def block(several: Sequence[dict[str, Any]]) -> list[Record]:
    """Two requests of two resources with the spans, every second one in each."""
    records = []
    for sequence in (1, 2):
        request = ExportTraceServiceRequest()
        resource = request.resource_spans.add()
        resource.resource.attributes.extend(pairs({**RESOURCE, "host.name": f"host-{sequence}"}))
        for place in range(sequence - 1, len(several), 2):
            fields = {
                "name": "predict fraud",
                "trace_id": place.to_bytes(16, "big"),
                "span_id": place.to_bytes(8, "big"),
                "start_time_unix_nano": TIME + place,
                "end_time_unix_nano": TIME + place + 5000,
                **several[place],
            }
            fields["attributes"] = pairs(fields.get("attributes", {}))
            scope = resource.scope_spans.add() if place % 8 < 2 else resource.scope_spans[-1]
            scope.scope.name = "by hand"
            scope.spans.add(**fields)
        records.append(Record(sequence, Signal.TRACES, request.SerializeToString()))
    return records


def one_by_one(records: Sequence[Record], monkeypatch: pytest.MonkeyPatch) -> Decoded:
    with monkeypatch.context() as patched:
        patched.setattr(alike, "_FEWEST", 10**9)
        return decode(records, token="t", now=NOW)


def rows(decoded: Decoded) -> dict[str, list[str]]:
    """The rows of each table as text, in one order; maps keep the order of their keys."""
    return {table: sorted(map(repr, content.to_pylist())) for table, content in decoded.tables.items()}


def assert_same(several: Sequence[dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> Decoded:
    records = block(several)
    decoded, expected = decode(records, token="t", now=NOW), one_by_one(records, monkeypatch)
    assert rows(decoded) == rows(expected)
    assert decoded.rejected == expected.rejected
    assert decoded.touched == expected.touched
    assert decoded.row_form == expected.row_form
    models = [[one.models[code] for code in one.model_codes] for one in (decoded, expected)]
    assert sorted(models[0]) == sorted(models[1])
    return decoded


def taken(several: Sequence[dict[str, Any]]) -> list[int]:
    """Sizes of the groups."""
    records = block(several)
    wires = [
        span.SerializeToString()
        for record in records
        for resource in ExportTraceServiceRequest.FromString(record.payload).resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]
    return [len(group) for group in alike.groups(*joined(wires))]


def joined(wires: Sequence[bytes]) -> tuple[Any, Any, Any]:
    ends = np.cumsum([len(wire) for wire in wires])
    starts = ends - [len(wire) for wire in wires]
    return np.frombuffer(b"".join(wires) + bytes(PADDING), np.uint8), starts, ends


def test_spans_of_one_program_are_one_group() -> None:
    several = [
        {"attributes": {**MODEL, names.ML_OUTPUT_LABEL: "x" * (i % 100), names.ML_INPUT_FEATURES: {"a": i / 7, "b": i}}}
        for i in range(MANY)
    ]
    assert taken(several) == [MANY]


NUMBERS = [0.0, -0.0, 1.5, 1e-7, 1e21, 5e-324, math.pi, 123456789.0, math.nan, math.inf]

VARIED: list[Callable[[random.Random], dict[str, Any]]] = [
    lambda r: {"attributes": {names.ML_OUTPUT_LABEL: r.choice(["", "yes", "ja", "no" * 70, "\u00e9t\u00e9", "<&>"])}},
    lambda r: {"attributes": {names.ML_OUTPUT_LABEL: r.choice([0, 1, -5])}},
    lambda r: {
        "attributes": {names.ML_OUTPUT_SCORE: r.choice(NUMBERS), names.ML_OUTPUT_VALUE: r.randrange(-9, 10**12)}
    },
    lambda r: {"attributes": {names.ML_OUTPUT_VALUE: r.random() < 0.5}},
    lambda r: {"attributes": {names.ML_INPUT_FEATURES: {"b": r.choice(NUMBERS), "a": r.random(), "\u00e9": 1.0}}},
    lambda r: {
        "attributes": {names.ML_INPUT_FEATURES: {"n": r.randrange(-300, 300), "t": "v" * r.randrange(200), "z": True}}
    },
    lambda r: {"attributes": {names.ML_INPUT_FEATURES: {"none": None, "some": r.random()}}},
    lambda r: {"attributes": {names.ML_INPUT_FEATURES: {}}},
    lambda r: {"attributes": {names.ML_INPUT_FEATURES: r.choice(['{"b": 1, "a": "x"}', "", '{"a": null}'])}},
    lambda r: {"attributes": {names.ML_INPUT_FEATURES: r.choice(['{"a": 1}', "not JSON", "[1]", '{"a": [1, 2]}'])}},
    lambda r: {"attributes": {names.ML_INPUT_FEATURES: {"deep": {"er": r.random()}}}},
    lambda r: {"attributes": {names.ML_INPUT_FEATURES: 7}},
    lambda r: {"attributes": {names.ML_INPUT_FEATURES: {"a": [r.random()], "b": ["x"]}}},
    lambda r: {"attributes": {names.ML_MODEL_NAME: r.choice(["", "fraud", "other"]), names.ML_MODEL_VERSION: "7"}},
    lambda r: {"attributes": {names.ML_MODEL_VERSION: r.randrange(5)}},
    lambda r: {"attributes": {names.ML_PREDICTION_BATCHED: r.random() < 0.5}},
    lambda r: {"attributes": {names.ML_PREDICTION_BATCHED: True}},
    lambda r: {"attributes": {names.ML_PREDICTION_ID: r.choice(["", "id-1", str(r.random())])}},
    lambda r: {"attributes": {names.ML_SAMPLING_ADJUSTED_COUNT: r.choice([0.5, 3.0, 10.0])}},
    lambda r: {"attributes": {names.ML_SAMPLING_ADJUSTED_COUNT: r.choice([1.0, 0.0, math.inf])}},
    lambda r: {"attributes": {names.ML_SEGMENT + ".region": r.choice(["eu", "us"]), names.ML_SEGMENT + ".age": "x"}},
    lambda r: {"attributes": {names.ML_SEGMENT + ".number": r.randrange(3)}},
    lambda r: {"attributes": {names.ML_OUTPUT_SCORES: {"a": r.random(), "b": r.random()}}},
    lambda r: {"attributes": {error_attributes.ERROR_TYPE: "ValueError", names.ML_PREDICTION_VARIANT: r.choice("AB")}},
    lambda r: {"attributes": {"bytes": b"\0\1", "list": [1, "x"], "large": 2**63 - 1}},
    lambda r: {"start_time_unix_nano": r.choice([0, 1, 2**63 + 5, TIME])},
    lambda r: {"end_time_unix_nano": r.choice([0, TIME])},
    lambda r: {"kind": r.choice([0, 1, 5, 77]), "trace_state": "a=b" * r.randrange(3), "flags": r.choice([0, 0x101])},
    lambda r: {"status": {"code": r.choice([0, 1, 2, 9]), "message": "m" * r.randrange(300)}},
    lambda r: {"parent_span_id": r.choice([b"\0" * 8, b"12345678"]), "name": "n" * r.randrange(150)},
    lambda r: {"trace_id": r.choice([b"\0" * 16, b"0123456789abcdef", b""])},
    lambda r: {"events": [{"name": "e", "time_unix_nano": 5, "attributes": pairs({"k": r.random()})}]},
    lambda r: {"links": [{"trace_id": b"0123456789abcdef", "attributes": pairs({"k": "v"})}]},
    lambda r: {"dropped_attributes_count": r.randrange(3)},
]


@pytest.mark.parametrize("kind", range(len(VARIED)))
def test_many_spans_of_a_kind_become_the_rows_of_each(kind: int, monkeypatch: pytest.MonkeyPatch) -> None:
    chance = random.Random(kind)
    several = []
    for _ in range(MANY):
        fields = VARIED[kind](chance)
        several.append({**fields, "attributes": {**MODEL, **fields.get("attributes", {})}})
    decoded = assert_same(several, monkeypatch)
    assert decoded.tables["otel_traces"].num_rows == MANY


@pytest.mark.parametrize("seed", range(12))
def test_a_mixture_becomes_the_same_rows(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    chance = random.Random(seed)
    kinds = chance.sample(VARIED, 6)
    several = []
    for _ in range(300):
        fields: dict[str, Any] = {}
        attributes: dict[str, Any] = dict(MODEL) if chance.random() < 0.9 else {}
        for make in chance.sample(kinds, chance.randrange(3)):
            made = make(chance)
            attributes |= made.pop("attributes", {})
            fields |= made
        several.append({**fields, "attributes": attributes})
    assert_same(several, monkeypatch)


def test_what_only_one_program_sends_does_not_slow_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = [{"attributes": {**MODEL, names.ML_INPUT_FEATURES: {"a": i / 3}}} for i in range(MANY)]
    odd = [{"attributes": {**MODEL, f"key-{i}": "x"}} for i in range(3)]
    assert taken([*odd, *plain]) == [MANY]
    assert_same([*odd, *plain], monkeypatch)


def test_a_length_that_is_written_longer_than_needed_is_read_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    request = ExportTraceServiceRequest()
    request.resource_spans.add().scope_spans.add().spans.add(name="predict", start_time_unix_nano=TIME)
    span = request.resource_spans[0].scope_spans[0].spans[0].SerializeToString()
    name = b"\x2a\x07predict"
    longer = span.replace(name, b"\x2a\x87\x00predict")
    scope = b"".join(b"\x12" + bytes([len(longer)]) + longer for _ in range(MANY))
    resource = b"\x12" + varint(len(scope)) + scope
    records = [Record(1, Signal.TRACES, b"\x0a" + varint(len(resource)) + resource)]
    decoded = decode(records, token="t", now=NOW)
    assert decoded.tables["otel_traces"].column("SpanName").to_pylist() == ["predict"] * MANY
    assert rows(decoded) == rows(one_by_one(records, monkeypatch))


def test_a_field_that_nobody_knows_is_left_out_even_where_it_is_a_group() -> None:
    record = block([{"attributes": MODEL}] * MANY)[0]
    group = b"\xfb\x01\x08\x05\xfc\x01"
    plain = decode([record], token="t", now=NOW)
    assert rows(decode([Record(1, Signal.TRACES, record.payload + group)], token="t", now=NOW)) == rows(plain)


def test_a_request_that_is_cut_off_is_unreadable_and_its_neighbours_are_stored() -> None:
    whole, other = block([{"attributes": MODEL}] * MANY)
    cut = Record(2, Signal.TRACES, other.payload[:-3])
    decoded = decode([whole, cut], token="t", now=NOW)
    assert decoded.unreadable == [cut]
    assert decoded.tables["otel_traces"].num_rows == MANY // 2


def test_text_that_is_not_utf_8_does_not_reach_the_store() -> None:
    whole, other = block([{"attributes": MODEL}] * MANY)
    wrong = Record(2, Signal.TRACES, other.payload.replace(b"predict fraud", b"predict\xfffraud"))
    with pytest.raises(DecodeError):
        decode([whole, wrong], token="t", now=NOW)


def varint(number: int) -> bytes:
    return bytes([number & 0x7F | 0x80]) + varint(number >> 7) if number > 0x7F else bytes([number])


def test_a_changed_message_matches_only_where_a_parser_reads_the_same_values() -> None:
    chance = random.Random(0)
    span = Span(name="predict fraud", trace_id=bytes(range(16)), span_id=bytes(8), kind=3, start_time_unix_nano=TIME)
    features = {"a": 0.5, "bb": "text", "c": 300, "d": True}
    span.attributes.extend(pairs({**MODEL, names.ML_INPUT_FEATURES: features}))
    original = span.SerializeToString()
    wires = [original]
    for _ in range(20_000):
        wire = bytearray(original)
        for _ in range(chance.randrange(1, 3)):
            wire[chance.randrange(len(wire))] ^= chance.randrange(1, 128)  # strings stay ASCII
        wires.append(bytes(wire))
    buffer, starts, ends = joined(wires)
    matches, tree = shape_of(original, Span.DESCRIPTOR, alike._KEYS).read(buffer, starts, ends)
    assert matches[0]
    assert 100 < matches.sum() < len(wires)
    for place, wire in enumerate(np.array(wires, object)[matches]):
        try:
            parsed = Span.FromString(wire)
        except DecodeError:
            pytest.fail(f"no parser reads {wire!r}")
        assert parsed.trace_id == tree["trace_id"][place].tobytes()
        assert parsed.kind == tree["kind"][place]
        assert parsed.start_time_unix_nano == tree["start_time_unix_nano"][place]
        assert parsed.name == at(buffer, tree["name"], place)
        values = {pair.key: pair.value for pair in parsed.attributes[-1].value.kvlist_value.values}
        columns = {pair["key"]: pair["value"] for pair in tree["attributes"][-1]["value"]["kvlist_value"]["values"]}
        np.testing.assert_equal(values["a"].double_value, columns["a"]["double_value"][place])
        assert values["bb"].string_value == at(buffer, columns["bb"]["string_value"], place)
        assert values["c"].int_value == columns["c"]["int_value"][place]
        assert values["d"].bool_value == columns["d"]["bool_value"][place]


def at(buffer: Any, texts: Texts, place: int) -> str:
    start = texts.starts[place]
    return str(bytes(buffer[start : start + texts.lengths[place]]), "utf-8")
