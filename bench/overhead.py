"""What recording costs the program: time of its own thread, and processor time of the whole process.

Each program runs bare, instrumented, and with a span of 24 attributes per prediction, in turns of the same run, so that whatever else the
machine does falls on all of them. The SDK is the real one with its batch processors; exporters encode OTLP and discard the bytes.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
import pandas as pd
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
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from modelspan.instrumentation import flush
from modelspan.instrumentation.sklearn import SklearnInstrumentor

ROUNDS = 6
"""Turns of each variant; the first is not counted."""
TURN_SECONDS = 0.5
WARM_UP = 30
"""Calls before the clock starts: replacing methods makes the interpreter forget what it knew of their classes."""

Predict = Callable[[Any], Any]
Figures = tuple[float, float]
"""Median time of a call, and processor time of the process per call, in µs."""


class _Spans(SpanExporter):
    def export(self, spans: Any) -> SpanExportResult:
        encode_spans(spans).SerializeToString()
        return SpanExportResult.SUCCESS


class _Logs(LogRecordExporter):
    def export(self, batch: Any) -> LogRecordExportResult:
        encode_logs(batch).SerializeToString()
        return LogRecordExportResult.SUCCESS

    def shutdown(self) -> None:
        pass

    def force_flush(self, timeout_millis: int = 10_000) -> bool:
        return True


class _Metrics(MetricExporter):
    def export(self, metrics_data: Any, timeout_millis: float = 10_000, **kwargs: Any) -> MetricExportResult:
        encode_metrics(metrics_data).SerializeToString()
        return MetricExportResult.SUCCESS

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        pass

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        return True


def table() -> str:
    """Rows of Markdown: caller time and process time against the bare program."""
    _set_up()
    lines = [
        "| program | bare, µs | time of a call | process CPU | with a span per prediction: time, CPU |",
        "|---|---|---|---|---|",
    ]
    for name, model, rows in _programs():
        bare, recorded, spanned = _measure(model, rows)
        time_bare = median(figures[0] for figures in bare)
        lines.append(
            f"| {name} | {time_bare:.0f} | {_more(recorded, bare, 0)} | {_more(recorded, bare, 1)} "
            f"| {_more(spanned, bare, 0)}, {_more(spanned, bare, 1)} |"
        )
    return "\n".join(lines)


def _more(turns: list[Figures], bare: list[Figures], figure: int) -> str:
    """Median over the turns of what a variant took more than the bare program just before it."""
    ratio = median(one[figure] / base[figure] for one, base in zip(turns, bare, strict=True))
    return f"{100 * (ratio - 1):+.1f} %"


def _programs() -> list[tuple[str, Any, list[Any]]]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2000, 20))
    y = (x[:, 0] + x[:, 1] > 0).astype(int)
    frame = pd.DataFrame(x, columns=[f"feature_{i}" for i in range(20)])
    single = [x[i : i + 1] for i in range(500)]
    return [
        ("LogisticRegression, 1x20 array", LogisticRegression().fit(x, y), single),
        (
            "StandardScaler + LogisticRegression, 1-row DataFrame",
            make_pipeline(StandardScaler(), LogisticRegression()).fit(frame, y),
            [frame.iloc[i : i + 1] for i in range(500)],
        ),
        ("RandomForest of 100, 1x20 array", RandomForestClassifier(100, random_state=0).fit(x, y), single),
        (
            "LogisticRegression, 1000x20 array",
            LogisticRegression().fit(x, y),
            [x[i : i + 1000] for i in range(0, 500, 5)],
        ),
    ]


def _measure(model: Any, rows: list[Any]) -> list[list[Figures]]:
    """Figures of each turn of each variant: bare, recorded, with a span."""
    variants: list[tuple[Predict, Callable[[], None], Callable[[], None]]] = [
        (model.predict, _nothing, _nothing),
        (lambda row: model.predict(row), SklearnInstrumentor().instrument, SklearnInstrumentor().uninstrument),
        (_with_span(model), _nothing, _nothing),
    ]
    results: list[list[Figures]] = [[] for _ in variants]
    for turn in range(ROUNDS):
        for i, (predict, before, after) in enumerate(variants):
            before()
            figures = _turn(predict, rows)
            after()
            if turn:
                results[i].append(figures)
    return results


def _turn(predict: Predict, rows: list[Any]) -> Figures:
    for i in range(WARM_UP):
        predict(rows[i % len(rows)])
    flush()
    gc.collect()
    times: list[int] = []
    count = len(rows)
    clock = time.perf_counter_ns
    until = clock() + int(TURN_SECONDS * 1e9)
    cpu = time.process_time_ns()
    end = clock()
    while end < until:
        row = rows[len(times) % count]
        begin = clock()
        predict(row)
        end = clock()
        times.append(end - begin)
    _export()
    return median(times) / 1e3, (time.process_time_ns() - cpu) / len(times) / 1e3


def _with_span(model: Any) -> Predict:
    """The obvious way: a span for each prediction, with identity and every feature as attributes."""
    tracer = trace.get_tracer("bench")
    names = [f"feature.{i}" for i in range(20)]

    def predict(row: Any) -> Any:
        values = row if isinstance(row, np.ndarray) else row.to_numpy()
        with tracer.start_as_current_span("predict") as span:
            result = model.predict(row)
            span.set_attributes({"model": "m", "version": "1", "operation": "predict", "label": str(result[0])})
            span.set_attributes(dict(zip(names, values[0].tolist(), strict=True)))
        return result

    return predict


def _nothing() -> None:
    pass


def _export() -> None:
    """Everything that was recorded, exported: it belongs to the cost."""
    flush()
    for provider in (trace.get_tracer_provider(), metrics.get_meter_provider(), _logs.get_logger_provider()):
        provider.force_flush()  # type: ignore[attr-defined]  # of the SDK


def _set_up() -> None:
    tracer_provider = TracerProvider()
    tracer_provider.add_span_processor(BatchSpanProcessor(_Spans(), max_queue_size=100_000))
    trace.set_tracer_provider(tracer_provider)
    logger_provider = LoggerProvider()
    logger_provider.add_log_record_processor(BatchLogRecordProcessor(_Logs()))
    _logs.set_logger_provider(logger_provider)
    metrics.set_meter_provider(MeterProvider([PeriodicExportingMetricReader(_Metrics())]))


if __name__ == "__main__":
    print(table())
