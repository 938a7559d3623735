"""A feature has one name, however the program passes it: that with which the model was fitted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import catboost as cb
import lightgbm as lgb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import xgboost as xgb
from scipy import sparse
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from modelspan.instrumentation.catboost import CatBoostInstrumentor
from modelspan.instrumentation.lightgbm import LightGBMInstrumentor
from modelspan.instrumentation.xgboost import XGBoostInstrumentor
from modelspan.profile import from_json
from modelspan.semconv import attributes as ml
from modelspan.semconv import events
from tests.instrumentation.conftest import Telemetry

X = np.random.default_rng(0).normal(size=(200, 3))
Y = X @ [1.0, 2.0, 3.0]
NAMED, POSITIONS = ["age", "income", "debt"], ["x0", "x1", "x2"]


@pytest.fixture
def recorded(telemetry: Telemetry) -> Iterator[Telemetry]:
    others = [LightGBMInstrumentor(), XGBoostInstrumentor(), CatBoostInstrumentor()]
    for other in others:
        other.instrument()
    yield telemetry
    for other in others:
        other.uninstrument()


MODELS: dict[str, Callable[[Any], Any]] = {
    "LinearRegression": lambda x: LinearRegression().fit(x, Y),
    "a pipeline": lambda x: make_pipeline(StandardScaler(), LinearRegression()).fit(x, Y),
    "a search": lambda x: GridSearchCV(LinearRegression(), {"positive": [False]}, cv=2).fit(x, Y),
    "LightGBM": lambda x: lgb.LGBMRegressor(n_estimators=2, verbose=-1).fit(x, Y),
    "XGBoost": lambda x: xgb.XGBRegressor(n_estimators=2).fit(x, Y),
    "CatBoost": lambda x: cb.CatBoostRegressor(iterations=2, verbose=0, allow_writing_files=False).fit(x, Y),
}
INPUTS: dict[str, Callable[[Any], Any]] = {
    "array": lambda x: x,
    "numbered": pd.DataFrame,
    "numbered texts": lambda x: pd.DataFrame(x, columns=["0", "1", "2"]),
    "named": lambda x: pd.DataFrame(x, columns=NAMED),
    "named of two types": lambda x: pd.DataFrame(x, columns=NAMED).astype({"age": "float32"}),
    "polars": lambda x: pl.DataFrame(x, schema=NAMED),
    "unnamed polars": pl.DataFrame,
    "Arrow": lambda x: pa.table(dict(zip(NAMED, x.T, strict=True))),
    "lists": lambda x: x.tolist(),
    "sparse": sparse.csr_matrix,
    "DMatrix": xgb.DMatrix,
    "numbered DMatrix": lambda x: xgb.DMatrix(pd.DataFrame(x)),
    "named DMatrix": lambda x: xgb.DMatrix(pd.DataFrame(x, columns=NAMED)),
    "Pool": cb.Pool,
    "named Pool": lambda x: cb.Pool(pd.DataFrame(x, columns=NAMED)),
}


def feature_names(table: Any) -> list[str]:
    return [name.removeprefix("feature.") for name in table.column_names if name.startswith("feature.")]


def serve(model: Any, recorded: Telemetry) -> int:
    """Predict with every input that the model takes."""
    taken = 0
    for make in INPUTS.values():
        try:
            model.predict(make(X[:4]))
            taken += 1
        except Exception:  # the model does not take it: then its rows are recorded as it would
            continue
    return taken


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("fitted", ["array", "numbered", "numbered texts", "named"])
@pytest.mark.parametrize("model", MODELS)
def test_features_are_named_as_the_model_was_fitted(recorded: Telemetry, model: str, fitted: str) -> None:
    made = MODELS[model](INPUTS[fitted](X))
    assert serve(made, recorded) >= 4
    expected = NAMED if fitted == "named" else POSITIONS
    tables = [table for attributes, table in recorded.batches() if "error_type" not in table.column_names]
    assert [feature_names(table) for table in tables] == [expected] * len(tables)
    (reference,) = recorded.events(events.ML_REFERENCE_PROFILE)
    profile = from_json(reference.attributes[ml.ML_REFERENCE_PROFILE_DATA])
    assert [series.name for series in profile.series] == expected


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("fitted", ["array", "numbered", "named"])
def test_features_of_native_boosters_are_named_as_they_were_trained(recorded: Telemetry, fitted: str) -> None:
    given = INPUTS[fitted](X)
    boosters = [
        xgb.train({}, xgb.DMatrix(given, Y), num_boost_round=2),
        lgb.train({"verbose": -1}, lgb.Dataset(given, Y), num_boost_round=2),
    ]
    for booster in boosters:
        assert serve(booster, recorded) >= 1
    expected = NAMED if fitted == "named" else POSITIONS
    tables = [table for _, table in recorded.batches() if "error_type" not in table.column_names]
    assert [feature_names(table) for table in tables] == [expected] * len(tables)


class Plain(LinearRegression):  # type: ignore[misc]  # of a program, which may not remember names
    def fit(self, X: Any, y: Any) -> Plain:
        self.n_features_in_ = 3
        return self

    def predict(self, X: Any) -> Any:
        return np.ones(len(X))


def test_a_model_that_does_not_know_keeps_the_names_of_the_frame(telemetry: Telemetry) -> None:
    model = Plain()  # made elsewhere
    model.predict(INPUTS["named"](X))
    model.predict(INPUTS["polars"](X))
    assert [feature_names(table) for _, table in telemetry.batches()] == [NAMED, NAMED]


@pytest.mark.parametrize(
    "data", [["good", "bad"] * 60, pd.Series(["good", "bad"] * 60, name="review"), pl.Series("r", ["good", "bad"] * 60)]
)
def test_texts_are_the_feature_text_whatever_a_series_is_called(telemetry: Telemetry, data: Any) -> None:
    model = make_pipeline(HashingVectorizer(n_features=8), LogisticRegression()).fit(data, [0, 1] * 60)
    model.predict(["good"])
    model.predict(pd.Series(["bad"], name="other"))
    assert [feature_names(table) for _, table in telemetry.batches()] == [["text"]] * len(telemetry.batches())
    (reference,) = telemetry.events(events.ML_REFERENCE_PROFILE)
    profile = from_json(reference.attributes[ml.ML_REFERENCE_PROFILE_DATA])
    assert [series.name for series in profile.series] == ["text"]


def test_what_is_withheld_by_the_name_of_a_column_stays_withheld_under_another(again: Callable[..., Any]) -> None:
    telemetry = again(features="income=drop, x2=drop")
    model = LinearRegression().fit(X, Y)
    with pytest.warns(UserWarning, match="feature names"):
        model.predict(INPUTS["named"](X))
    ((attributes, table),) = telemetry.batches()
    assert feature_names(table) == ["x0"]
    assert attributes[ml.ML_REDACTION_FEATURES] == ("x1", "x2")


def test_an_allow_list_may_name_what_the_program_calls_a_column(again: Callable[..., Any]) -> None:
    telemetry = again(capture="income")
    model = LinearRegression().fit(X, Y)
    with pytest.warns(UserWarning, match="feature names"):
        model.predict(INPUTS["named"](X))
    assert feature_names(telemetry.batch()) == ["x1"]
