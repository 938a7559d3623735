"""A value is missing where the model takes it for missing, whatever held it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import catboost as cb
import lightgbm as lgb
import numpy as np
import pandas as pd
import polars as pl
import pytest
import xgboost as xgb
from scipy import sparse
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from modelspan.profile import from_json
from modelspan.semconv import attributes as ml
from modelspan.semconv import events
from tests.instrumentation.conftest import Telemetry
from tests.instrumentation.test_names import recorded

__all__ = ["recorded"]

X = np.random.default_rng(0).integers(0, 3, size=(200, 2)).astype(float)
Y = X.sum(axis=1)
DENSE = np.array([[0.0, 1.0], [np.nan, -999.0], [2.0, 3.0]])
SPARSE = sparse.csr_matrix(np.nan_to_num(DENSE))  # holds neither the zero nor the NaN

CONTAINERS: dict[str, Callable[[], Any]] = {
    "array": lambda: DENSE,
    "float32": lambda: DENSE.astype(np.float32),
    "lists": lambda: DENSE.tolist(),
    "pandas": lambda: pd.DataFrame(DENSE),
    "polars": lambda: pl.DataFrame(DENSE),
    "csr": lambda: SPARSE,
    "csr_array": lambda: sparse.csr_array(SPARSE),
    "csc": SPARSE.tocsc,
    "coo": SPARSE.tocoo,
}
STORED: dict[float, tuple[list[Any], list[Any], list[Any]]] = {
    np.nan: ([0, None, 2], [None, None, 2], [1, -999, 3]),
    -999.0: ([0, None, 2], [None, None, 2], [1, None, 3]),
    0.0: ([None, None, 2], [None, None, 2], [1, -999, 3]),
}
"""By `missing`: the first column of dense and of sparse inputs, and the second."""


def columns_of(recorded: Telemetry) -> list[list[Any]]:
    ((_, table),) = [batch for batch in recorded.batches() if "error_type" not in batch[1].column_names]
    return [table[f"feature.x{i}"].to_pylist() for i in range(2)]


def expected_of(missing: float, given: Any) -> list[list[Any]]:
    dense, held, second = STORED[missing]
    return [held if sparse.issparse(given) else dense, second]


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("missing", STORED)
@pytest.mark.parametrize("within", ["alone", "in a pipeline"])
def test_xgboost_models_say_what_is_missing(recorded: Telemetry, missing: float, container: str, within: str) -> None:
    model = xgb.XGBRegressor(n_estimators=2, n_jobs=1, missing=missing)
    model = (model if within == "alone" else make_pipeline("passthrough", model)).fit(X, Y)
    given = CONTAINERS[container]()
    try:
        model.predict(given)
    except Exception as error:
        pytest.skip(f"not taken: {error}")
    assert columns_of(recorded) == expected_of(missing, given)


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("missing", STORED)
@pytest.mark.parametrize("how", ["DMatrix", "inplace_predict"])
def test_boosters_are_told_what_is_missing(recorded: Telemetry, missing: float, container: str, how: str) -> None:
    booster = xgb.train({"nthread": 1}, xgb.DMatrix(X, Y), num_boost_round=2)
    given = CONTAINERS[container]()
    try:
        if how == "DMatrix":
            booster.predict(xgb.DMatrix(given, missing=missing))
        else:
            booster.inplace_predict(given, missing=missing)
    except Exception as error:
        pytest.skip(f"not taken: {error}")
    assert columns_of(recorded) == expected_of(missing, given)


@pytest.mark.parametrize("missing", STORED)
@pytest.mark.parametrize("given", [np.nan_to_num(X), sparse.csr_matrix(X)], ids=["array", "csr"])
def test_a_reference_of_a_fit_misses_what_the_model_misses(recorded: Telemetry, missing: float, given: Any) -> None:
    xgb.XGBRegressor(n_estimators=2, n_jobs=1, missing=missing).fit(given, Y)
    (event,) = recorded.events(events.ML_REFERENCE_PROFILE)
    first: Any = from_json(event.attributes[ml.ML_REFERENCE_PROFILE_DATA]).series[0]
    takes_zeros = not sparse.issparse(given) and missing != 0
    assert first.missing == (0 if takes_zeros else np.count_nonzero(X[:, 0] == 0))


ZEROS: dict[str, Callable[[], Any]] = {
    "LightGBM": lambda: lgb.LGBMRegressor(n_estimators=2, n_jobs=1, verbose=-1),
    "LightGBM that takes zeros for missing": lambda: lgb.LGBMRegressor(
        n_estimators=2, n_jobs=1, verbose=-1, zero_as_missing=True
    ),
    "CatBoost": lambda: cb.CatBoostRegressor(iterations=2, thread_count=1, verbose=0, allow_writing_files=False),
    "XGBoost behind a scaler": lambda: make_pipeline(
        StandardScaler(with_mean=False), xgb.XGBRegressor(n_estimators=2, n_jobs=1)
    ),
}


@pytest.mark.parametrize("model", ZEROS)
def test_what_a_sparse_matrix_does_not_hold_is_zero_to_others(recorded: Telemetry, model: str) -> None:
    made = ZEROS[model]().fit(X, Y)
    made.predict(SPARSE)
    assert columns_of(recorded) == [[0, 0, 2], [1, -999, 3]]
