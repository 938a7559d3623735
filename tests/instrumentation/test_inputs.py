"""What arrives is what the program passed, whatever it passed it in."""

from __future__ import annotations

import contextlib
import datetime
import decimal
import itertools
import json
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression, SGDClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from modelspan.instrumentation import prediction_context, set_reference
from modelspan.semconv import attributes as ml
from modelspan.semconv import events
from modelspan.semconv.attributes import ML_CAPTURE_UNREADABLE

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 3))
Y = X @ [1.0, 2.0, 3.0]


class Anything(BaseEstimator):
    """Takes every input and predicts 1.0 for each row."""

    def fit(self, X: Any, y: Any = None) -> Anything:
        return self

    def predict(self, X: Any) -> Any:
        return np.ones(X.shape[0] if hasattr(X, "shape") else len(X))


def features(table: pa.Table) -> dict[str, list[Any]]:
    prefix = "feature."
    return {n.removeprefix(prefix): table[n].to_pylist() for n in table.column_names if n.startswith(prefix)}


@pytest.mark.parametrize("dtype", ["f8", "f4", "f2", "i8", "i4", "i1", "u2", "?"])
@pytest.mark.parametrize(
    "arrange",
    [np.ascontiguousarray, np.asfortranarray, lambda a: np.repeat(a, 2, axis=1)[:, ::2], lambda a: a[::-1][::-1]],
)
def test_an_array_of_any_order_and_type_arrives_exactly(telemetry: Any, dtype: str, arrange: Any) -> None:
    values = arrange((RNG.normal(size=(5, 3)) * 3).astype(dtype))
    Anything().predict(values)
    assert features(telemetry.batch()) == {f"x{i}": values[:, i].tolist() for i in range(3)}


def test_arrays_of_any_number_of_rows_within_a_context_or_not_arrive_in_their_order(telemetry: Any) -> None:
    model = LinearRegression().fit(X, Y)
    edges = [0, 1, 2, 5, 6, 9, 10]
    returned = []
    for call, (start, stop) in enumerate(itertools.pairwise(edges)):
        with prediction_context(variant="blue") if call % 3 == 1 else contextlib.nullcontext():
            returned.extend(model.predict(X[start:stop]).tolist())
    table = telemetry.batch()
    assert features(table) == {f"x{i}": X[:10, i].tolist() for i in range(3)}
    assert table["value"].to_pylist() == returned
    assert table["variant"].to_pylist() == ["blue" if row in (1, 6, 7, 8) else None for row in range(10)]
    assert len(set(table["prediction_id"].to_pylist())) == 10


def test_slices_of_one_frame_arrive_in_their_order_and_frames_of_other_columns_apart(telemetry: Any) -> None:
    frame = pd.DataFrame(X[:8], columns=["a", "b", "c"])
    model = Anything()
    for part in (frame[:1], frame[1:2], frame[2:6], frame[6:7], frame[7:].copy()):
        model.predict(part)
    model.predict(frame[:1].rename(columns={"a": "z"}))
    whole, renamed = (features(table) for _, table in telemetry.batches())
    assert whole == frame.to_dict("list")
    assert renamed == {"z": [X[0, 0]], "b": [X[0, 1]], "c": [X[0, 2]]}


def test_large_unsigned_integers_become_floats_and_the_largest_signed_stay_exact(telemetry: Any) -> None:
    Anything().predict(np.array([[2**64 - 1, 1]], dtype="u8"))
    Anything().predict(np.array([[2**63 - 1, 1]], dtype="i8"))
    first, second = (table for _, table in telemetry.batches())
    assert first["feature.x0"].to_pylist() == [float(2**64 - 1)]
    assert second["feature.x0"].to_pylist() == [2**63 - 1]


@pytest.mark.parametrize(
    "made",
    [
        lambda: [[10**400, 1.5], [-(10**400), 2.5]],
        pytest.param(
            lambda: pl.DataFrame({"x0": pl.Series([2**100, -(2**100)], dtype=pl.Int128), "x1": [1.5, 2.5]}),
            marks=pytest.mark.skipif(not hasattr(pl, "Int128"), reason="this polars has no such type"),
        ),
    ],
)
def test_integers_too_large_for_any_number_leave_the_other_features(telemetry: Any, made: Any) -> None:
    Anything().predict(made())
    found = features(telemetry.batch())
    assert found["x1"] == [1.5, 2.5]
    assert found["x0"][0] == -found["x0"][1] >= 2.0**100


def test_missing_numbers_are_null_and_infinities_stay(telemetry: Any) -> None:
    Anything().predict(np.array([[np.nan, np.inf], [1.0, -np.inf]]))
    table = telemetry.batch()
    assert features(table) == {"x0": [None, 1.0], "x1": [np.inf, -np.inf]}
    assert table["feature.x0"].null_count == 1


def test_objects_and_strings_in_arrays(telemetry: Any) -> None:
    Anything().predict(np.array([["a", 1, None], [None, 2.5, True]], dtype=object))
    assert features(telemetry.batch()) == {"x0": ["a", None], "x1": [1.0, 2.5], "x2": [None, True]}


def test_masked_values_are_missing(telemetry: Any) -> None:
    Anything().predict(np.ma.masked_array([[1.0, 2.0], [3.0, 4.0]], mask=[[False, True], [False, False]]))
    assert features(telemetry.batch()) == {"x0": [1.0, 3.0], "x1": [None, 4.0]}


@pytest.mark.skipif(not hasattr(getattr(np, "dtypes", None), "StringDType"), reason="NumPy before 2 has no StringDType")
def test_strings_of_any_length_in_an_array(telemetry: Any) -> None:
    Anything().predict(np.array([["a" * 40], ["b"]], dtype=np.dtypes.StringDType()))
    assert features(telemetry.batch()) == {"x0": ["a" * 40, "b"]}


@pytest.mark.parametrize("kind", ["U", "S", object])
def test_one_dimension_of_strings_is_the_feature_text(telemetry: Any, kind: Any) -> None:
    Anything().predict(np.array(["good", "bäd" if kind != "S" else "bad"], dtype=kind))
    assert features(telemetry.batch()) == {"text": ["good", "bäd" if kind != "S" else "bad"]}


def test_one_dimension_of_numbers_is_one_feature(telemetry: Any) -> None:
    Anything().predict(np.array([1.5, 2.5]))
    assert features(telemetry.batch()) == {"x0": [1.5, 2.5]}


def test_dates_are_iso_strings(telemetry: Any) -> None:
    Anything().predict(np.array([["2026-01-02T03:04:05"], ["NaT"]], dtype="datetime64[s]"))
    assert features(telemetry.batch()) == {"x0": ["2026-01-02T03:04:05", None]}


@pytest.mark.parametrize(
    "value",
    [
        np.zeros(3, dtype=[("a", "f8"), ("b", "i4")]),
        np.zeros(3, dtype=[("a", "f8"), ("b", "O")]),
        np.ma.masked_array(np.zeros(3, dtype=[("a", "f8"), ("b", "i4")])),
        np.zeros((3, 2), dtype=complex),
        np.zeros((3, 2), dtype="V4"),
    ],
)
def test_an_array_whose_values_have_no_column_is_counted_without_features_which_is_said(
    telemetry: Any, value: Any, caplog: pytest.LogCaptureFixture
) -> None:
    Anything().predict(value)
    ((attributes, table),) = telemetry.batches()
    assert (features(table), table.num_rows) == ({}, 3)
    assert attributes[ML_CAPTURE_UNREADABLE] == "unknown_type"
    assert not caplog.records


def test_a_pandas_frame_of_many_types(telemetry: Any) -> None:
    frame = pd.DataFrame(
        {
            "number": [1.5, np.nan],
            "count": [1, 2],
            "flag": [True, False],
            "text": ["a", None],
            "kind": pd.Categorical(["x", None]),
            "when": pd.to_datetime(["2026-01-02T03:04:05", None]),
            "nullable": pd.array([1, None], dtype="Int64"),
            "maybe": pd.array([True, None], dtype="boolean"),
            "day": [datetime.date(2026, 1, 2), None],
            "exact": [decimal.Decimal("1.5"), None],
        }
    )
    Anything().predict(frame)
    found = features(telemetry.batch())
    assert found.pop("when")[0].startswith("2026-01-02T03:04:05")
    assert found == {
        "number": [1.5, None],
        "count": [1, 2],
        "flag": [True, False],
        "text": ["a", None],
        "kind": ["x", None],
        "nullable": [1, None],
        "maybe": [True, None],
        "day": ["2026-01-02", None],
        "exact": [1.5, None],
    }


def test_a_pandas_frame_of_one_type_keeps_its_names(telemetry: Any) -> None:
    frame = pd.DataFrame(X[:4], columns=["a", "b", "c"])
    LinearRegression().fit(frame, Y[:4]).predict(frame)
    assert features(telemetry.batch()) == {name: frame[name].tolist() for name in frame}


def test_rows_of_frames_that_came_one_by_one_are_one_batch(telemetry: Any) -> None:
    frame = pd.DataFrame({"a": [1.0, 2.0, 3.0], "b": ["x", "y", None]})
    model = Anything()
    for i in range(3):
        model.predict(frame.iloc[i : i + 1])
    assert features(telemetry.batch()) == {"a": [1.0, 2.0, 3.0], "b": ["x", "y", None]}


@pytest.mark.parametrize("kind", [pd.Series, pl.Series])
def test_a_series_of_texts(telemetry: Any, kind: Any) -> None:
    Anything().predict(kind(["good", "bad"]))
    assert features(telemetry.batch()) == {"text": ["good", "bad"]}


@pytest.mark.parametrize("series", [pd.Series(["good", "bad"], name="review"), pl.Series("review", ["good", "bad"])])
def test_a_series_with_a_name_is_the_feature_that_a_list_is(telemetry: Any, series: Any) -> None:
    Anything().predict(series)
    assert features(telemetry.batch()) == {"text": ["good", "bad"]}


def test_columns_that_are_numbered_have_no_names(telemetry: Any) -> None:
    Anything().predict(pd.DataFrame([["a", 1.0], ["b", 2.0]]))
    assert features(telemetry.batch()) == {"x0": ["a", "b"], "x1": [1.0, 2.0]}


@pytest.mark.parametrize("last", [3.0, "x"])
def test_columns_of_the_same_name_are_told_apart(telemetry: Any, last: Any) -> None:
    Anything().predict(pd.DataFrame([[1.0, 2.0, 5.0, last]], columns=["a", "a", "a.1", "a"]))
    assert features(telemetry.batch()) == {"a": [1.0], "a.2": [2.0], "a.1": [5.0], "a.3": [last]}


def test_names_that_arrow_cannot_write_are_told_apart(telemetry: Any) -> None:
    names = pd.Index(["ssn", "ssn\0", "\ud800", "\ud801"], dtype=object)
    Anything().predict(pd.DataFrame([[1, 2, 3, 4]], columns=names))
    assert features(telemetry.batch()) == {"ssn": [1], "ssn?": [2], "?": [3], "?.1": [4]}


def test_labels_that_arrow_cannot_write_lose_no_row(telemetry: Any) -> None:
    labels = np.array(["\ud800", "\ud801", "a\0b"], dtype=object)
    LogisticRegression().fit(X, labels[np.arange(40) % 3]).predict_proba(X)
    assert {name for name in telemetry.batch().column_names if name.startswith("score.")} == {
        "score.?",
        "score.?.1",
        "score.a?b",
    }


def test_a_polars_frame(telemetry: Any) -> None:
    frame = pl.DataFrame({"a": [1.5, None], "b": ["x", "y"], "c": [1, 2], "d": [True, None]})
    Anything().predict(frame)
    assert features(telemetry.batch()) == {"a": [1.5, None], "b": ["x", "y"], "c": [1, 2], "d": [True, None]}


@pytest.mark.parametrize("make", [sparse.csr_matrix, sparse.csc_array, sparse.coo_matrix])
def test_a_sparse_matrix_arrives_as_an_array_of_its_zeros_and_values(telemetry: Any, make: Any) -> None:
    Anything().predict(make(np.array([[0, 1.5, 0, 0], [0, 0, 0, 2.5]])))
    assert features(telemetry.batch()) == {"x0": [0, 0], "x1": [1.5, 0], "x2": [0, 0], "x3": [0, 2.5]}


def test_lists(telemetry: Any) -> None:
    Anything().predict([[1, 2.5, "a"], [3, None, "b"]])
    assert features(telemetry.batch()) == {"x0": [1, 3], "x1": [2.5, None], "x2": ["a", "b"]}


def test_a_list_of_dicts(telemetry: Any) -> None:
    Anything().predict([{"a": 1, "b": "x"}, {"a": 2}])
    assert features(telemetry.batch()) == {"a": [1, 2], "b": ["x", None]}


def test_names_that_the_model_was_fitted_with_name_the_columns_of_an_array(telemetry: Any) -> None:
    model = LinearRegression().fit(pd.DataFrame(X, columns=["a", "b", "c"]), Y)
    with pytest.warns(UserWarning, match="feature names"):
        model.predict(X[:2])
    assert list(features(telemetry.batch())) == ["a", "b", "c"]


def test_a_generator_is_left_to_the_model(telemetry: Any) -> None:
    texts = ["good", "bad", "good", "bad"]
    model = make_pipeline(HashingVectorizer(n_features=16), SGDClassifier(random_state=0)).fit(texts, [1, 0, 1, 0])

    def stream() -> Iterator[str]:
        yield from texts

    assert model.predict(stream()).tolist() == [1, 0, 1, 0]
    table = telemetry.batch()
    assert (table.num_rows, features(table), table["label"].to_pylist()) == (4, {}, ["1", "0", "1", "0"])


def test_a_model_that_changes_its_input_is_recorded_as_it_was_called(telemetry: Any) -> None:
    model = make_pipeline(StandardScaler(copy=False), LogisticRegression()).fit(X.copy(), Y > 0)
    passed = X[:5].copy()
    model.predict(passed)
    assert not np.array_equal(passed, X[:5])
    assert features(telemetry.batch()) == {f"x{i}": X[:5, i].tolist() for i in range(3)}


def test_what_the_program_does_to_its_arrays_afterwards_changes_nothing(telemetry: Any) -> None:
    passed, frame = X[:2].copy(), pd.DataFrame({"a": [1.0, 2.0], "b": ["x", "y"]})
    result = Anything().predict(passed)
    Anything().predict(frame)
    passed[:], result[:] = 0, 0
    frame.loc[0, "b"] = "changed"
    first, second = (table for _, table in telemetry.batches())
    assert first["feature.x0"].to_pylist() == X[:2, 0].tolist()
    assert first["value"].to_pylist() == [1.0, 1.0]
    assert second["feature.b"].to_pylist() == ["x", "y"]


def test_only_the_first_features_of_very_wide_inputs_are_kept(again: Callable[..., Any]) -> None:
    telemetry = again(max_features=2)
    Anything().predict(X[:1])
    assert list(features(telemetry.batch())) == ["x0", "x1"]


def test_only_allowed_features_leave_the_process(again: Callable[..., Any]) -> None:
    telemetry = again(capture=frozenset({"b"}))
    Anything().predict(pd.DataFrame({"a": [1.0], "b": [2.0]}))
    assert features(telemetry.batch()) == {"b": [2.0]}


def test_no_features_leave_the_process_where_none_are_to_be_captured(again: Callable[..., Any]) -> None:
    telemetry = again(capture=frozenset())
    Anything().predict(X[:3])
    table = telemetry.batch()
    assert (features(table), table.num_rows, table["value"].to_pylist()) == ({}, 3, [1.0] * 3)


def test_long_strings_are_cut(telemetry: Any) -> None:
    Anything().predict(np.array([["a" * 5000]]))
    assert features(telemetry.batch()) == {"x0": ["a" * 1024]}


def test_a_call_too_large_to_copy_is_sampled_and_its_rows_weigh_as_many_as_there_were(
    again: Callable[..., Any],
) -> None:
    telemetry = again(call_bytes=8000)
    values = np.arange(20_000, dtype=np.float64).reshape(-1, 2)
    LinearRegression().fit(values[:10], values[:10, 0] * 2).predict(values)
    table = telemetry.batch()
    assert table.num_rows == 500
    assert sum(table["weight"].to_pylist()) == 10_000
    first = table["feature.x0"].to_numpy()
    assert np.array_equal(np.unique(first // 40), np.arange(500))
    assert np.allclose(table["value"].to_numpy(), first * 2)
    assert telemetry.points("ml.predictions")[0].value == 10_000


def test_an_empty_input_is_an_empty_call(telemetry: Any) -> None:
    Anything().predict(np.empty((0, 3)))
    assert telemetry.rows() == 0
    assert telemetry.points("ml.predictions")[0].value == 0


@pytest.mark.parametrize("nothing", [np.empty((0, 3)), pd.DataFrame({0: []}), [], ()])
def test_an_empty_call_that_raises_is_an_error_without_rows(telemetry: Any, nothing: Any) -> None:
    with pytest.raises(ValueError, match=r"minimum of 1 is required|Expected 2D array"):
        LinearRegression().fit(X, Y).predict(nothing)
    assert telemetry.rows() == 0
    (point,) = telemetry.points("ml.predictions")
    assert (point.value, point.attributes["error.type"]) == (0, "ValueError")


@pytest.mark.parametrize("rows", [4, 40])
def test_a_table_of_arrow(again: Callable[..., Any], rows: int) -> None:
    telemetry = again(call_bytes=200)
    table = pa.table(
        {"i": range(40), "f": [None, 1.5] * 20, "s": ["a", None] * 20, "u": pa.array(range(40), pa.uint8())}
    )
    Anything().predict(table[:rows])
    found = features(telemetry.batch())
    places = found["i"]
    for name in table.column_names:  # one of nulls alone may be absent
        assert found.get(name, [None] * len(places)) == [table[name][i].as_py() for i in places]
    assert len(places) == (4 if rows == 4 else 6)


def test_a_tensor_given_to_a_model_of_another_library(telemetry: Any) -> None:
    tensor = torch.arange(6.0).reshape(3, 2)
    Anything().predict(tensor)
    Anything().predict(tensor.to(torch.bfloat16))
    (_, read), (unread, _) = telemetry.batches()
    assert features(read) == {"x0": [0.0, 2.0, 4.0], "x1": [1.0, 3.0, 5.0]}
    assert unread["ml.capture.unreadable"] == "unknown_type"
    tensor.resize_(10, 2)


def test_a_column_of_arrays_leaves_the_other_columns(telemetry: Any) -> None:
    arrays = [np.arange(2.0), np.array([1.0]), np.arange(3)]
    Anything().predict(pd.DataFrame({"embedding": arrays, "age": [1, 2, 3]}))
    assert features(telemetry.batch()) == {"embedding": ["[0, 1]", "[1]", "[0, 1, 2]"], "age": [1, 2, 3]}


def test_what_is_too_large_for_a_number_is_no_warning(telemetry: Any) -> None:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        Anything().predict(np.array([[1e308, np.longdouble("1e4000"), -np.inf, 5e-324]]))
        telemetry.batch()
    assert said == []


def test_a_name_that_no_receiver_takes_is_shortened_and_stays_apart(telemetry: Any) -> None:
    long = ["é" * 2000 + end for end in ("a", "b")]
    model = LinearRegression().fit(pd.DataFrame([[0.0, 1.0], [1.0, 0.0]], columns=long), [0.0, 1.0])
    model.predict(pd.DataFrame([[2.0, 3.0]], columns=long))
    found = [name for name in telemetry.batch().column_names if name.startswith("feature.")]
    assert len(set(found)) == 2
    assert max(len(name.encode()) for name in found) <= 1024
    assert set_reference(model, pd.DataFrame(np.eye(2).repeat(60, 0), columns=long))
    (reference,) = telemetry.events(events.ML_REFERENCE_PROFILE)
    profile = json.loads(bytes(reference.attributes[ml.ML_REFERENCE_PROFILE_DATA]))
    assert sorted(f"feature.{one['name']}" for one in profile["series"]) == sorted(found)
