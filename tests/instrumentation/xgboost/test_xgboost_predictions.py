"""What is recorded of each way to predict with XGBoost."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import xgboost as xgb

RNG = np.random.default_rng(3)
X = RNG.normal(size=(120, 3)).astype(np.float32)
BINARY = (X[:, 0] > 0).astype(int)
THREE = np.digitize(X[:, 0], [-0.5, 0.5])
NUMBER = X[:, 0] * 2 + X[:, 1]
FRAME = pd.DataFrame(X, columns=["age", "income", "debt"])


def outputs(table: Any) -> dict[str, list[Any]]:
    skip = ("feature.", "time", "duration", "prediction_id", "trace_id", "span_id")
    return {name: table[name].to_pylist() for name in table.column_names if not name.startswith(skip)}


def features(table: Any) -> dict[str, list[Any]]:
    return {n.removeprefix("feature."): table[n].to_pylist() for n in table.column_names if n.startswith("feature.")}


def trained(objective: str, label: Any, **parameters: Any) -> xgb.Booster:
    data = xgb.DMatrix(FRAME, label=label)
    return xgb.train({"objective": objective, "max_depth": 2, "nthread": 1, **parameters}, data, 4)


def only(telemetry: Any) -> tuple[dict[str, Any], Any]:
    (found,) = telemetry.batches()
    return found


@pytest.mark.parametrize(
    ("model", "label", "task"),
    [
        (xgb.XGBClassifier(n_estimators=3), BINARY, "binary_classification"),
        (xgb.XGBClassifier(n_estimators=3), THREE, "multiclass_classification"),
        (xgb.XGBRFClassifier(n_estimators=3), BINARY, "binary_classification"),
        (xgb.XGBRegressor(n_estimators=3), NUMBER, "regression"),
        (xgb.XGBRegressor(n_estimators=3, booster="gblinear"), NUMBER, "regression"),
        (xgb.XGBRFRegressor(n_estimators=3), NUMBER, "regression"),
    ],
)
def test_models_of_scikit_learns_kind_are_recorded_once(recorded: Any, model: Any, label: Any, task: str) -> None:
    result = model.fit(FRAME, label).predict(FRAME[:5])
    attributes, table = only(recorded)
    assert attributes["ml.model.name"] == type(model).__name__
    assert (attributes["ml.framework.name"], attributes["ml.framework.version"]) == ("xgboost", xgb.__version__)
    assert (attributes["ml.task.type"], attributes["ml.operation.name"]) == (task, "predict")
    assert features(table) == FRAME[:5].to_dict("list")
    column, expected = ("value", result.tolist()) if task == "regression" else ("label", [str(one) for one in result])
    assert outputs(table) == {column: expected}


def test_probabilities_of_a_classifier(recorded: Any) -> None:
    model = xgb.XGBClassifier(n_estimators=3).fit(X, THREE)
    result = model.predict_proba(X[:5])
    attributes, table = only(recorded)
    assert attributes["ml.operation.name"] == "predict_proba"
    assert outputs(table) == {
        "score": result.max(axis=1).tolist(),
        **{f"score.{i}": result[:, i].tolist() for i in range(3)},
    }
    assert list(features(table)) == ["x0", "x1", "x2"]


def test_a_ranker_returns_scores(recorded: Any) -> None:
    model = xgb.XGBRanker(n_estimators=3).fit(X, THREE, qid=np.repeat(np.arange(12), 10))
    result = model.predict(X[:5])
    attributes, table = only(recorded)
    assert attributes["ml.task.type"] == "ranking"
    assert outputs(table) == {"score": result.tolist()}


def test_several_labels(recorded: Any) -> None:
    model = xgb.XGBClassifier(n_estimators=3).fit(X, np.column_stack([BINARY, 1 - BINARY]))
    result = model.predict(X[:5])
    attributes, table = only(recorded)
    assert attributes["ml.task.type"] == "multilabel_classification"
    assert outputs(table) == {f"label.{i}": [str(int(one)) for one in result[:, i]] for i in range(2)}


@pytest.mark.parametrize(
    ("objective", "label", "parameters", "task", "columns"),
    [
        ("binary:logistic", BINARY, {}, "binary_classification", ["score"]),
        ("binary:hinge", BINARY, {}, "binary_classification", ["label"]),
        ("multi:softprob", THREE, {"num_class": 3}, "multiclass_classification", ["score", "score.0", "score.1", "score.2"]),
        ("multi:softmax", THREE, {"num_class": 3}, "multiclass_classification", ["label"]),
        ("reg:squarederror", NUMBER, {}, "regression", ["value"]),
        ("reg:logistic", BINARY, {}, "regression", ["value"]),
        ("count:poisson", THREE, {}, "regression", ["value"]),
        ("rank:pairwise", THREE, {}, "ranking", ["score"]),
    ],
)  # fmt: skip
@pytest.mark.parametrize("inplace", [False, True])
def test_the_objective_of_a_booster_says_what_it_returns(
    recorded: Any, objective: str, label: Any, parameters: Any, task: str, columns: list[str], inplace: bool
) -> None:
    booster = trained(objective, label, **parameters)
    result = booster.inplace_predict(FRAME[:5]) if inplace else booster.predict(xgb.DMatrix(FRAME[:5]))
    attributes, table = only(recorded)
    assert attributes["ml.model.name"] == "xgboost.Booster"
    assert (attributes["ml.framework.name"], attributes["ml.task.type"]) == ("xgboost", task)
    found = outputs(table)
    assert list(found) == columns
    if columns == ["label"]:
        assert found["label"] == [str(int(one)) for one in result]
    elif result.ndim == 1:
        assert found[columns[0]] == result.tolist()
    else:
        assert [found[f"score.{i}"] for i in range(3)] == result.T.tolist()
    assert features(table) == FRAME[:5].to_dict("list")


@pytest.mark.parametrize("objective", ["binary:logistic", "multi:softmax"])
def test_results_of_strict_shape_are_the_same_outputs(recorded: Any, objective: str) -> None:
    booster = trained(objective, BINARY, num_class=2) if "multi" in objective else trained(objective, BINARY)
    result = booster.predict(xgb.DMatrix(FRAME[:5]), strict_shape=True)
    column = "score" if objective == "binary:logistic" else "label"
    expected = result[:, 0].tolist()
    assert result.shape == (5, 1)
    assert outputs(recorded.batch()) == {column: expected if column == "score" else [str(int(v)) for v in expected]}


def test_iterations_that_are_chosen_predict_like_all(recorded: Any) -> None:
    booster = trained("binary:logistic", BINARY)
    booster.predict(xgb.DMatrix(FRAME[:5]), iteration_range=(0, 2))
    booster.inplace_predict(FRAME[:5], iteration_range=(0, 2))
    assert recorded.rows() == 10


NOT_PREDICTIONS = [
    {"output_margin": True},
    {"pred_leaf": True},
    {"pred_contribs": True},
    {"pred_contribs": True, "approx_contribs": True},
    {"pred_interactions": True},
    {"training": True},
]


@pytest.mark.parametrize("what", NOT_PREDICTIONS, ids=str)
def test_margins_leaves_and_contributions_are_no_predictions(recorded: Any, what: dict[str, bool]) -> None:
    trained("binary:logistic", BINARY).predict(xgb.DMatrix(FRAME[:5]), **what)
    assert recorded.batches() == []


def test_margins_and_leaves_are_no_predictions_in_other_methods_either(recorded: Any) -> None:
    trained("binary:logistic", BINARY).inplace_predict(X, predict_type="margin")
    model = xgb.XGBClassifier(n_estimators=2).fit(X, BINARY)
    model.predict(X, output_margin=True)
    model.apply(X)
    assert recorded.batches() == []


@pytest.mark.parametrize(
    "data",
    [X[:6], FRAME[:6], sp.csr_matrix(X[:6]), sp.csr_matrix(X[:6]).tocsc(), sp.csr_matrix(X[:6]).tocoo()],
    ids=["array", "frame", "csr", "csc", "coo"],
)
def test_inputs_for_which_xgboost_makes_a_matrix_after_an_error_are_one_prediction(recorded: Any, data: Any) -> None:
    model = xgb.XGBClassifier(n_estimators=2).fit(X, BINARY)
    model.predict(data)
    table = recorded.batch()
    assert table.num_rows == 6
    assert "error_type" not in table.column_names
    assert list(features(table).values()) == X[:6].T.tolist()


@pytest.mark.parametrize("data", [X[:6], FRAME[:6], sp.csr_matrix(X[:6])], ids=["array", "frame", "csr"])
def test_inplace_predictions_keep_their_features(recorded: Any, data: Any) -> None:
    booster = trained("reg:squarederror", NUMBER)
    booster.inplace_predict(data, validate_features=False)
    assert features(recorded.batch()) == FRAME[:6].to_dict("list")


def test_an_input_that_xgboost_refuses_is_recorded_with_its_error_and_the_error_passes(recorded: Any) -> None:
    booster = trained("reg:squarederror", NUMBER)
    with pytest.raises(ValueError, match="Feature shape mismatch"):
        booster.inplace_predict(X[:2, :2])
    with pytest.raises(TypeError, match="Expecting data to be a DMatrix"):
        booster.predict(X[:2])
    with pytest.raises(TypeError, match="unexpected keyword"):
        booster.predict(xgb.DMatrix(FRAME[:2]), nonsense=1)
    assert [table["error_type"][0].as_py() for _, table in recorded.batches()] == ["ValueError", "TypeError"]
