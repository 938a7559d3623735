"""Rows with ids are recorded whole, with the right time and model, under any load and limit."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from sklearn.linear_model import LinearRegression

from modelspan.instrumentation import failure, flush, prediction_context
from modelspan.instrumentation.recorder import current
from modelspan.instrumentation.sklearn import SklearnInstrumentor
from modelspan.semconv import attributes as ml
from modelspan.semconv import events

X = np.random.default_rng(5).normal(size=(10_000, 20))
MODEL = LinearRegression().fit(X, X[:, 0])


@pytest.mark.parametrize(
    "options", [{"duty": 1e-9}, {"call_bytes": 1000}, {"overhead": 1e-9}, {"sample": 0.01}, {"capture": "none"}]
)
def test_rows_with_an_id_of_the_program_are_never_left_out_for_load(
    again: Callable[..., Any], options: dict[str, Any]
) -> None:
    telemetry = again(**options)
    ids: list[str] = []
    for call in range(4):
        MODEL.predict(X)
        assert flush()
        named = [f"{call}-{row}" for row in range(len(X))] if call % 2 else None  # None: those that are generated
        with prediction_context(ids=named) as said:
            MODEL.predict(X)
        ids += said.prediction_ids
    stored = [one for _, table in telemetry.batches() for one in table["prediction_id"].to_pylist()]
    assert sorted(set(stored) & set(ids)) == sorted(ids)
    assert len(set(stored)) == len(stored)
    assert telemetry.numbered()[-1][ml.MODELSPAN_RECORDER_ROWS_DROPPED] == 0


def test_rows_with_an_id_that_do_not_fit_are_counted_as_dropped_and_the_option_is_named(
    again: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    failure._said.clear()
    telemetry = again(queue_bytes=400_000, call_bytes=1000)
    with prediction_context(ids=range(len(X)), segment={"parity": ["even", "odd"] * 5000}):
        MODEL.predict(X)
    assert not flush()
    table = pa.concat_tables([found for _, found in telemetry.batches()])
    last = telemetry.numbered()[-1]
    assert 1000 < len(table) < 2500
    assert last[ml.MODELSPAN_RECORDER_ROWS_RECORDED] + last[ml.MODELSPAN_RECORDER_ROWS_DROPPED] == 10_000
    assert last[ml.MODELSPAN_RECORDER_ROWS_UNSAMPLED] == 0
    rows = [int(one) for one in table["prediction_id"].to_pylist()]
    assert table["feature.x0"].to_pylist() == X[rows, 0].tolist()
    assert table["segment.parity"].to_pylist() == [("even", "odd")[row % 2] for row in rows]
    assert "weight" not in table.column_names
    assert any("QUEUE_BYTES" in one.getMessage() for one in caplog.records)


def test_a_limit_on_attributes_takes_the_identity_last(
    again: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT", "5")
    telemetry = again()
    SklearnInstrumentor().uninstrument()
    telemetry.logger_provider = LoggerProvider(shutdown_on_exit=False)
    telemetry.logger_provider.add_log_record_processor(SimpleLogRecordProcessor(telemetry._logs))
    telemetry.tracer_provider = TracerProvider(span_limits=SpanLimits(max_span_attributes=5), shutdown_on_exit=False)
    telemetry.tracer_provider.add_span_processor(SimpleSpanProcessor(telemetry._spans))
    telemetry.instrument()
    LinearRegression().fit(X, X[:, 0]).predict(X[:1])
    (span,) = telemetry.spans()
    assert {"ml.model.name", "ml.model.version", "ml.operation.name", "ml.prediction.batched"} < set(span.attributes)
    (batch,) = telemetry.events(events.ML_PREDICTION_BATCH)
    assert {ml.ML_PREDICTION_BATCH_DATA, "ml.model.name", "ml.model.version", "ml.operation.name"} < set(
        batch.attributes
    )


def test_a_record_says_what_it_is_to_people_and_to_collectors_without_event_names(telemetry: Any) -> None:
    model = LinearRegression().fit(X, X[:, 0])
    model.predict(X[:12])
    (batch,) = telemetry.events(events.ML_PREDICTION_BATCH)
    version = batch.attributes[ml.ML_MODEL_VERSION]
    assert batch.body == f"12 predictions of LinearRegression {version}"
    assert (batch.severity_text, batch.severity_number.value) == ("INFO", 9)
    assert batch.attributes["event.name"] == events.ML_PREDICTION_BATCH


FROZEN = 1_577_836_800.0


def freeze(patch: pytest.MonkeyPatch) -> None:
    """Replace the clocks wherever they are found, as tools that freeze time do."""
    clocks = {
        time.time: lambda: FROZEN,
        time.time_ns: lambda: int(FROZEN * 1e9),
        time.monotonic: lambda: FROZEN,
        time.monotonic_ns: lambda: int(FROZEN * 1e9),
        time.perf_counter: lambda: FROZEN,
        time.perf_counter_ns: lambda: int(FROZEN * 1e9),
    }
    for module in list(sys.modules.values()):
        for name, value in list(vars(module).items()):
            if getattr(value, "__module__", "") == "time" and value in clocks:
                patch.setattr(module, name, clocks[value])


@pytest.mark.parametrize("when", ["around the prediction", "around the flush", "around both", "before the start"])
def test_rows_are_dated_right_while_the_program_freezes_time(
    again: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    telemetry = again()
    before = time.time_ns()
    with monkeypatch.context() as patch:
        if when == "before the start":
            freeze(patch)
            telemetry = again()
        if when in ("around the prediction", "around both"):
            freeze(patch)
        MODEL.predict(X[:2])
        if when == "around the prediction":
            patch.undo()
        if when == "around the flush":
            freeze(patch)
        current.get().drain()
    after = time.time_ns()
    dated = telemetry.batch()["time"].cast("int64").to_pylist()
    assert all(before <= one <= after for one in dated), dated
