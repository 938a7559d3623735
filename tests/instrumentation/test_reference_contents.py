"""A reference holds what the model can have: `set_reference` refuses the rest in one sentence, and says what is seldom meant."""

from __future__ import annotations

from typing import Any

import catboost
import lightgbm
import numpy as np
import pandas as pd
import polars as pl
import pytest
import xgboost
from sklearn.base import BaseEstimator
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from modelspan.instrumentation import failure, flush, identify, set_reference, withdraw_reference
from modelspan.profile import from_json
from modelspan.semconv import events

RNG = np.random.default_rng(8)
FRAME = pd.DataFrame(RNG.normal(size=(1000, 3)), columns=["age", "income", "tenure"])
Y = FRAME.age > 0
MODEL = LogisticRegression().fit(FRAME, Y)
TREES = HistGradientBoostingClassifier(max_iter=2).fit(FRAME, Y)
REGRESSION = LinearRegression().fit(FRAME, FRAME.income)
PROBABILITIES = MODEL.predict_proba(FRAME)
BOOSTER = xgboost.train({"objective": "binary:logistic"}, xgboost.DMatrix(FRAME, Y.astype(float)), 2)
LIGHTGBM = lightgbm.train({"objective": "binary", "verbose": -1}, lightgbm.Dataset(FRAME, Y), 2)
CATBOOST = catboost.CatBoostRegressor(iterations=2, verbose=False, allow_writing_files=False).fit(FRAME, FRAME.income)
WIDE = FRAME.assign(city=RNG.choice(["Rome", "Oslo"], 1000), note="free text")
CHOOSING = make_pipeline(
    make_column_transformer((StandardScaler(), ["age"]), (OneHotEncoder(), ["city"])), LogisticRegression()
).fit(WIDE, Y)


@pytest.fixture(autouse=True)
def nothing_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failure, "_said", set())


def profile(telemetry: Any) -> dict[tuple[str, str], Any]:
    """The series of the only reference."""
    (event,) = telemetry.events(events.ML_REFERENCE_PROFILE)
    return {(s.kind, s.name): s for s in from_json(event.attributes["ml.reference.profile.data"]).series}


def said(caplog: pytest.LogCaptureFixture) -> str:
    assert flush()
    (record,) = caplog.records
    return record.message


IMPOSSIBLE = [
    (MODEL, FRAME * np.nan, {}, "the model does not take it: Input X contains NaN"),
    (MODEL, FRAME.assign(age=np.nan), {}, "the model does not take it: Input X contains NaN"),
    (TREES, FRAME * np.nan, {}, "every value is missing"),
    ("churn", FRAME * np.nan, {}, "every value is missing"),
    (MODEL, FRAME.astype(str), {}, "it has texts in 'age', 'income', 'tenure', and the model takes numbers"),
    (
        RandomForestClassifier(2).fit(FRAME, Y),
        FRAME.assign(age=FRAME.age.astype(str)),
        {},
        "it has texts in 'age', and",
    ),
    (
        make_pipeline(StandardScaler(), LogisticRegression()).fit(FRAME, Y),
        FRAME.astype(str),
        {},
        "it has texts in 'age', 'income'",
    ),
    (LIGHTGBM, FRAME.astype(str), {}, "it has texts in 'age', 'income', 'tenure', and the model takes numbers"),
    (CATBOOST, FRAME.astype(str), {}, "it has texts in 'age', 'income', 'tenure', and the model takes numbers"),
    (MODEL, FRAME.assign(age="old"), {}, "the model does not take it: could not convert string to float: 'old'"),
    (CHOOSING, WIDE.assign(city="Bonn"), {}, "the model does not take it: Found unknown categories"),
    (CHOOSING, WIDE.drop(columns="city"), {}, "it lacks 'city'"),
    (MODEL, FRAME[:0], {}, "no rows can be read from DataFrame"),
    (MODEL, FRAME, {"predictions": PROBABILITIES[:500]}, "it has 1,000 rows and 500 predictions"),
    (MODEL, FRAME, {"predictions": {"predict": Y, "predict_proba": PROBABILITIES[:500]}}, "1,000 rows and 500"),
    ("churn", FRAME, {"predictions": PROBABILITIES[:500]}, "it has 1,000 rows and 500 predictions"),
    (MODEL, FRAME, {"predictions": PROBABILITIES * np.nan}, "every prediction is missing"),
    (REGRESSION, FRAME, {"predictions": np.full(1000, np.nan)}, "every prediction is missing"),
    (REGRESSION, FRAME, {"predictions": ["high"] * 1000}, "predictions of predict are numbers, and texts were given"),
    (
        MODEL,
        FRAME,
        {"predictions": {"predict_proba": MODEL.predict(FRAME)}},
        "are scores, and whole numbers were given",
    ),
    (MODEL, FRAME, {"predictions": {"predict_proba": ["no"] * 1000}}, "predictions of predict_proba are numbers"),
    (MODEL, FRAME, {"predictions": PROBABILITIES[:, 1]}, "(scores? give what predict_proba returned)"),
    (MODEL, FRAME, {"predictions": PROBABILITIES * 100}, "probabilities are between 0 and 1, and these are between"),
    (BOOSTER, xgboost.DMatrix(FRAME), {"predictions": Y.astype(int)}, "are scores, and whole numbers were given"),
    (BOOSTER, xgboost.QuantileDMatrix(FRAME), {}, "from QuantileDMatrix; give the table that it was made of"),
    (CATBOOST, catboost.Pool(WIDE, cat_features=["city", "note"]), {}, "from Pool; give the table that it was made of"),
    (BOOSTER, lightgbm.Dataset(FRAME), {}, "no rows can be read from Dataset; give what predict takes"),
]


@pytest.mark.parametrize(("model", "x", "given", "sentence"), IMPOSSIBLE)
def test_what_the_model_cannot_have_is_refused_in_one_sentence(
    telemetry: Any, caplog: pytest.LogCaptureFixture, model: Any, x: Any, given: dict[str, Any], sentence: str
) -> None:
    assert not set_reference(model, x, **given)
    warning = said(caplog)
    assert warning.startswith("set_reference sets no reference: ")
    assert sentence in warning
    assert telemetry.events(events.ML_REFERENCE_PROFILE) == []


def test_an_error_of_the_model_shows_no_value_that_is_withheld(again: Any, caplog: pytest.LogCaptureFixture) -> None:
    again(features="age=mask")
    assert not set_reference(MODEL, FRAME.assign(age="old"))
    assert said(caplog) == "set_reference sets no reference: the model does not take it: ValueError."


@pytest.mark.parametrize("kind", [pd.DataFrame, np.asarray, pl.DataFrame, "rows"])
def test_a_reference_of_one_row_again_and_again_is_taken_and_warned_of(
    telemetry: Any, caplog: pytest.LogCaptureFixture, kind: Any
) -> None:
    model = LogisticRegression().fit(FRAME.to_numpy(), Y)
    values = np.tile(FRAME.to_numpy()[:1], (1000, 1))
    assert set_reference(model, values.tolist() if kind == "rows" else kind(values))
    assert said(caplog).startswith("set_reference: all 1,000 rows are the same")
    assert profile(telemetry)["feature", "x0"].rows == 1000


def test_a_feature_without_a_value_is_taken_and_warned_of_where_the_model_takes_missing_values(
    telemetry: Any, caplog: pytest.LogCaptureFixture
) -> None:
    assert set_reference(TREES, FRAME.assign(age=np.nan))
    assert said(caplog) == "set_reference: it has no value of 'age': once there are any, they will have changed."
    assert profile(telemetry)["feature", "age"].missing == 1000


class Own(BaseEstimator):
    """A model of the program, of whose `predict` nothing is known."""

    calls = 0

    def predict(self, x: Any) -> Any:
        type(self).calls += 1
        return np.zeros(len(x))


TEXTS = pd.Series(["red apple", "green pear"] * 500)
POSSIBLE = [
    (MODEL, FRAME[["tenure", "age", "income"]], {"age", "income", "tenure"}),
    (MODEL, FRAME.where(RNG.random(FRAME.shape) < 0.9), {"age", "income", "tenure"}),
    (CHOOSING, WIDE, {"age", "city"}),
    (CHOOSING, WIDE.drop(columns="note"), {"age", "city"}),
    (CHOOSING, WIDE.drop(columns=["income", "tenure", "note"]), {"age", "city"}),
    (CHOOSING, WIDE.assign(target=Y), {"age", "city"}),
    (GridSearchCV(CHOOSING, {}, cv=2).fit(WIDE, Y), WIDE.drop(columns="note"), {"age", "city"}),
    (
        make_pipeline(FunctionTransformer(lambda x: x[["age"]]), LogisticRegression()).fit(FRAME, Y),
        FRAME[["age", "income"]],
        {"age", "income"},
    ),
    (make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(TEXTS, Y), TEXTS, {"text"}),
    (make_pipeline(OneHotEncoder(), LogisticRegression()).fit(WIDE[["city"]], Y), WIDE[["city"]], {"city"}),
    (BOOSTER, xgboost.DMatrix(FRAME), {"age", "income", "tenure"}),
    (BOOSTER, FRAME.to_numpy(), {"age", "income", "tenure"}),
    (CATBOOST, catboost.Pool(FRAME), {"age", "income", "tenure"}),
    (CATBOOST, FRAME, {"age", "income", "tenure"}),
    (Own(), WIDE, set(WIDE)),
    (LogisticRegression(), FRAME, {"age", "income", "tenure"}),
]


@pytest.mark.parametrize(("model", "x", "features"), POSSIBLE)
def test_what_predict_takes_is_a_reference(
    telemetry: Any, caplog: pytest.LogCaptureFixture, model: Any, x: Any, features: set[str]
) -> None:
    assert set_reference(model, x)
    assert flush()
    assert caplog.records == []
    assert {name for _, name in profile(telemetry)} == features
    assert telemetry.rows() == 0
    assert Own.calls == 0


@pytest.mark.parametrize(
    ("model", "x"), [(BOOSTER, xgboost.DMatrix(FRAME)), (CATBOOST, catboost.Pool(FRAME))], ids=["xgboost", "catboost"]
)
def test_a_matrix_of_the_library_has_the_values_of_the_frame(telemetry: Any, model: Any, x: Any) -> None:
    assert set_reference(model, x)
    income = profile(telemetry)["feature", "income"]
    assert (income.rows, income.mean) == (1000, pytest.approx(FRAME.income.mean(), abs=1e-6))


@pytest.mark.parametrize(
    ("model", "x"),
    [
        (MODEL, FRAME[["age"]]),
        (BOOSTER, xgboost.DMatrix(FRAME[["age", "income"]])),
        (CATBOOST, catboost.Pool(FRAME[["age", "income"]])),
    ],
)
def test_a_matrix_with_other_columns_than_the_model_takes_is_refused(
    telemetry: Any, caplog: pytest.LogCaptureFixture, model: Any, x: Any
) -> None:
    assert not set_reference(model, x)
    assert "it lacks " in said(caplog)


@pytest.mark.parametrize("named", [True, False])
def test_a_method_of_the_model_makes_the_predictions_and_they_are_no_traffic(telemetry: Any, named: bool) -> None:
    model = LogisticRegression().fit(FRAME, Y)
    method = model.predict_proba
    assert set_reference(model, FRAME, predictions={"predict_proba": method} if named else method)
    assert telemetry.rows() == 0
    series = profile(telemetry)
    assert series["score", ""].mean == pytest.approx(model.predict_proba(FRAME)[:, 1].mean())
    assert ("label", "") not in series


@pytest.mark.parametrize("shape", [np.asarray, pd.Series, pd.DataFrame, list])
def test_predictions_of_one_column_are_those_of_predict(telemetry: Any, shape: Any) -> None:
    assert set_reference(MODEL, FRAME, predictions=shape(MODEL.predict(FRAME)))
    assert profile(telemetry)["label", ""].rows == 1000


def test_a_method_that_fails_is_named_and_nothing_is_raised(telemetry: Any, caplog: pytest.LogCaptureFixture) -> None:
    def predict(x: Any) -> Any:
        raise ValueError("no licence")

    assert not set_reference(MODEL, FRAME, predictions=predict)
    assert said(caplog) == "Modelspan could not set a reference: no licence. Said once."


@pytest.mark.parametrize("by_name", [True, False])
def test_a_reference_is_taken_back_by_the_name_of_the_model_and_its_identifier(telemetry: Any, by_name: bool) -> None:
    model = LogisticRegression().fit(FRAME, Y)
    identify(model, name="churn")
    assert withdraw_reference("churn" if by_name else model, "january")
    (event,) = telemetry.events(events.ML_REFERENCE_WITHDRAWN)
    assert (event.attributes["ml.model.name"], event.attributes["ml.reference.id"]) == ("churn", "january")


def test_a_reference_without_an_identifier_is_not_taken_back(telemetry: Any, caplog: pytest.LogCaptureFixture) -> None:
    assert not withdraw_reference(MODEL, "")
    assert "it takes the identifier of the reference" in said(caplog)
