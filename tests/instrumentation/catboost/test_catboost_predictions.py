"""What is recorded of each way to predict with CatBoost."""

from __future__ import annotations

from typing import Any

import catboost as cb
import numpy as np
import pandas as pd
import pytest

RNG = np.random.default_rng(5)
X = RNG.normal(size=(150, 3)).astype(np.float32)
BINARY = (X[:, 0] > 0).astype(int)
THREE = np.digitize(X[:, 0], [-0.5, 0.5])
NAMES = np.array(["low", "mid", "high"])[THREE]
NUMBER = X[:, 0] * 2 + X[:, 1]
FRAME = pd.DataFrame(X, columns=["age", "income", "debt"])
MIXED = FRAME.assign(country=np.array(["DE", "FR", "US"])[THREE])
SMALL = {"iterations": 3, "verbose": 0, "allow_writing_files": False, "thread_count": 1}


def outputs(table: Any) -> dict[str, list[Any]]:
    skip = ("feature.", "time", "duration", "prediction_id", "trace_id", "span_id")
    return {name: table[name].to_pylist() for name in table.column_names if not name.startswith(skip)}


def features(table: Any) -> dict[str, list[Any]]:
    return {n.removeprefix("feature."): table[n].to_pylist() for n in table.column_names if n.startswith("feature.")}


def only(telemetry: Any) -> tuple[dict[str, Any], Any]:
    (found,) = telemetry.batches()
    return found


def by_class(result: Any, classes: Any) -> dict[str, list[float]]:
    chosen = result[:, 1] if len(classes) == 2 else result.max(axis=1)
    return {"score": chosen.tolist(), **{f"score.{name}": result[:, i].tolist() for i, name in enumerate(classes)}}


@pytest.mark.parametrize(
    ("model", "label", "task"),
    [
        (cb.CatBoostClassifier(**SMALL), BINARY, "binary_classification"),
        (cb.CatBoostClassifier(**SMALL), BINARY.astype(float), "binary_classification"),
        (cb.CatBoostClassifier(**SMALL), NAMES, "multiclass_classification"),
        (cb.CatBoostRegressor(**SMALL), NUMBER, "regression"),
        (cb.CatBoostRegressor(loss_function="Poisson", **SMALL), THREE, "regression"),
    ],
)
def test_each_prediction_is_recorded_once(recorded: Any, model: Any, label: Any, task: str) -> None:
    result = model.fit(FRAME, label).predict(FRAME[:5])
    attributes, table = only(recorded)
    assert attributes["ml.model.name"] == type(model).__name__
    assert (attributes["ml.framework.name"], attributes["ml.framework.version"]) == ("catboost", cb.__version__)
    assert (attributes["ml.task.type"], attributes["ml.operation.name"]) == (task, "predict")
    assert features(table) == FRAME[:5].to_dict("list")
    if task == "regression":
        assert outputs(table) == {"value": result.tolist()}
    else:
        assert outputs(table) == {"label": [str(one).removesuffix(".0") for one in result.reshape(-1)]}


def test_probabilities(recorded: Any) -> None:
    model = cb.CatBoostClassifier(**SMALL).fit(X, NAMES)
    result, logarithms = model.predict_proba(X[:5]), model.predict_log_proba(X[:5])
    first, second = recorded.batches()
    assert (first[0]["ml.operation.name"], outputs(first[1])) == ("predict_proba", by_class(result, model.classes_))
    assert second[0]["ml.operation.name"] == "predict_log_proba"
    assert outputs(second[1]) == by_class(logarithms, model.classes_)
    assert list(features(first[1])) == ["x0", "x1", "x2"]


@pytest.mark.parametrize(
    ("prediction_type", "operation"),
    [
        ("Class", "predict"),
        ("Probability", "predict_proba"),
        ("LogProbability", "predict_log_proba"),
        ("RawFormulaVal", "decision_function"),
    ],
)
def test_the_prediction_type_says_what_a_classifier_returns(
    recorded: Any, prediction_type: str, operation: str
) -> None:
    model = cb.CatBoostClassifier(**SMALL).fit(X, BINARY)
    result = model.predict(X[:5], prediction_type)
    attributes, table = only(recorded)
    assert attributes["ml.operation.name"] == operation
    if prediction_type == "Class":
        assert outputs(table) == {"label": [str(one) for one in result]}
    elif prediction_type == "RawFormulaVal":
        assert outputs(table) == {"score": result.tolist()}
    else:
        assert outputs(table) == by_class(result, [0, 1])


@pytest.mark.parametrize(
    ("loss", "label", "task", "column"),
    [
        ("Logloss", BINARY.astype(float), "binary_classification", "score"),
        ("MultiClass", THREE, "multiclass_classification", "score"),
        ("RMSE", NUMBER, "regression", "value"),
        ("Quantile:alpha=0.9", NUMBER, "regression", "value"),
        ("YetiRank", THREE, "ranking", "score"),
    ],
)
def test_what_a_plain_catboost_returns_follows_its_loss(
    recorded: Any, loss: str, label: Any, task: str, column: str
) -> None:
    pool = cb.Pool(X, label, group_id=np.repeat([0, 1], 75) if loss == "YetiRank" else None)
    result = cb.CatBoost({"loss_function": loss, **SMALL}).fit(pool).predict(X[:5])
    attributes, table = only(recorded)
    assert (attributes["ml.model.name"], attributes["ml.task.type"]) == ("CatBoost", task)
    expected = by_class(result, range(3)) if result.ndim == 2 else {column: result.tolist()}
    assert outputs(table) == expected


def test_a_ranker_returns_scores(recorded: Any) -> None:
    model = cb.CatBoostRanker(**SMALL).fit(X, THREE, group_id=np.repeat([0, 1], 75))
    result = model.predict(X[:5])
    attributes, table = only(recorded)
    assert (attributes["ml.task.type"], outputs(table)) == ("ranking", {"score": result.tolist()})


def test_mean_and_variance_are_two_values(recorded: Any) -> None:
    model = cb.CatBoostRegressor(loss_function="RMSEWithUncertainty", **SMALL).fit(X, NUMBER)
    result = model.predict(X[:5])
    assert outputs(recorded.batch()) == {f"value.{i}": result[:, i].tolist() for i in range(2)}


SINGLE: dict[str, Any] = {"array": X[0], "list": X[0].tolist(), "row of a frame": FRAME.iloc[0]}


@pytest.mark.parametrize("one", SINGLE.values(), ids=SINGLE)
def test_one_object_is_one_row(recorded: Any, one: Any) -> None:
    model = cb.CatBoostClassifier(**SMALL).fit(FRAME, NAMES)
    label, scores = model.predict(one), model.predict_proba(one)
    first, second = (table for _, table in recorded.batches())
    assert outputs(first) == {"label": [np.asarray(label).item()]}
    assert outputs(second) == by_class(scores[np.newaxis], model.classes_)
    assert features(first) == {name: [pytest.approx(value)] for name, value in FRAME.iloc[0].items()}


def test_one_object_of_a_regressor_is_still_returned_as_a_number(recorded: Any) -> None:
    model = cb.CatBoostRegressor(**SMALL).fit(X, NUMBER)
    result = model.predict(X[0])
    assert isinstance(result, float)
    assert outputs(recorded.batch()) == {"value": [result]}


@pytest.mark.parametrize(("fitted", "names"), [(X, ["x0", "x1", "x2"]), (FRAME, list(FRAME.columns))])
def test_features_of_a_pool_have_the_names_that_the_model_was_fitted_with(
    recorded: Any, fitted: Any, names: list[str]
) -> None:
    model = cb.CatBoostRegressor(**SMALL).fit(fitted, NUMBER)
    model.predict(cb.Pool(FRAME[:6]))
    model.predict(cb.Pool(X[:6]))
    for (_, table), values in zip(recorded.batches(), (FRAME[:6].to_numpy(), X[:6]), strict=True):
        assert features(table) == dict(zip(names, values.T.tolist(), strict=True))


def test_a_large_pool_is_sampled(recorded_with: Any) -> None:
    telemetry = recorded_with(call_bytes=30 * 8 * 3)
    model = cb.CatBoostRegressor(**SMALL).fit(FRAME, NUMBER)
    result = model.predict(cb.Pool(FRAME))
    table = telemetry.batch()
    assert table.num_rows == 30
    assert sum(table["weight"].to_pylist()) == pytest.approx(150)
    places = [FRAME["age"].tolist().index(one) for one in table["feature.age"].to_pylist()]
    assert table["value"].to_pylist() == result[places].tolist()


def test_categories_in_a_frame_are_recorded_and_those_in_a_pool_are_not(recorded: Any) -> None:
    model = cb.CatBoostClassifier(cat_features=["country"], **SMALL).fit(MIXED, BINARY)
    result = model.predict(MIXED[:6])
    model.predict(cb.Pool(MIXED[:6], cat_features=["country"]))
    first, second = (table for _, table in recorded.batches())
    assert features(first) == MIXED[:6].to_dict("list")
    assert features(second) == {}
    assert outputs(first) == outputs(second) == {"label": [str(one) for one in result]}


def test_texts_are_recorded(recorded: Any) -> None:
    frame = FRAME.assign(review=np.array(["good and cheap", "bad", "so so"])[THREE])
    model = cb.CatBoostClassifier(text_features=["review"], **SMALL).fit(frame, BINARY)
    model.predict(frame[:6])
    assert features(recorded.batch())["review"] == frame["review"][:6].tolist()


def test_staged_and_virtual_predictions_and_leaves_are_no_predictions(recorded: Any) -> None:
    model = cb.CatBoostClassifier(posterior_sampling=True, **{**SMALL, "iterations": 20}).fit(X, BINARY)
    assert len(list(model.staged_predict(X, eval_period=10))) == 2
    assert len(list(model.staged_predict_proba(X, eval_period=10))) == 2
    model.calc_leaf_indexes(X)
    model.virtual_ensembles_predict(X, virtual_ensembles_count=2)
    assert recorded.batches() == []


def test_an_input_that_catboost_refuses_is_recorded_with_its_error_and_the_error_passes(recorded: Any) -> None:
    model = cb.CatBoostRegressor(**SMALL).fit(FRAME, NUMBER)
    with pytest.raises(cb.CatBoostError, match="Feature"):
        model.predict(FRAME[["age"]])
    with pytest.raises(cb.CatBoostError, match="Invalid"):
        model.predict(X[:2], prediction_type="Nonsense")
    with pytest.raises(TypeError, match="unexpected keyword"):
        model.predict(X[:2], nonsense=1)
    found = [(table["error_type"][0].as_py(), table.num_rows) for _, table in recorded.batches()]
    assert found == [(cb.CatBoostError.__qualname__, 150)]


@pytest.mark.parametrize("data", [FRAME, cb.Pool(FRAME, NUMBER)], ids=["frame", "Pool"])
def test_what_a_model_is_fitted_on_is_its_reference(recorded: Any, data: Any) -> None:
    cb.CatBoostRegressor(**SMALL).fit(data, NUMBER if data is FRAME else None)
    (found,) = recorded.events("ml.reference.profile")
    assert found.attributes["ml.reference.sample.count"] == len(FRAME)
    assert all(name in str(found.attributes["ml.reference.profile.data"]) for name in FRAME)
