"""Every framework instrumented, as by `opentelemetry-instrument`, with a real SDK whose exporters encode and count.

As a plugin of pytest, `-p proof.instrumented`, it instruments before anything of the tests is imported, and writes what was recorded to
the file that `PROOF_RECORDED` names.
"""

from __future__ import annotations

import json
import logging
import os
from collections import Counter
from collections.abc import Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import _logs, metrics, trace
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, LogRecordExporter, LogRecordExportResult
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult, PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from modelspan.instrumentation import flush
from modelspan.semconv import attributes as ml
from modelspan.semconv import events

GROUP, OURS = "opentelemetry_instrumentor", "modelspan-"
FILE = "PROOF_RECORDED"
"""Environment variable."""


_SO_FAR = {
    "rows dropped": ml.MODELSPAN_RECORDER_ROWS_DROPPED,
    "rows left out": ml.MODELSPAN_RECORDER_ROWS_UNSAMPLED,
}


class Recorded:
    """What arrived at the exporters, and what the instrumentation said of itself."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.warnings: list[str] = []

    def count(self, record: Any) -> None:
        """Count an event, and the rows of predictions that it carries."""
        attributes = record.attributes or {}
        self.counts[record.event_name] += 1
        if record.event_name == events.ML_PREDICTION_BATCH:
            self.counts["rows"] += attributes[ml.ML_PREDICTION_BATCH_ROW_COUNT]
            self.counts[f"rows of {attributes[ml.ML_FRAMEWORK_NAME]}"] += attributes[ml.ML_PREDICTION_BATCH_ROW_COUNT]
            for name, key in _SO_FAR.items():
                self.counts[name] = max(self.counts[name], attributes[key])

    def finish(self) -> dict[str, Any]:
        """Everything that was recorded so far, as JSON has it."""
        flush(60)
        return {"counts": dict(self.counts), "warnings": self.warnings}


class _Logs(LogRecordExporter):
    def __init__(self, recorded: Recorded) -> None:
        self._recorded = recorded

    def export(self, batch: Sequence[Any]) -> LogRecordExportResult:
        encode_logs(batch).SerializeToString()
        for one in batch:
            self._recorded.count(one.log_record)
        return LogRecordExportResult.SUCCESS

    def shutdown(self) -> None:
        pass

    def force_flush(self, timeout_millis: int = 10_000) -> bool:
        return True


class _Spans(SpanExporter):
    def __init__(self, recorded: Recorded) -> None:
        self._recorded = recorded

    def export(self, spans: Sequence[Any]) -> SpanExportResult:
        encode_spans(spans).SerializeToString()
        self._recorded.counts["spans"] += len(spans)
        return SpanExportResult.SUCCESS


class _Metrics(MetricExporter):
    def export(self, metrics_data: Any, timeout_millis: float = 10_000, **kwargs: Any) -> MetricExportResult:
        encode_metrics(metrics_data).SerializeToString()
        return MetricExportResult.SUCCESS

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        pass

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        return True


class _Warnings(logging.Handler):
    def __init__(self, recorded: Recorded) -> None:
        super().__init__()
        self._recorded = recorded

    def emit(self, record: logging.LogRecord) -> None:
        self._recorded.warnings.append(logging.Formatter().format(record))


def instrument() -> Recorded:
    """Set up the SDK and instrument every framework that there is."""
    recorded = Recorded()
    logger_provider, tracer_provider = LoggerProvider(), TracerProvider()
    logger_provider.add_log_record_processor(BatchLogRecordProcessor(_Logs(recorded)))
    tracer_provider.add_span_processor(BatchSpanProcessor(_Spans(recorded)))
    _logs.set_logger_provider(logger_provider)
    trace.set_tracer_provider(tracer_provider)
    metrics.set_meter_provider(MeterProvider([PeriodicExportingMetricReader(_Metrics())]))
    logging.getLogger("modelspan.instrumentation").addHandler(_Warnings(recorded))
    for entry in entry_points(group=GROUP):
        if entry.name.startswith(OURS):
            entry.load()().instrument()
    return recorded


_of_tests = pytest.StashKey[Recorded]()


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    early_config.stash[_of_tests] = instrument()


def pytest_unconfigure(config: pytest.Config) -> None:
    if FILE in os.environ:
        Path(os.environ[FILE]).write_text(json.dumps(config.stash[_of_tests].finish()))
