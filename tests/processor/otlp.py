"""OTLP requests and Arrow payloads for tests, from plain values."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList

from modelspan.processor.journal import Record, Signal
from modelspan.semconv import attributes, columns, events

TIME = 1_700_000_000_123_456_789
RESOURCE = {"service.name": "shop", "deployment.environment.name": "prod"}
MODEL = {attributes.ML_MODEL_NAME: "fraud", attributes.ML_MODEL_VERSION: "3", attributes.ML_OPERATION_NAME: "predict"}


def any_value(value: Any) -> AnyValue:
    """The value in the kind of its Python type; None is the empty value."""
    if value is None:
        return AnyValue()
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, dict):
        return AnyValue(kvlist_value=KeyValueList(values=pairs(value)))
    if isinstance(value, list):
        return AnyValue(array_value=ArrayValue(values=[any_value(v) for v in value]))
    kinds = {str: "string_value", int: "int_value", float: "double_value", bytes: "bytes_value"}
    return AnyValue(**{kinds[type(value)]: value})


def pairs(values: dict[str, Any]) -> list[KeyValue]:
    return [KeyValue(key=key, value=any_value(value)) for key, value in values.items()]


def log(name: str, values: dict[str, Any], *, time: int = TIME, sequence: int = 1, **fields: Any) -> Record:
    """A request with one log record."""
    return logs([(name, values)], time=time, sequence=sequence, **fields)


def logs(named: list[tuple[str, dict[str, Any]]], *, time: int = TIME, sequence: int = 1, **fields: Any) -> Record:
    """A request with a log record for each name and its attributes."""
    request = ExportLogsServiceRequest()
    resource = request.resource_logs.add()
    resource.resource.attributes.extend(pairs(RESOURCE))
    records = resource.scope_logs.add().log_records
    for name, values in named:
        records.add(event_name=name, time_unix_nano=time, attributes=pairs(values), **fields)
    return Record(sequence, Signal.LOGS, request.SerializeToString())


def batch(payload: bytes, values: dict[str, Any] | None = None, *, sequence: int = 1) -> Record:
    """A request with one batch event."""
    return log(
        events.ML_PREDICTION_BATCH,
        {**MODEL, attributes.ML_PREDICTION_BATCH_DATA: payload, **(values or {})},
        sequence=sequence,
    )


def spans(several: list[dict[str, Any]], *, sequence: int = 1) -> Record:
    """A request with a span for each set of fields; `attributes` are plain values."""
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    resource.resource.attributes.extend(pairs(RESOURCE))
    for i, fields in enumerate(several):
        defaults: dict[str, Any] = {
            "name": "predict fraud",
            "trace_id": bytes.fromhex("0af7651916cd43dd8448eb211c80319c"),
            "span_id": (i + 1).to_bytes(8, "big"),
            "start_time_unix_nano": TIME + i,
            "end_time_unix_nano": TIME + i + 5000,
        }
        made = {**defaults, **fields, "attributes": pairs(fields.get("attributes", {}))}
        resource.scope_spans.add().spans.add(**made)
    return Record(sequence, Signal.TRACES, request.SerializeToString())


def arrow(values: dict[str, Any], **options: Any) -> bytes:
    """Columns as an Arrow IPC stream. `time` and `prediction_id` are added where they are absent."""
    rows = len(next(iter(values.values()))) if values else 1
    table = pa.table({**required(rows), **values})
    return stream(table, **options)


def required(rows: int, start: int = TIME) -> dict[str, pa.Array]:
    """The two columns that every batch has."""
    return {
        columns.TIME: pa.array(range(start, start + rows), pa.timestamp("ns", "UTC")),
        columns.PREDICTION_ID: pa.array([f"p{i}" for i in range(rows)], pa.string()),
    }


def stream(table: pa.Table, **options: Any) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue().to_pybytes())


def field(number: int, content: bytes) -> bytes:
    """A field with a length, on the wire."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def nested(*path: int, content: bytes) -> bytes:
    """Fields inside one another, the outermost first."""
    for number in reversed(path):
        content = field(number, content)
    return content
