"""Spans are for people: lean, one for each prediction in a trace, few without."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
from opentelemetry import context, trace
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags
from sklearn.linear_model import LogisticRegression

X = np.random.default_rng(4).normal(size=(60, 3))
MODEL = LogisticRegression().fit(X, X[:, 0] > 0)


def test_a_prediction_within_a_span_is_its_child_and_its_row_carries_its_ids(telemetry: Any) -> None:
    tracer = telemetry.tracer_provider.get_tracer("test")
    with tracer.start_as_current_span("request") as request:
        MODEL.predict(X[:1])
    child, parent = telemetry.spans()[-1], request.get_span_context()
    table = telemetry.batch()
    assert child.parent.span_id == parent.span_id
    assert request.start_time <= child.start_time <= child.end_time <= request.end_time
    assert table["trace_id"].to_pylist() == [trace.format_trace_id(parent.trace_id)]
    assert table["span_id"].to_pylist() == [trace.format_span_id(child.context.span_id)]
    assert child.end_time - child.start_time == table["duration"].to_pylist()[0]
    assert dict(child.attributes) == {
        "ml.model.name": "LogisticRegression",
        "ml.model.version": telemetry.batches()[0][0]["ml.model.version"],
        "ml.operation.name": "predict",
        "ml.framework.name": "sklearn",
        "ml.task.type": "binary_classification",
        "ml.input.row.count": 1,
        "ml.input.feature.count": 3,
        "ml.prediction.batched": True,
        "ml.prediction.id": table["prediction_id"].to_pylist()[0],
        "ml.output.label": str(MODEL.predict(X[:1])[0]).lower(),
    }


def test_every_prediction_within_a_trace_has_its_span(telemetry: Any) -> None:
    with telemetry.tracer_provider.get_tracer("test").start_as_current_span("request"):
        for i in range(40):
            MODEL.predict(X[i : i + 1])
    assert len(telemetry.spans()) == 41
    assert len(set(telemetry.batch()["span_id"].to_pylist())) == 40


def test_without_a_trace_only_so_many_have_a_span_and_the_others_no_ids(again: Callable[..., Any]) -> None:
    telemetry = again(span_rate=5)
    model = LogisticRegression().fit(X, X[:, 0] > 0)
    for i in range(40):
        model.predict(X[i : i + 1])
    assert len(telemetry.spans()) == 5
    assert [one is not None for one in telemetry.batch()["trace_id"].to_pylist()] == [True] * 5 + [False] * 35


def test_a_trace_that_is_not_sampled_gets_no_span_and_its_ids_are_recorded(telemetry: Any) -> None:
    parent = SpanContext(0xABC, 0xDEF, is_remote=True, trace_flags=TraceFlags(0))
    token = context.attach(trace.set_span_in_context(NonRecordingSpan(parent)))
    MODEL.predict(X[:2])
    context.detach(token)
    table = telemetry.batch()
    assert telemetry.spans() == []
    assert table["trace_id"].to_pylist() == [trace.format_trace_id(0xABC)] * 2
    assert table["span_id"].to_pylist() == [trace.format_span_id(0xDEF)] * 2


def test_features_are_on_spans_only_where_asked_for_and_as_one_map(again: Callable[..., Any]) -> None:
    telemetry = again(span_features=True)
    MODEL.predict_proba(X[:1])
    (span,) = telemetry.spans()
    features = span.attributes["ml.input.features"]
    found = json.loads(features) if isinstance(features, str) else dict(features)  # JSON before maps were attributes
    assert found == {f"x{i}": X[0, i] for i in range(3)}
    assert span.attributes["ml.output.score"] == MODEL.predict_proba(X[:1])[0, 1]


def test_nothing_is_recorded_under_suppress_instrumentation(telemetry: Any) -> None:
    with suppress_instrumentation():
        MODEL.predict(X[:1])
    assert (telemetry.rows(), telemetry.spans(), telemetry.points("ml.predictions")) == (0, [], [])
