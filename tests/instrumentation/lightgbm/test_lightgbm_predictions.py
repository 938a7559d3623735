"""What is recorded of each way to predict with LightGBM."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

RNG = np.random.default_rng(4)
X = RNG.normal(size=(150, 3))
BINARY = (X[:, 0] > 0).astype(int)
THREE = np.digitize(X[:, 0], [-0.5, 0.5])
NUMBER = X[:, 0] * 2 + X[:, 1]
FRAME = pd.DataFrame(X, columns=["age", "income", "debt"])
QUIET = {"verbose": -1, "num_threads": 1}
SMALL = {"n_estimators": 3, "verbose": -1, "n_jobs": 1}


def outputs(table: Any) -> dict[str, list[Any]]:
    skip = ("feature.", "time", "duration", "prediction_id", "trace_id", "span_id")
    return {name: table[name].to_pylist() for name in table.column_names if not name.startswith(skip)}


def features(table: Any) -> dict[str, list[Any]]:
    return {n.removeprefix("feature."): table[n].to_pylist() for n in table.column_names if n.startswith("feature.")}


def trained(objective: Any, label: Any, data: Any = FRAME, **parameters: Any) -> lgb.Booster:
    group = [75, 75] if objective in ("lambdarank", "rank_xendcg") else None
    return lgb.train({"objective": objective, **QUIET, **parameters}, lgb.Dataset(data, label, group=group), 3)


def only(telemetry: Any) -> tuple[dict[str, Any], Any]:
    (found,) = telemetry.batches()
    return found


@pytest.mark.parametrize(
    ("model", "label", "task"),
    [
        (lgb.LGBMClassifier(**SMALL), np.array(["no", "yes"])[BINARY], "binary_classification"),
        (lgb.LGBMClassifier(**SMALL), THREE, "multiclass_classification"),
        (lgb.LGBMRegressor(**SMALL), NUMBER, "regression"),
        (lgb.LGBMModel(objective="poisson", **SMALL), THREE, "regression"),
    ],
)
def test_models_of_scikit_learns_kind_are_recorded_once(recorded: Any, model: Any, label: Any, task: str) -> None:
    result = model.fit(FRAME, label).predict(FRAME[:5])
    attributes, table = only(recorded)
    assert attributes["ml.model.name"] == type(model).__name__
    assert (attributes["ml.framework.name"], attributes["ml.framework.version"]) == ("lightgbm", lgb.__version__)
    assert (attributes["ml.task.type"], attributes["ml.operation.name"]) == (task, "predict")
    assert features(table) == FRAME[:5].to_dict("list")
    column, expected = ("value", result.tolist()) if task == "regression" else ("label", [str(one) for one in result])
    assert outputs(table) == {column: expected}


def test_probabilities_are_scores_by_class(recorded: Any) -> None:
    model = lgb.LGBMClassifier(**SMALL).fit(X, np.array(["low", "mid", "high"])[THREE])
    result = model.predict_proba(X[:5])
    attributes, table = only(recorded)
    assert attributes["ml.operation.name"] == "predict_proba"
    assert outputs(table) == {
        "score": result.max(axis=1).tolist(),
        **{f"score.{name}": result[:, i].tolist() for i, name in enumerate(model.classes_)},
    }
    assert list(features(table)) == ["x0", "x1", "x2"]


def test_a_decision_function_is_recorded_where_lightgbm_has_one(recorded: Any) -> None:
    model = lgb.LGBMClassifier(**SMALL).fit(X, BINARY)
    if not hasattr(model, "decision_function"):
        pytest.skip(f"LightGBM {lgb.__version__} has no decision_function")
    result = model.decision_function(X[:5])
    attributes, table = only(recorded)
    assert attributes["ml.operation.name"] == "decision_function"
    assert outputs(table) == {"score": result.tolist()}


def test_a_ranker_returns_scores(recorded: Any) -> None:
    model = lgb.LGBMRanker(**SMALL).fit(X, THREE, group=[75, 75])
    result = model.predict(X[:5])
    attributes, table = only(recorded)
    assert attributes["ml.task.type"] == "ranking"
    assert outputs(table) == {"score": result.tolist()}


def log_loss(label: Any, raw: Any) -> tuple[Any, Any]:
    p = 1 / (1 + np.exp(-raw))
    return p - label, p * (1 - p)


def test_raw_scores_of_an_objective_of_the_program_are_no_labels(recorded: Any) -> None:
    model = lgb.LGBMClassifier(objective=log_loss, **SMALL).fit(X, BINARY)
    result = model.predict(X[:5])
    assert outputs(recorded.batch()) == {"score": result.tolist()}


@pytest.mark.parametrize(
    ("objective", "label", "parameters", "task", "column"),
    [
        ("binary", BINARY, {}, "binary_classification", "score"),
        ("multiclass", THREE, {"num_class": 3}, "multiclass_classification", "score"),
        ("multiclassova", THREE, {"num_class": 3}, "multiclass_classification", "score"),
        ("regression", NUMBER, {}, "regression", "value"),
        ("poisson", THREE, {}, "regression", "value"),
        ("cross_entropy", BINARY, {}, "regression", "value"),
        ("lambdarank", THREE, {}, "ranking", "score"),
        ("rank_xendcg", THREE, {}, "ranking", "score"),
    ],
)
def test_the_objective_of_a_booster_says_what_it_returns(
    recorded: Any, objective: str, label: Any, parameters: Any, task: str, column: str
) -> None:
    booster = trained(objective, label, **parameters)
    result = booster.predict(FRAME[:5])
    attributes, table = only(recorded)
    assert attributes["ml.model.name"] == "lightgbm.Booster"
    assert (attributes["ml.framework.name"], attributes["ml.task.type"]) == ("lightgbm", task)
    found = outputs(table)
    if result.ndim == 1:
        assert found == {column: result.tolist()}
    else:
        assert [found[f"score.{i}"] for i in range(3)] == result.T.tolist()
    assert features(table) == FRAME[:5].to_dict("list")


@pytest.mark.parametrize("data", [X[:6], FRAME[:6], sp.csr_matrix(X[:6]), sp.csc_matrix(X[:6])], ids=["array", "frame", "csr", "csc"])  # fmt: skip
def test_inputs_of_a_booster_keep_their_features(recorded: Any, data: Any) -> None:
    trained("regression", NUMBER).predict(data)
    assert features(recorded.batch()) == FRAME[:6].to_dict("list")


def test_categories_are_recorded_as_the_program_gave_them(recorded: Any) -> None:
    frame = FRAME.assign(country=pd.Categorical(np.array(["DE", "FR", "US"])[THREE]))
    trained("regression", NUMBER, frame).predict(frame[:6])
    assert features(recorded.batch())["country"] == frame["country"][:6].tolist()


def test_a_file_that_is_predicted_by_its_path_is_recorded_without_features(recorded: Any, tmp_path: Path) -> None:
    booster = trained("regression", NUMBER, X)
    np.savetxt(tmp_path / "rows.csv", np.column_stack([NUMBER, X])[:7], delimiter=",")
    result = booster.predict(str(tmp_path / "rows.csv"))
    table = recorded.batch()
    assert outputs(table) == {"value": result.tolist()}
    assert features(table) == {}


NOT_PREDICTIONS: list[dict[str, bool]] = [{"raw_score": True}, {"pred_leaf": True}, {"pred_contrib": True}]


@pytest.mark.parametrize("what", NOT_PREDICTIONS, ids=str)
def test_raw_scores_leaves_and_contributions_are_no_predictions(recorded: Any, what: dict[str, bool]) -> None:
    trained("binary", BINARY).predict(X, **what)
    model = lgb.LGBMClassifier(**SMALL).fit(X, BINARY)
    model.predict(X, **what)
    model.predict_proba(X, **what)
    assert recorded.batches() == []


def test_iterations_that_are_chosen_predict_like_all(recorded: Any) -> None:
    booster = trained("binary", BINARY)
    booster.predict(X[:5], 1, 1)
    booster.predict(X[:5], start_iteration=0, num_iteration=2)
    assert recorded.rows() == 10


def test_an_input_that_lightgbm_refuses_is_recorded_with_its_error_and_the_error_passes(recorded: Any) -> None:
    booster = trained("regression", NUMBER)
    with pytest.raises(lgb.basic.LightGBMError, match="number of features"):
        booster.predict(X[:2, :2])
    with pytest.raises(TypeError, match="Cannot use Dataset"):
        booster.predict(lgb.Dataset(X))
    assert [table["error_type"][0].as_py() for _, table in recorded.batches()] == ["LightGBMError", "TypeError"]
