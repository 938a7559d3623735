"""OTLP/JSON means exactly what the specification says, and errors lead to the place that is wrong."""

from __future__ import annotations

import base64
import json
import math
import random

import pytest
from google.protobuf import json_format
from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from modelspan.processor.receiver.otlp_json import InvalidJson, JsonDecoder
from tests.processor.arbitrary import arbitrary

TRACE = {
    "resourceSpans": [
        {
            "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "scorer"}}]},
            "scopeSpans": [
                {
                    "scope": {"name": "test", "version": "1.0.0"},
                    "spans": [
                        {
                            "traceId": "5B8EFFF798038103d269b633813fc60c",
                            "spanId": "eee19b7ec3c1b174",
                            "parentSpanId": "",
                            "name": "predict",
                            "startTimeUnixNano": "1544712660000000000",
                            "endTimeUnixNano": 1544712661000000000,
                            "kind": 2,
                            "flags": 256,
                            "status": {"code": 2, "message": "no"},
                            "attributes": [
                                {"key": "rows", "value": {"intValue": "-3"}},
                                {"key": "score", "value": {"doubleValue": 0.5}},
                                {"key": "nan", "value": {"doubleValue": "NaN"}},
                                {"key": "zero", "value": {"intValue": 0}},
                                {"key": "no", "value": {"boolValue": False}},
                                {"key": "data", "value": {"bytesValue": "AP8="}},
                                {"key": "list", "value": {"arrayValue": {"values": [{"stringValue": "a"}, {}]}}},
                                {
                                    "key": "map",
                                    "value": {"kvlistValue": {"values": [{"key": "k", "value": {"stringValue": ""}}]}},
                                },
                                {"key": "empty", "value": None},
                            ],
                            "links": [{"traceId": "00" * 16, "spanId": "01" * 8}],
                            "unknownOfTheFuture": {"deep": [1, 2]},
                        }
                    ],
                }
            ],
        }
    ]
}


def decode(value: object, message: type[Message] = ExportTraceServiceRequest) -> Message:
    return message.FromString(JsonDecoder(message).to_protobuf(json.dumps(value).encode()))


def span(**fields: object) -> dict:
    return {"resourceSpans": [{"scopeSpans": [{"spans": [fields]}]}]}


def test_a_trace_with_every_kind_of_attribute():
    [decoded] = decode(TRACE).resource_spans[0].scope_spans[0].spans
    assert decoded.trace_id.hex() == "5b8efff798038103d269b633813fc60c"
    assert (decoded.span_id.hex(), decoded.parent_span_id) == ("eee19b7ec3c1b174", b"")
    assert (decoded.start_time_unix_nano, decoded.end_time_unix_nano) == (1544712660000000000, 1544712661000000000)
    assert (decoded.kind, decoded.flags, decoded.status.code) == (2, 256, 2)
    values = {item.key: item.value for item in decoded.attributes}
    assert values["rows"].int_value == -3
    assert values["score"].double_value == 0.5
    assert math.isnan(values["nan"].double_value)
    assert values["zero"].WhichOneof("value") == "int_value"
    assert values["no"].WhichOneof("value") == "bool_value"
    assert values["data"].bytes_value == b"\0\xff"
    assert [item.string_value for item in values["list"].array_value.values] == ["a", ""]
    assert values["map"].kvlist_value.values[0].value.WhichOneof("value") == "string_value"
    assert values["empty"].WhichOneof("value") is None
    assert decoded.links[0].span_id == b"\1" * 8


def test_metrics_of_every_type():
    point = {"startTimeUnixNano": "1", "timeUnixNano": "2"}
    metrics = [
        {"name": "g", "gauge": {"dataPoints": [{**point, "asInt": "-5"}]}},
        {"name": "s", "sum": {"dataPoints": [{**point, "asDouble": 1e3}], "aggregationTemporality": 2}},
        {
            "name": "h",
            "histogram": {
                "dataPoints": [{**point, "count": "3", "sum": 4, "bucketCounts": ["1", 2], "explicitBounds": [0.5]}]
            },
        },
        {
            "name": "e",
            "exponentialHistogram": {
                "dataPoints": [{**point, "scale": -2, "positive": {"offset": -7, "bucketCounts": ["1", "300"]}}]
            },
        },
        {"name": "q", "summary": {"dataPoints": [{"quantileValues": [{"quantile": 0.5, "value": "Infinity"}]}]}},
    ]
    request = decode({"resourceMetrics": [{"scopeMetrics": [{"metrics": metrics}]}]}, ExportMetricsServiceRequest)
    gauge, total, histogram, exponential, summary = request.resource_metrics[0].scope_metrics[0].metrics
    assert gauge.gauge.data_points[0].as_int == -5
    assert (total.sum.data_points[0].as_double, total.sum.aggregation_temporality) == (1000.0, 2)
    assert list(histogram.histogram.data_points[0].bucket_counts) == [1, 2]
    assert list(histogram.histogram.data_points[0].explicit_bounds) == [0.5]
    [buckets] = exponential.exponential_histogram.data_points
    assert (buckets.scale, buckets.positive.offset, list(buckets.positive.bucket_counts)) == (-2, -7, [1, 300])
    assert summary.summary.data_points[0].quantile_values[0].value == math.inf


REQUESTS = [ExportTraceServiceRequest, ExportMetricsServiceRequest, ExportLogsServiceRequest]


def with_hexadecimal_ids(value: object) -> object:
    """Protobuf's own JSON mapping, with the ids as OTLP wants them."""
    if isinstance(value, list):
        return [with_hexadecimal_ids(item) for item in value]
    if not isinstance(value, dict):
        return value
    ids = {"traceId", "spanId", "parentSpanId"}
    return {
        name: base64.b64decode(item).hex() if name in ids else with_hexadecimal_ids(item)
        for name, item in value.items()
    }


@pytest.mark.parametrize("seed", range(60))
def test_any_request_survives_the_way_through_json(seed: int):
    chance = random.Random(seed)
    message = chance.choice(REQUESTS)
    original = arbitrary(message(), chance)
    text = json_format.MessageToDict(original, use_integers_for_enums=True)
    assert decode(with_hexadecimal_ids(text), message) == original


@pytest.mark.parametrize(
    ("value", "error"),
    [
        ([], "expected an object, got an array"),
        ({"resourceSpans": {}}, "resourceSpans: expected an array, got an object"),
        ({"resourceSpans": [None]}, "resourceSpans[0]: expected an object, got null"),
        (span(traceId="xyz"), "spans[0].traceId: expected hexadecimal digits"),
        (span(traceId="W47/95gDgQPSabYzgT/GDA=="), "spans[0].traceId: expected hexadecimal digits"),
        (span(spanId=" eee19b7ec3c1b1"), "spans[0].spanId: expected hexadecimal digits"),
        (span(name=7), "spans[0].name: expected a string, got 7"),
        (span(kind="SPAN_KIND_SERVER"), 'spans[0].kind: expected the number of an enum value, got "SPAN_KIND_SERVER"'),
        (span(kind=True), "spans[0].kind: expected an integer"),
        (span(flags=-1), "spans[0].flags: expected an integer from 0 to 4294967295, got -1"),
        (span(startTimeUnixNano="1.5"), "startTimeUnixNano: expected an integer"),
        (span(startTimeUnixNano=1.5), "startTimeUnixNano: expected an integer"),
        (span(startTimeUnixNano=str(2**64)), "startTimeUnixNano: expected an integer"),
        (span(startTimeUnixNano="9" * 10_000), "startTimeUnixNano: expected an integer"),
        (span(attributes=[{"value": {"intValue": 1, "boolValue": True}}]), "intValue and boolValue exclude each other"),
        (span(attributes=[{"value": {"bytesValue": "?"}}]), "attributes[0].value.bytesValue: expected base64"),
        (span(attributes=[{"value": {"doubleValue": "nan"}}]), "doubleValue: expected a number"),
        (span(attributes=[{"value": {"doubleValue": True}}]), "doubleValue: expected a number"),
        (span(attributes=[{"value": {"boolValue": 1}}]), "boolValue: expected true or false, got 1"),
        (span(attributes=[{"value": {"arrayValue": {"values": [{"intValue": {}}]}}}]), "values[0].intValue: expected"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(value: object, error: str):
    with pytest.raises(InvalidJson) as caught:
        decode(value)
    assert error in str(caught.value)


@pytest.mark.parametrize("text", [b"", b"{", b"\xff", b'"\\ud800"', b'{"resourceSpans":NaN}', b"[" * 100_000, b"1e999"])
def test_what_is_not_json_is_said_to_be_so(text: bytes):
    with pytest.raises(InvalidJson):
        JsonDecoder(ExportTraceServiceRequest).to_protobuf(text)


def test_names_as_in_the_proto_files_are_unknown_and_therefore_ignored():
    assert decode({"resource_spans": [{}]}) == ExportTraceServiceRequest()


def nested(levels: int) -> dict:
    value: dict = {"stringValue": "core"}
    for _ in range(levels):
        value = {"arrayValue": {"values": [value]}}
    return span(attributes=[{"key": "k", "value": value}])


def test_nesting_is_accepted_as_far_as_protobuf_parsers_accept_it():
    deepest = 0
    for levels in range(100):
        try:
            decode(nested(levels))
            deepest = levels
        except (InvalidJson, DecodeError):
            break
    assert deepest > 40
    with pytest.raises(InvalidJson, match="nested deeper"):
        decode(nested(60))


def test_bytes_are_base64_in_either_alphabet_with_or_without_padding():
    request = ExportLogsServiceRequest()
    record = request.resource_logs.add().scope_logs.add().log_records.add(event_name="e", severity_number=5)
    record.attributes.add(key="data").value.bytes_value = random.Random(3).randbytes(5000)
    text = json_format.MessageToDict(request, use_integers_for_enums=True)
    assert decode(text, ExportLogsServiceRequest) == request
    [encoded] = text["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0]["attributes"]
    encoded["value"]["bytesValue"] = encoded["value"]["bytesValue"].translate(str.maketrans("+/", "-_")).rstrip("=")
    assert decode(text, ExportLogsServiceRequest) == request
