"""What recording costs the program: time of its own thread, and processor time of the whole process.

Each prediction is made twice, in random order: by a model as scikit-learn has it and by an instrumented one, and a third time with a span
of 24 attributes, so that whatever else the machine does falls on all of them. Processes of their own would differ by more than what is
measured: their memory lies elsewhere. What recording takes is the median of the differences between neighbours. The SDK is the real one with its batch processors; exporters encode OTLP and discard the bytes.
Processor time is what the caller takes longer, and what the background thread and the exporters take for each prediction.
"""

from __future__ import annotations

import copy
import inspect
import random
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

ROUNDS = 8
SECONDS = 1.5
"""Of one round."""
MOST_CALLS = 1500
MOST_BYTES = 1_500_000
"""Of each variant in one round, so that the recorder's thread has nothing to do before the round ends."""
METHODS = ("predict", "predict_proba", "predict_log_proba", "decision_function", "score_samples")

BARE, RECORDED, SPANNED = "bare", "recorded", "spanned"

Predict = Callable[[Any], Any]


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
    programs = {name: make() for name, make in _programs().items()}
    raw = {kind: _methods(kind) for model, _ in programs.values() for kind in map(type, _estimators(model))}
    SklearnInstrumentor().instrument(flush_interval=1000.0)
    lines = [
        "| program | bare, µs | time of a call | process CPU | with a span per prediction: time, CPU |",
        "|---|---|---|---|---|",
    ]
    for name, (model, rows) in programs.items():
        times, recording, spanning = _measure(_bare(model, raw), model, rows)
        bare = median(times[BARE])
        more = {variant: median(np.subtract(values, times[BARE])) for variant, values in times.items()}
        figures = (
            more[RECORDED],
            more[RECORDED] + recording,
            more[SPANNED],
            more[SPANNED] + spanning,
        )
        caller, process, span, span_process = (f"{100 * figure / bare:+.1f} %" for figure in figures)
        lines.append(f"| {name} | {bare:.0f} | {caller} | {process} | {span}, {span_process} |")
    return "\n".join(lines)


def _estimators(model: Any) -> list[Any]:
    """The model and the estimators within it that predict."""
    within = [step for _, step in getattr(model, "steps", [])] + list(getattr(model, "estimators_", []))
    return [model, *within]


def _methods(kind: type) -> dict[str, Any]:
    """Prediction methods of a class as they are before they are patched: a descriptor is changed in place, hence the copy."""
    found = {name: inspect.getattr_static(kind, name, None) for name in METHODS}
    return {name: copy.copy(method) for name, method in found.items() if method is not None}


def _bare(model: Any, raw: dict[type, dict[str, Any]]) -> Any:
    """A copy of the model whose methods, down to the last tree, are those of scikit-learn."""
    twin = copy.deepcopy(model)
    classes: dict[type, type] = {}
    for estimator in _estimators(twin):
        kind = type(estimator)
        if kind not in classes:
            classes[kind] = type(kind.__name__, (kind,), {})
            for name, method in raw[kind].items():
                setattr(classes[kind], name, method)
        estimator.__class__ = classes[kind]
    return twin


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


def _measure(bare: Any, model: Any, rows: list[Any]) -> tuple[dict[str, list[float]], float, float]:
    """Times of the calls of each variant, and processor time per call of what happens behind recording, and behind spans; µs."""
    variants: dict[str, Predict] = {BARE: bare.predict, RECORDED: model.predict, SPANNED: _with_span(bare)}
    times: dict[str, list[float]] = {variant: [] for variant in variants}
    behind: dict[str, list[float]] = {RECORDED: [], SPANNED: []}
    random.seed(0)
    for round_ in range(ROUNDS + 1):
        process, caller = time.process_time_ns(), time.thread_time_ns()
        taken = _round(variants, rows)
        meanwhile = (
            time.process_time_ns() - process - (time.thread_time_ns() - caller)
        ) / 1e3  # only spans are exported
        spanning = _processor_time(_export_spans)
        recording = _processor_time(flush, _export_logs_and_metrics, _export_spans)
        if round_:
            calls = len(taken[BARE])
            behind[RECORDED].append(recording / calls)
            behind[SPANNED].append((meanwhile + spanning) / calls)
            for variant, values in taken.items():
                times[variant].extend(values)
    return times, median(behind[RECORDED]), median(behind[SPANNED])


def _round(variants: dict[str, Predict], rows: list[Any]) -> dict[str, list[float]]:
    taken: dict[str, list[float]] = {variant: [] for variant in variants}
    order = list(variants)
    clock = time.perf_counter_ns
    until = clock() + int(SECONDS * 1e9)
    most = min(MOST_CALLS, MOST_BYTES // np.asarray(rows[0]).nbytes)
    number = 0
    while clock() < until and number < most:
        row = rows[number % len(rows)]
        random.shuffle(order)
        for variant in order:
            predict = variants[variant]
            begin = clock()
            predict(row)
            taken[variant].append((clock() - begin) / 1e3)
        number += 1
    return taken


def _processor_time(*work: Callable[[], Any]) -> float:
    before = time.process_time_ns()
    for part in work:
        part()
    return (time.process_time_ns() - before) / 1e3


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


def _export_logs_and_metrics() -> None:
    for provider in (metrics.get_meter_provider(), _logs.get_logger_provider()):
        provider.force_flush()  # type: ignore[union-attr]  # of the SDK


def _export_spans() -> None:
    trace.get_tracer_provider().force_flush()  # type: ignore[attr-defined]  # of the SDK


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
