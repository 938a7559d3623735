"""OTLP requests for load tests: built once, then made unique by overwriting ids and times in place.

Building a request costs more than sending it, and the sender shares two cores with the service it loads.
"""

from __future__ import annotations

import time
import uuid

import numpy as np
import pyarrow as pa
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue, KeyValueList
from opentelemetry.proto.logs.v1.logs_pb2 import SeverityNumber

from modelspan.semconv import attributes, columns, events

MARK = "%%%%%%%%"
"""Stands where the number of the request goes: eight hexadecimal digits."""


def text(key: str, value: str) -> KeyValue:
    return KeyValue(key=key, value=AnyValue(string_value=value))


def number(key: str, value: int) -> KeyValue:
    return KeyValue(key=key, value=AnyValue(int_value=value))


class Template:
    """A request whose marked places are overwritten with the number of the request, and whose times with now."""

    def __init__(self, request: bytes, rows: int, times: bytes = b"") -> None:
        self.rows = rows
        self._bytes = np.frombuffer(bytearray(request), dtype=np.uint8)
        raw = self._bytes.tobytes()
        self._marks = np.array(_positions(raw, MARK.encode()))[:, None] + np.arange(len(MARK))
        self._times = _positions(raw, times)[0] if times else None

    def request(self, sequence: int) -> bytes:
        """Return the request with its own ids and the time of now, as bytes on the wire."""
        self._bytes[self._marks] = np.frombuffer(f"{sequence:08x}".encode(), dtype=np.uint8)
        if self._times is not None:
            now = time.time_ns() + np.arange(self.rows, dtype=np.int64)
            self._bytes[self._times : self._times + 8 * self.rows] = now.view(np.uint8)
        return self._bytes.tobytes()


def _positions(haystack: bytes, needle: bytes) -> list[int]:
    found, at = [], haystack.find(needle)
    while at >= 0:
        found.append(at)
        at = haystack.find(needle, at + len(needle))
    return found


def batch_template(*, model: str, rows: int, features: int, seed: int = 0) -> Template:
    """Return a request with one `ml.prediction.batch` event, as the recorder writes it: float64 features and a label."""
    rng = np.random.default_rng(seed)
    run = uuid.uuid4().hex[:8]
    start = np.arange(rows, dtype=np.int64) + int.from_bytes(b"timetime", "little")
    table = {
        columns.TIME: pa.array(start, pa.timestamp("ns", "UTC")),
        columns.DURATION: pa.array(np.full(rows, 90_000)),
        columns.PREDICTION_ID: pa.array([f"{run}{MARK}{row:08x}" for row in range(rows)]),
        columns.LABEL: pa.array(rng.choice(["accept", "refuse"], rows)),
        columns.SCORE: pa.array(rng.beta(2, 5, rows)),
    }
    for feature in range(features):
        table[f"{columns.FEATURE_PREFIX}f{feature:02d}"] = pa.array(rng.normal(size=rows))
    arrow = pa.table(table)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, arrow.schema) as writer:
        writer.write_table(arrow)
    request = ExportLogsServiceRequest()
    resource = request.resource_logs.add()
    resource.resource.attributes.append(text("service.name", "bench"))
    record = resource.scope_logs.add().log_records.add()
    record.time_unix_nano = time.time_ns()
    record.severity_number = SeverityNumber.SEVERITY_NUMBER_DEBUG
    record.event_name = events.ML_PREDICTION_BATCH
    record.attributes.extend(
        [
            text(attributes.ML_MODEL_NAME, model),
            text(attributes.ML_MODEL_VERSION, "1"),
            text(attributes.ML_OPERATION_NAME, "predict"),
            text(attributes.ML_PREDICTION_BATCH_FORMAT, "arrow_stream"),
            number(attributes.ML_PREDICTION_BATCH_ROW_COUNT, rows),
            KeyValue(key=attributes.ML_PREDICTION_BATCH_DATA, value=AnyValue(bytes_value=sink.getvalue().to_pybytes())),
        ]
    )
    return Template(request.SerializeToString(), rows, start.tobytes())


def span_template(*, model: str, rows: int, features: int, seed: int = 0) -> Template:
    """Return a request with one span for each prediction, its features in one map attribute."""
    rng = np.random.default_rng(seed)
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    resource.resource.attributes.append(text("service.name", "bench"))
    spans = resource.scope_spans.add().spans
    now = time.time_ns()
    for row in range(rows):
        values = KeyValueList(
            values=[
                KeyValue(key=f"f{i:02d}", value=AnyValue(double_value=v))
                for i, v in enumerate(rng.normal(size=features))
            ]
        )
        spans.add(
            name=f"predict {model}",
            kind=1,
            trace_id=MARK.encode() + row.to_bytes(8, "big"),
            span_id=row.to_bytes(8, "big"),
            start_time_unix_nano=now + row,
            end_time_unix_nano=now + row + 90_000,
            attributes=[
                text(attributes.ML_MODEL_NAME, model),
                text(attributes.ML_MODEL_VERSION, "1"),
                text(attributes.ML_OPERATION_NAME, "predict"),
                text(attributes.ML_OUTPUT_LABEL, "accept"),
                KeyValue(key=attributes.ML_INPUT_FEATURES, value=AnyValue(kvlist_value=values)),
            ],
        )
    return Template(request.SerializeToString(), rows)
