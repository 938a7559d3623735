"""Where features cannot be read, the batch says why, and the predictions are recorded without them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import catboost as cb
import numpy as np
import onnxruntime as ort
import pandas as pd
import pytest
import xgboost as xgb
from onnx import TensorProto, helper
from sklearn.base import BaseEstimator
from sklearn.linear_model import LinearRegression

from modelspan.instrumentation.catboost import CatBoostInstrumentor
from modelspan.instrumentation.onnxruntime import OnnxRuntimeInstrumentor
from modelspan.instrumentation.xgboost import XGBoostInstrumentor
from modelspan.semconv import attributes as ml

INSTRUMENTORS = (XGBoostInstrumentor, CatBoostInstrumentor, OnnxRuntimeInstrumentor)
X = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
Y = (X[:, 0] > 0).astype(int)
SMALL = {"iterations": 2, "thread_count": 1, "verbose": 0, "allow_writing_files": False}
FRAME = pd.DataFrame({"a": X[:, 0], "b": np.where(X[:, 1] > 0, "u", "v")})


@pytest.fixture
def recorded(telemetry: Any) -> Iterator[Any]:
    for instrumentor in INSTRUMENTORS:
        instrumentor().instrument()
    yield telemetry
    for instrumentor in INSTRUMENTORS:
        instrumentor().uninstrument()


def said(telemetry: Any) -> tuple[str | None, list[str], int]:
    """What the only batch says of features that it lacks, those that it has, and its rows."""
    ((attributes, table),) = telemetry.batches()
    features = [name for name in table.column_names if name.startswith("feature.")]
    return attributes.get(ml.ML_CAPTURE_UNREADABLE), features, table.num_rows


class Pages(xgb.DataIter):
    """Two batches of rows."""

    def __init__(self) -> None:
        super().__init__()
        self._at = 0

    def next(self, input_data: Any) -> bool:
        self._at += 1
        if self._at > 2:
            return False
        input_data(data=X[:30], label=Y[:30])
        return True

    def reset(self) -> None:
        self._at = 0


def booster() -> Any:
    return xgb.train({"nthread": 1, "max_bin": 8, "base_score": 0.5}, xgb.QuantileDMatrix(X, Y, max_bin=8), 2)


def test_a_quantised_matrix_of_xgboost_holds_bins_and_not_the_values(recorded: Any) -> None:
    matrix = xgb.QuantileDMatrix(X, max_bin=8)
    assert not np.isin(matrix.get_data().toarray(), X).all()
    found = booster().predict(matrix)
    assert said(recorded) == ("quantized", [], 60)
    assert recorded.batch().column("value").to_pylist() == found.astype(float).tolist()


def test_a_streamed_matrix_of_xgboost_is_not_read_a_second_time(recorded: Any) -> None:
    booster().predict(xgb.DMatrix(Pages()))
    assert said(recorded) == ("streamed", [], 60)


def test_a_matrix_that_is_read_says_nothing(recorded: Any) -> None:
    booster().predict(xgb.DMatrix(X))
    assert said(recorded) == (None, ["feature.x0", "feature.x1", "feature.x2"], 60)


def test_a_quantised_pool_of_catboost_holds_no_values(recorded: Any) -> None:
    model = cb.CatBoostRegressor(**SMALL).fit(X, X[:, 1])
    pool = cb.Pool(X, X[:, 1])
    pool.quantize()
    model.predict(pool)
    assert said(recorded) == ("quantized", [], 60)


def test_a_pool_of_catboost_gives_no_categories_back(recorded: Any) -> None:
    pool = cb.Pool(FRAME, X[:, 1], cat_features=["b"])
    cb.CatBoostRegressor(**SMALL).fit(pool).predict(pool)
    assert said(recorded) == ("categorical", [], 60)


def test_data_that_was_quantised_before_a_fit_is_no_reference_and_no_reason_to_warn(
    recorded: Any, caplog: pytest.LogCaptureFixture
) -> None:
    many = np.repeat(X, 500, axis=0)
    xgb.train({"nthread": 1, "max_bin": 8}, xgb.QuantileDMatrix(many, many[:, 0], max_bin=8, nthread=1), 1)
    frame = pd.concat([FRAME] * 500, ignore_index=True)
    cb.CatBoostRegressor(**SMALL).fit(cb.Pool(frame, many[:, 1], cat_features=["b"]))
    assert recorded.events("ml.reference.profile") == []
    assert not [one for one in caplog.records if one.name.startswith("modelspan")]


def test_one_input_that_cannot_be_read_leaves_the_others(recorded: Any) -> None:
    texts, numbers = np.full((4, 2, 2), "a", dtype=object), X[:4, 0]
    ends = [("t", TensorProto.STRING, [None, 2, 2]), ("n", TensorProto.FLOAT, [None]), ("y", TensorProto.FLOAT, [None])]
    found = [helper.make_tensor_value_info(*end) for end in ends]
    graph = helper.make_graph([helper.make_node("Abs", ["n"], ["y"])], "g", found[:2], found[2:])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8).SerializeToString()
    ort.InferenceSession(made, providers=["CPUExecutionProvider"]).run(None, {"t": texts, "n": numbers})
    assert said(recorded) == ("unknown_type", ["feature.n"], 4)


class Odd:
    """Of a library that nobody knows."""

    def __init__(self, values: Any) -> None:
        self._values = values
        self.shape = values.shape

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return np.asarray(self._values, dtype=dtype)


def test_an_input_of_a_type_that_is_not_known_is_only_counted(telemetry: Any) -> None:
    model = LinearRegression().fit(X, Y)
    model.predict(Odd(X))
    assert said(telemetry) == ("unknown_type", [], 60)


class Halves(BaseEstimator):  # type: ignore[misc]  # without annotations
    """Predicts every other row."""

    def predict(self, X: Any) -> Any:
        return np.asarray(X)[::2, 0]


def test_an_input_of_other_rows_than_the_predictions_is_left_out(telemetry: Any) -> None:
    Halves().predict(X)
    assert said(telemetry) == ("row_count", [], 30)


def test_where_nothing_is_to_be_captured_nothing_is_missing(again: Callable[..., Any]) -> None:
    telemetry = again(capture=frozenset())
    LinearRegression().fit(X, Y).predict(X)
    assert said(telemetry) == (None, [], 60)


class Broken:
    """Cannot be read."""

    def __str__(self) -> str:
        raise ValueError("no")


def test_what_cannot_be_read_for_an_error_is_said_in_the_batch_too(telemetry: Any) -> None:
    class Any_(BaseEstimator):  # type: ignore[misc]  # as above
        def predict(self, X: Any) -> Any:
            return np.zeros(len(X))

    Any_().predict([[Broken()]])
    assert said(telemetry) == ("error", [], 1)
