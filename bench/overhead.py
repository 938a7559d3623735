"""What recording costs the program: time of its own thread, and processor time of the whole process.

Each program runs bare, instrumented, and with a span of 24 attributes per prediction, each in a process of its own, in short turns of
the same run, so that whatever else the machine does falls on all of them. A turn is a tight loop: the worst case. The SDK is the real one with its batch processors; exporters encode OTLP and discard the bytes.
"""

from __future__ import annotations

import multiprocessing
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

TURNS = 20
TURN_SECONDS = 0.25
WARM_UP = 300
"""Calls before the first turn of a process."""

BARE, RECORDED, SPANNED = "bare", "recorded", "spanned"

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
    lines = [
        "| program | bare, µs | time of a call | process CPU | with a span per prediction: time, CPU |",
        "|---|---|---|---|---|",
    ]
    for name in _programs():
        turns = _measure(name)
        bare, recorded, spanned = turns[BARE], turns[RECORDED], turns[SPANNED]
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


def _programs() -> dict[str, Callable[[], tuple[Any, list[Any]]]]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2000, 20))
    y = (x[:, 0] + x[:, 1] > 0).astype(int)
    frame = pd.DataFrame(x, columns=[f"feature_{i}" for i in range(20)])
    single = [x[i : i + 1] for i in range(500)]
    return {
        "LogisticRegression, 1x20 array": lambda: (LogisticRegression().fit(x, y), single),
        "StandardScaler + LogisticRegression, 1-row DataFrame": lambda: (
            make_pipeline(StandardScaler(), LogisticRegression()).fit(frame, y),
            [frame.iloc[i : i + 1] for i in range(500)],
        ),
        "RandomForest of 100, 1x20 array": lambda: (RandomForestClassifier(100, random_state=0).fit(x, y), single),
        "LogisticRegression, 1000x20 array": lambda: (
            LogisticRegression().fit(x, y),
            [x[i : i + 1000] for i in range(0, 500, 5)],
        ),
    }


def _measure(program: str) -> dict[str, list[Figures]]:
    """Figures of each turn of each variant. A variant is a process of its own, so that none leaves a trace in another."""
    spawn = multiprocessing.get_context("spawn")
    workers: dict[str, tuple[Any, Any]] = {}
    for variant in (BARE, RECORDED, SPANNED):
        here, there = spawn.Pipe()
        process = spawn.Process(target=_work, args=(program, variant, there), daemon=True)
        process.start()
        here.recv()
        workers[variant] = (here, process)
    turns: dict[str, list[Figures]] = {variant: [] for variant in workers}
    for _ in range(TURNS):
        for variant, (pipe, _process) in workers.items():
            pipe.send(True)
            turns[variant].append(pipe.recv())
    for pipe, process in workers.values():
        pipe.send(False)
        process.join()
    return turns


def _work(program: str, variant: str, pipe: Any) -> None:
    """What the process of a variant does: a turn whenever it is told to."""
    _set_up()
    model, rows = _programs()[program]()
    if variant == RECORDED:
        SklearnInstrumentor().instrument()
    predict = _with_span(model) if variant == SPANNED else model.predict
    for i in range(WARM_UP):
        predict(rows[i % len(rows)])
    _export()
    pipe.send(True)
    while pipe.recv():
        pipe.send(_turn(predict, rows))


def _turn(predict: Predict, rows: list[Any]) -> Figures:
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
