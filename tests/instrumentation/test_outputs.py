"""What a model returned arrives in the columns that fit its task."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.base import BaseEstimator
from sklearn.cluster import KMeans
from sklearn.ensemble import IsolationForest, RandomForestClassifier, RandomForestRegressor
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.mixture import GaussianMixture
from sklearn.multioutput import ClassifierChain
from sklearn.svm import SVC

from modelspan.instrumentation.recorder.kinds import kind_of

RNG = np.random.default_rng(1)
X = RNG.normal(size=(60, 3))
BINARY = (X[:, 0] > 0).astype(int)
THREE = np.array(["low", "middle", "high"], dtype=object)[np.digitize(X[:, 0], [-0.5, 0.5])]


def columns(table: pa.Table) -> dict[str, list[Any]]:
    skip = ("feature.", "time", "duration", "prediction_id", "trace_id", "span_id")
    return {name: table[name].to_pylist() for name in table.column_names if not name.startswith(skip)}


@pytest.mark.parametrize("labels", [BINARY, BINARY.astype(float), BINARY.astype(bool), np.array(["no", "yes"])[BINARY]])
def test_labels(telemetry: Any, labels: Any) -> None:
    model = LogisticRegression().fit(X, labels)
    expected = [str(one).lower() if isinstance(one, bool) else str(one) for one in model.predict(X[:9]).tolist()]
    assert columns(telemetry.batch()) == {"label": [one.removesuffix(".0") for one in expected]}


def test_labels_that_are_objects(telemetry: Any) -> None:
    model = LogisticRegression().fit(X, THREE)
    assert columns_after(telemetry, model.predict) == {"label": model.predict(X[:9]).tolist()}


def columns_after(telemetry: Any, predict: Any) -> dict[str, list[Any]]:
    predict(X[:9])
    return columns(telemetry.batch())


def test_probabilities_of_two_classes(telemetry: Any) -> None:
    model = LogisticRegression().fit(X, BINARY)
    result = model.predict_proba(X[:9])
    assert columns(telemetry.batch()) == {
        "score": result[:, 1].tolist(),
        "score.0": result[:, 0].tolist(),
        "score.1": result[:, 1].tolist(),
    }


@pytest.mark.parametrize("operation", ["predict_proba", "decision_function", "predict_log_proba"])
def test_scores_of_three_classes(telemetry: Any, operation: str) -> None:
    model = LogisticRegression().fit(X, THREE)
    result = getattr(model, operation)(X[:9])
    assert columns(telemetry.batch()) == {
        "score": result.max(axis=1).tolist(),
        **{f"score.{name}": result[:, i].tolist() for i, name in enumerate(model.classes_)},
    }


def test_a_decision_function_of_two_classes(telemetry: Any) -> None:
    result = SVC().fit(X, BINARY).decision_function(X[:9])
    assert columns(telemetry.batch()) == {"score": result.tolist()}


def test_numbers(telemetry: Any) -> None:
    result = LinearRegression().fit(X, X[:, 0]).predict(X[:9])
    assert columns(telemetry.batch()) == {"value": result.tolist()}


def test_several_numbers(telemetry: Any) -> None:
    result = RandomForestRegressor(3).fit(X, X[:, :2]).predict(X[:9])
    assert columns(telemetry.batch()) == {"value.0": result[:, 0].tolist(), "value.1": result[:, 1].tolist()}


def test_several_labels_and_their_scores(telemetry: Any) -> None:
    model = RandomForestClassifier(3, random_state=0).fit(X, np.column_stack([BINARY, 1 - BINARY]))
    labels, scores = model.predict(X[:9]), model.predict_proba(X[:9])
    first, second = (table for _, table in telemetry.batches())
    assert columns(first) == {f"label.{i}": [str(one) for one in labels[:, i].tolist()] for i in range(2)}
    assert columns(second) == {f"score.{o}.{c}": scores[o][:, c].tolist() for o in range(2) for c in range(2)}


def test_the_first_of_a_tuple_is_the_prediction(telemetry: Any) -> None:
    mean, _ = GaussianProcessRegressor().fit(X, X[:, 0]).predict(X[:9], return_std=True)
    assert columns(telemetry.batch()) == {"value": mean.tolist()}


@pytest.mark.parametrize("model", [KMeans(3, n_init=1), GaussianMixture(2), IsolationForest(n_estimators=5)])
def test_clusters_and_outliers_are_labels(telemetry: Any, model: Any) -> None:
    result = model.fit(X).predict(X[:9])
    assert columns(telemetry.batch()) == {"label": [str(one) for one in result.tolist()]}


def test_scores_of_samples(telemetry: Any) -> None:
    result = IsolationForest(n_estimators=5).fit(X).score_samples(X[:9])
    assert columns(telemetry.batch()) == {"score": result.tolist()}


@pytest.mark.parametrize("operation", ["predict_proba", "decision_function"])
def test_scores_of_a_chain_are_by_output_and_class(telemetry: Any, operation: str) -> None:
    model = ClassifierChain(LogisticRegression()).fit(X, np.stack([BINARY, 1 - BINARY], axis=1))
    result = getattr(model, operation)(X[:9])
    assert columns(telemetry.batch()) == {"score.0.1": result[:, 0].tolist(), "score.1.1": result[:, 1].tolist()}


class Recommender(BaseEstimator):  # type: ignore[misc]  # without annotations
    def predict(self, X: Any) -> Any:
        return [["a"], ["a", "b"], []][: len(X)]


def test_an_output_without_columns_is_none(telemetry: Any, caplog: pytest.LogCaptureFixture) -> None:
    class Empty(BaseEstimator):
        def predict_proba(self, X: Any) -> Any:
            return np.empty((len(X), 0))

    Empty().predict_proba(X[:3])
    assert telemetry.batch().num_rows == 3
    assert not caplog.records


def test_lists_of_different_lengths_are_labels(telemetry: Any) -> None:
    Recommender().predict(X[:3])
    assert columns(telemetry.batch()) == {"label": ["['a']", "['a', 'b']", "[]"]}


class Plain(BaseEstimator):
    """Says nothing of what it predicts; each call returns the next output."""

    def __init__(self, *outputs: Any) -> None:
        self.outputs = list(outputs)

    def predict(self, X: Any) -> Any:
        return self.outputs.pop(0)


FLOATS = [np.array([1.5, 2.0]), np.array([1.0, 2.0]), np.array([1, 2]), [3, 4], [1.5, None], np.array([2.5, None])]


@pytest.mark.parametrize("together", [True, False])
def test_a_model_that_returned_numbers_first_returns_numbers_ever_after(telemetry: Any, together: bool) -> None:
    model = Plain(*FLOATS)
    for _ in FLOATS:
        model.predict(X[:2])
        if not together:
            telemetry.batches()
    found = [table for _, table in telemetry.batches()]
    assert all("label" not in table.column_names for table in found)
    values = [-1.0 if one is None else one for table in found for one in table["value"].to_pylist()]
    assert sorted(values) == [-1.0, -1.0, 1.0, 1.0, 1.5, 1.5, 2.0, 2.0, 2.0, 2.5, 3.0, 4.0]


@pytest.mark.parametrize("first", [np.array([1, 2]), [1, 2], np.array(["a", "b"]), np.array([True, False])])
def test_a_model_that_returned_labels_first_returns_labels_ever_after(telemetry: Any, first: Any) -> None:
    model = Plain(first, np.array([1.0, 2.0]), [3.0, None])
    for _ in range(3):
        model.predict(X[:2])
        telemetry.batches()
    tables = [table for _, table in telemetry.batches()]
    assert all("value" not in table.column_names for table in tables)
    assert [one for table in tables[1:] for one in table["label"].to_pylist()] == ["1", "2", "3", None]


def test_a_float_array_of_whole_numbers_is_a_value_in_every_process(telemetry: Any) -> None:
    assert columns_of(telemetry, Plain(np.array([1.0, 2.0]))) == {"value": [1.0, 2.0]}


def columns_of(telemetry: Any, model: Any) -> dict[str, list[Any]]:
    model.predict(X[:2])
    return columns(telemetry.batch())


def test_the_role_of_an_output_is_kept_without_the_hash_and_equality_of_the_model() -> None:
    class Odd:
        __hash__ = None  # type: ignore[assignment]

        def __eq__(self, other: object) -> bool:
            raise AssertionError("asked")

    first, second = Odd(), Odd()
    roles = [kind_of(one).role(one, "predict", floats) for one in (first, second) for floats in (True, False)]
    assert roles == ["value"] * 4
    assert kind_of(fresh := Odd()).role(fresh, "predict", False) == "label"
