"""Predictions as rows that people can read, in place of batches."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from opentelemetry import trace
from sklearn.linear_model import LogisticRegression

from modelspan.instrumentation import prediction_context
from modelspan.semconv import attributes as ml
from modelspan.semconv import events
from tests.instrumentation.conftest import Telemetry

X = pd.DataFrame({"amount": [1.5, 2.5, None, 4.5], "items": [1, 2, 3, 4]})
MODEL = LogisticRegression().fit(X.fillna(0), [0, 0, 1, 1])


@pytest.fixture
def readable(again: Callable[..., Telemetry]) -> Telemetry:
    return again(form="rows")


def attributes(readable: Telemetry) -> list[dict[str, Any]]:
    return [dict(record.attributes or {}) for record in readable.events(events.ML_PREDICTION_DETAILS)]


def test_each_row_is_an_event_with_its_features_and_outputs(readable: Telemetry) -> None:
    labels = MODEL.predict(X.fillna(0))
    found = attributes(readable)
    assert [dict(one[ml.ML_INPUT_FEATURES]) for one in found] == X.fillna(0).to_dict("records")
    assert [one[ml.ML_OUTPUT_LABEL] for one in found] == [str(label) for label in labels]
    assert {one[ml.ML_MODEL_NAME] for one in found} == {"LogisticRegression"}
    assert readable.batches() == [], "no blob beside them"


def test_what_the_context_says_is_in_each_row(readable: Telemetry) -> None:
    with prediction_context(ids=["a", "b"], segment={"country": ["DE", "FR"]}, variant="B"):
        scores = MODEL.predict_proba(X[:2])
    first, second = attributes(readable)
    assert (first[ml.ML_PREDICTION_ID], second[ml.ML_PREDICTION_ID]) == ("a", "b")
    assert (first["ml.segment.country"], second["ml.segment.country"]) == ("DE", "FR")
    assert second[ml.ML_PREDICTION_VARIANT] == "B"
    assert list(first[ml.ML_OUTPUT_SCORES].values()) == pytest.approx(scores[0])
    assert first[ml.ML_OUTPUT_SCORE] == pytest.approx(scores[0, 1])


def test_people_read_the_outputs_in_the_body_and_find_the_trace(readable: Telemetry) -> None:
    tracer = readable.tracer_provider.get_tracer("test")
    with tracer.start_as_current_span("request") as span:
        MODEL.predict(np.array([[1.0, 1.0]]))
    (record,) = readable.events(events.ML_PREDICTION_DETAILS)
    assert record.body.startswith("prediction label=0 of LogisticRegression")
    assert record.trace_id == span.get_span_context().trace_id
    (predict,) = [one for one in readable.spans() if one.name.startswith("predict")]
    assert record.span_id == predict.context.span_id
    features = predict.attributes[ml.ML_INPUT_FEATURES]
    assert dict(json.loads(features) if isinstance(features, str) else features) == {"amount": 1.0, "items": 1.0}


def test_rows_are_counted_as_those_of_batches_are(readable: Telemetry) -> None:
    MODEL.predict(X.fillna(0))
    assert [one[ml.MODELSPAN_RECORDER_ROWS_RECORDED] for one in readable.numbered()] == [4]
    assert [one[ml.ML_PREDICTION_BATCH_ROW_COUNT] for one in readable.numbered()] == [0]


def test_a_row_has_the_duration_of_its_call(readable: Telemetry) -> None:
    MODEL.predict(X.fillna(0))
    durations = {one[ml.ML_PREDICTION_DURATION] for one in attributes(readable)}
    assert len(durations) == 1
    assert 0 < durations.pop() < 60


def test_the_event_that_counts_rows_says_how_many_there_are(readable: Telemetry) -> None:
    MODEL.predict(X.fillna(0))
    (counting,) = readable.events(events.ML_PREDICTION_BATCH)
    assert counting.body.startswith("so far 4 recorded, 0 lost and 0 left out of LogisticRegression")


def test_a_word_that_is_no_form_leaves_batches(
    again: Callable[..., Telemetry], caplog: pytest.LogCaptureFixture
) -> None:
    telemetry = again(form="json")
    MODEL.predict(X.fillna(0))
    assert telemetry.rows() == 4
    assert "must be batches or rows" in caplog.text


def test_a_row_without_a_trace_has_none(readable: Telemetry) -> None:
    for _ in range(30):  # more than spans are made of without a trace
        MODEL.predict(X[:1].fillna(0))
    contexts = [record.trace_id for record in readable.events(events.ML_PREDICTION_DETAILS)]
    assert len(contexts) == 30
    assert trace.INVALID_TRACE_ID in [one or 0 for one in contexts]


def test_a_feature_that_is_a_number_in_one_row_and_a_text_in_another_is_in_both(readable: Telemetry) -> None:
    class Anything(LogisticRegression):  # type: ignore[misc]
        def predict(self, X: Any) -> Any:
            return np.zeros(len(X))

    Anything().predict([[101, 1.0], ["A1", 2.0], [None, 3.0]])
    found = [dict(one[ml.ML_INPUT_FEATURES]) for one in attributes(readable)]
    assert found == [{"x0": 101, "x1": 1.0}, {"x0": "A1", "x1": 2.0}, {"x1": 3.0}]
