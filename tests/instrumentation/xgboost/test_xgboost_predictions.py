"""What is recorded of each way to predict with XGBoost."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import xgboost as xgb

from modelspan.instrumentation.xgboost import matrix
from modelspan.instrumentation.xgboost.values import compressed

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


def test_a_matrix_that_lacks_values_has_no_features_there(recorded: Any) -> None:
    data = np.array([[np.nan, 1, 0], [2, np.nan, 3], [4, 5, -1]], dtype=np.float32)
    booster = trained("reg:squarederror", NUMBER)
    booster.predict(xgb.DMatrix(data, missing=-1.0, feature_names=list(FRAME)))
    assert features(recorded.batch()) == {"age": [None, 2, 4], "income": [1, None, 5], "debt": [0, 3, None]}


def test_what_a_sparse_matrix_lacks_is_missing_to_xgboost_too(recorded: Any) -> None:
    booster = xgb.train({"nthread": 1}, xgb.DMatrix(X, label=NUMBER), 2)
    booster.predict(xgb.DMatrix(sp.csr_matrix(np.array([[1, 0, 0], [0, 0, 2]], dtype=np.float32))))
    assert features(recorded.batch()) == {"x0": [1, None], "x2": [None, 2]}


def test_calls_with_many_matrices_become_one_table(recorded: Any) -> None:
    booster = trained("reg:squarederror", NUMBER)
    results = [booster.predict(xgb.DMatrix(FRAME[i : i + 2]))[0] for i in range(9)]
    table = recorded.batch()
    assert table.num_rows == 18
    assert table["feature.debt"].to_pylist()[::2] == FRAME["debt"][:9].tolist()
    assert table["value"].to_pylist()[::2] == [float(one) for one in results]


def test_a_matrix_may_be_gone_before_it_is_read(recorded: Any) -> None:
    booster = trained("reg:squarederror", NUMBER)
    data = xgb.DMatrix(FRAME[:4])
    booster.predict(data)
    del data
    assert features(recorded.batch()) == FRAME[:4].to_dict("list")


def test_categories_have_their_names_or_else_their_codes(recorded: Any) -> None:
    frame = FRAME.assign(country=pd.Categorical(np.array(["DE", "FR", "US"])[THREE]))
    data = xgb.DMatrix(frame, label=NUMBER, enable_categorical=True)
    booster = xgb.train({"nthread": 1, "tree_method": "hist"}, data, 2)
    booster.predict(xgb.DMatrix(frame[:6].drop(columns="country").assign(country=frame["country"][:6].where(THREE[:6] > 0)), enable_categorical=True))  # fmt: skip
    named = hasattr(data, "get_categories")
    expected = [(frame["country"][i] if named else str(THREE[i])) if THREE[i] > 0 else None for i in range(6)]
    assert features(recorded.batch())["country"] == expected


def test_a_matrix_of_quantiles_does_not_hold_the_features_of_its_predictions(recorded: Any) -> None:
    booster = xgb.train({"tree_method": "hist", "nthread": 1}, xgb.DMatrix(FRAME, label=NUMBER), 2)
    result = booster.predict(xgb.QuantileDMatrix(FRAME, max_bin=4))
    table = recorded.batch()
    assert outputs(table) == {"value": result.tolist()}
    assert features(table) == {}


class Batches(xgb.DataIter):
    def __init__(self) -> None:
        self.at = 0
        super().__init__()

    def next(self, input_data: Any) -> Any:
        if self.at == 2:
            return False
        input_data(data=X[self.at * 60 : self.at * 60 + 60], label=NUMBER[self.at * 60 : self.at * 60 + 60])
        self.at += 1
        return True

    def reset(self) -> None:
        self.at = 0


def test_a_matrix_made_from_an_iterator_is_counted(recorded: Any) -> None:
    booster = xgb.train({"nthread": 1}, xgb.DMatrix(X, label=NUMBER), 2)
    booster.predict(xgb.DMatrix(Batches()))
    table = recorded.batch()
    assert (table.num_rows, features(table)) == (120, {})


@pytest.mark.parametrize("read_whole", [0, 1_000_000])
def test_of_a_large_matrix_a_sample_is_held(recorded_with: Any, monkeypatch: Any, read_whole: int) -> None:
    monkeypatch.setattr(matrix, "_READ_WHOLE", read_whole)
    telemetry = recorded_with(call_bytes=30 * 8 * FRAME.shape[1])
    booster = trained("reg:squarederror", NUMBER)
    telemetry.batches()
    result = booster.predict(xgb.DMatrix(FRAME, label=NUMBER, group=[60, 60]))
    table = telemetry.batches()[-1][1]
    assert table.num_rows == 30
    assert sum(table["weight"].to_pylist()) == pytest.approx(120)
    places = [FRAME["age"].tolist().index(one) for one in table["feature.age"].to_pylist()]
    assert table["value"].to_pylist() == result[places].tolist()


def test_without_features_nothing_of_a_matrix_is_read(recorded_with: Any) -> None:
    telemetry = recorded_with(capture="none")
    booster = trained("reg:squarederror", NUMBER)
    booster.predict(xgb.DMatrix(FRAME[:5]))
    table = telemetry.batch()
    assert (table.num_rows, features(table)) == (5, {})


def test_only_allowed_features_of_a_matrix_are_read(recorded_with: Any) -> None:
    telemetry = recorded_with(capture="income")
    booster = trained("reg:squarederror", NUMBER)
    booster.predict(xgb.DMatrix(FRAME[:5]))
    assert features(telemetry.batch()) == {"income": FRAME["income"][:5].tolist()}


def test_large_matrices_are_left_out_above_the_share_of_the_time_and_counted(recorded_with: Any) -> None:
    booster = trained("binary:logistic", BINARY)
    large = xgb.DMatrix(pd.concat([FRAME] * 10))
    expected = booster.predict(large)
    telemetry = recorded_with(overhead=1e-9)
    for _ in range(6):
        np.testing.assert_array_equal(booster.predict(large), expected)
    booster.predict(xgb.DMatrix(FRAME))
    last = telemetry.numbered()[-1]
    assert last["modelspan.recorder.rows.unsampled"] >= 3 * 1200
    assert last["modelspan.recorder.rows.recorded"] + last["modelspan.recorder.rows.unsampled"] == 6 * 1200 + 120


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("rows", [0, 1, 7])
def test_the_values_of_a_matrix_are_read_as_xgboost_reads_them(rows, missing):
    x = np.arange(rows * 3, dtype=float).reshape(rows, 3)
    if missing:
        x[::2, 1] = np.nan
    made = xgb.DMatrix(x)
    ours, theirs = compressed(made), made.get_data()
    assert ours.shape == theirs.shape
    assert [a.tolist() for a in ours[1:]] == [theirs.data.tolist(), theirs.indices.tolist(), theirs.indptr.tolist()]
