"""Outputs have one form, whatever holds them and whatever lies beside them; and actual labels meet it."""

from __future__ import annotations

import decimal
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.linear_model import LogisticRegression

from modelspan.instrumentation import flush, prediction_context, record_actual
from modelspan.semconv import events


class Plain(BaseEstimator):  # type: ignore[misc]
    """Says nothing of what it predicts; each call returns the next output."""

    def __init__(self, outputs: Sequence[Any] = ()) -> None:
        self.outputs = outputs

    def fit(self, X: Any, y: Any = None) -> Plain:
        return self

    def predict(self, X: Any) -> Any:
        first, *self.outputs = self.outputs
        return first


class Classifier(ClassifierMixin, Plain):  # type: ignore[misc]
    pass


class Regressor(RegressorMixin, Plain):  # type: ignore[misc]
    pass


Stored = list[Any]
LABELS: dict[str, tuple[list[Any], Stored]] = {
    "whole numbers": ([1, 0, 2], ["1", "0", "2"]),
    "whole numbers and none": ([1, None, 0], ["1", None, "0"]),
    "truth values": ([True, False, True], ["true", "false", "true"]),
    "truth values and none": ([True, None, False], ["true", None, "false"]),
    "texts": (["a", "b", "1.0"], ["a", "b", "1.0"]),
    "texts and none": (["a", None, "c"], ["a", None, "c"]),
    "bytes": ([b"a", b"b", None], ["a", "b", None]),
    "large": ([2**53 + 1, 0, 2**62 + 1], [str(2**53 + 1), "0", str(2**62 + 1)]),
}
VALUES: dict[str, tuple[list[Any], Stored]] = {
    "numbers": ([1.5, 2.0, -0.25], [1.5, 2.0, -0.25]),
    "numbers and none": ([1.5, None, 2.0], [1.5, None, 2.0]),
    "decimals": ([decimal.Decimal("1.5"), decimal.Decimal("2"), None], [1.5, 2.0, None]),
}
MIXED_LABELS: dict[str, tuple[list[Any], Stored]] = {
    "texts and numbers": (["a", 2.0, 1], ["a", "2", "1"]),
    "everything": ([True, "b", np.float64(0.5)], ["true", "b", "0.5"]),
}

Container = Callable[[list[Any]], Any]


def _objects(values: list[Any]) -> Any:
    found = np.empty(len(values), dtype=object)
    found[:] = values
    return found


def _nullable(values: list[Any]) -> Any:
    return pd.Series(_objects(values), dtype=object).convert_dtypes()


HOLDING_ANYTHING: dict[str, Container] = {
    "list": list,
    "list of rows": lambda values: [[one] for one in values],
    "array of objects": _objects,
    "column of objects": lambda values: _objects(values)[:, None],
    "pandas of objects": lambda values: pd.Series(_objects(values), dtype=object),
    "frame of objects": lambda values: pd.DataFrame({"y": _objects(values)}, dtype=object),
}
OF_ONE_TYPE: dict[str, Container] = {
    "pandas": lambda values: _nullable(values),
    "pandas array": lambda values: _nullable(values).array,
    "pandas index": lambda values: pd.Index(_nullable(values)),
    "pandas categories": lambda values: pd.Categorical(_nullable(values)),
    "pandas of Arrow": lambda values: pd.Series(pa.array(values).to_pandas(types_mapper=pd.ArrowDtype)),
    "frame of Arrow": lambda values: pa.table({"y": pa.array(values)}).to_pandas(types_mapper=pd.ArrowDtype),
    "polars": lambda values: pl.Series(values),
    "polars frame": lambda values: pl.DataFrame({"y": pl.Series(values)}),
    "Arrow": pa.array,
    "Arrow chunks": lambda values: pa.chunked_array([values[:1], values[1:]], type=pa.array(values).type),
    "Arrow table": lambda values: pa.table({"y": pa.array(values)}),
    "Arrow batch": lambda values: pa.RecordBatch.from_pydict({"y": pa.array(values)}),
    "Arrow dictionary": lambda values: pa.array(values).dictionary_encode(),
}
CASES: list[tuple[str, type[Plain], list[str]]] = [
    *[(container, kind, [*LABELS, *MIXED_LABELS]) for container in HOLDING_ANYTHING for kind in (Plain, Classifier)],
    *[(container, kind, [*LABELS]) for container in OF_ONE_TYPE for kind in (Plain, Classifier)],
    *[(container, kind, [*VALUES]) for container in {**HOLDING_ANYTHING, **OF_ONE_TYPE} for kind in (Plain, Regressor)],
]


def held(container: str, values: list[Any]) -> Any:
    """The values in the container; the error where it cannot hold them."""
    try:
        return {**HOLDING_ANYTHING, **OF_ONE_TYPE}[container](values)
    except (TypeError, ValueError, OverflowError, pa.ArrowException, pl.exceptions.PolarsError) as error:
        return error


def returned(telemetry: Any, model: Any, outputs: list[Any], *, one_batch: bool) -> dict[str, Stored]:
    """Stored columns of outputs of some rows each."""
    before = len(telemetry.batches())
    model.outputs = outputs
    for output in outputs:
        model.predict(np.zeros((len(output), 1)))
        if not one_batch:
            assert flush()
    found: dict[str, Stored] = {"label": [], "value": []}
    for _, table in telemetry.batches()[before:]:
        for name, values in found.items():
            values += table[name].to_pylist() if name in table.column_names else [None] * table.num_rows
    return {name: values for name, values in found.items() if any(one is not None for one in values)}


def in_parts(data: Any, rows: int) -> list[list[Any]]:
    """All rows together, each in a call of its own, and the first alone."""
    return [[data], [data[i : i + 1] for i in range(rows)], [data[:1], data[1:]]]


@pytest.mark.parametrize(("container", "kind", "cases"), CASES)
def test_what_is_stored_of_an_output_depends_on_it_and_the_model_alone(
    telemetry: Any, container: str, kind: type[Plain], cases: list[str]
) -> None:
    checked = 0
    for case in cases:
        values, expected = {**LABELS, **VALUES, **MIXED_LABELS}[case]
        data = held(container, values)
        if isinstance(data, Exception):
            continue
        together, alone, first_alone = in_parts(data, len(values))
        column = "value" if case in VALUES else "label"
        for parts, one_batch in ((together, True), (alone, True), (alone, False), (first_alone, True)):
            found = returned(telemetry, kind(), parts, one_batch=one_batch)
            assert found == {column: expected}, (case, len(parts), one_batch)
        checked += 1
    assert checked > 1


@pytest.mark.parametrize("one_batch", [True, False])
def test_of_a_regressor_numbers_are_values_and_texts_are_labels_row_by_row(telemetry: Any, one_batch: bool) -> None:
    for parts in ([_objects(["a", 2.0, 3])], [["a"], [2.0], _objects([3])]):
        found = returned(telemetry, Regressor(), parts, one_batch=one_batch)
        assert found == {"label": ["a", None, None], "value": [None, 2.0, 3.0]}


@pytest.mark.parametrize("together", [[1], [2.5], [None]])
def test_the_first_call_says_whether_a_plain_model_returns_labels_not_what_shares_its_batch(
    telemetry: Any, together: list[Any]
) -> None:
    found = [returned(telemetry, Plain(), [[0], together], one_batch=one_batch) for one_batch in (True, False)]
    assert found[0] == found[1]
    assert set(found[0]) == {"label"}


def test_a_batch_in_which_all_outputs_are_missing_does_not_say_what_a_model_returns(telemetry: Any) -> None:
    assert returned(telemetry, Plain(), [[None], [1.0], [2]], one_batch=False) == {"value": [None, 1.0, 2.0]}


class Slotted:
    """Has neither a dictionary nor weak references."""

    __slots__ = ("outputs",)

    def __init__(self, outputs: Any) -> None:
        self.outputs = outputs


@pytest.mark.parametrize(("first", "role"), [(True, "value"), (False, "label")])
def test_a_model_without_weak_references_returns_one_kind_of_output_ever_after(first: bool, role: str) -> None:
    from modelspan.instrumentation.recorder.kinds import kind_of

    class Own(Slotted):
        __slots__ = ()

    model = Own([])
    assert {kind_of(model).role(model, "predict", is_float) for is_float in (first, True, False)} == {role}


@pytest.mark.parametrize("output", [1, np.int64(1), np.array(1), True, "a", 1.5, np.float32(0.5)])
def test_one_value_is_the_prediction_for_one_row(telemetry: Any, output: Any) -> None:
    model = Plain([output, output])
    model.predict(np.zeros((1, 2)))
    model.predict(np.zeros((3, 2)))
    (_, one), (_, three) = sorted(telemetry.batches(), key=lambda batch: int(batch[1].num_rows))
    column = "value" if isinstance(output, (float, np.floating)) else "label"
    expected = {"true": "true", "a": "a", "1": "1"}.get(str(output).lower(), output)
    assert one[column].to_pylist() == [expected]
    assert three.num_rows == 3
    assert not {"label", "value"} & set(three.column_names)


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_a_float_is_stored_as_the_number_that_it_is(telemetry: Any, dtype: str) -> None:
    output = np.array([0.1, 1], dtype)
    expected = output.astype(float).tolist()
    assert returned(telemetry, Plain(), [output, output[:1]], one_batch=True) == {"value": [*expected, expected[0]]}


X = np.array([[-1.0], [1.0]] * 20)
CLASSES: dict[str, list[Any]] = {
    "truth values": [False, True],
    "whole numbers": [0, 1],
    "floats": [0.0, 1.0],
    "numerals": ["0", "1"],
    "words": ["False", "True"],
}
ACTUALS: dict[str, Container] = {
    "truth values": list,
    "array of truth values": np.array,
    "nullable truth values": lambda values: pd.array(values, dtype="boolean"),
    "Arrow truth values": pa.array,
    "whole numbers": lambda values: [int(one) for one in values],
    "array of whole numbers": lambda values: np.array(values).astype("i1"),
    "floats": lambda values: pd.Series(values).astype(float),
    "nullable whole numbers": lambda values: pd.array(values, dtype="boolean").astype("Int64"),
    "polars whole numbers": lambda values: pl.Series([int(one) for one in values]),
    "words": lambda values: [str(one) for one in values],
    "lower-case words": lambda values: [str(one).lower() for one in values],
    "numerals of floats": lambda values: [f"{float(one)}" for one in values],
    "column": lambda values: np.array(values)[:, None],
    "decimals": lambda values: [decimal.Decimal(int(one)) for one in values],
}


@pytest.mark.parametrize("classes", CLASSES)
def test_actual_labels_are_spelled_as_the_classes_of_the_model(telemetry: Any, classes: str) -> None:
    model = LogisticRegression().fit(X, np.array(CLASSES[classes] * 20))
    with prediction_context(ids=["a", "b"]):
        model.predict(X[:2])
    for held_in in ACTUALS.values():
        assert record_actual(model, ["a", "b"], label=held_in([False, True]))
    predicted = telemetry.batch()["label"].to_pylist()
    actuals = [one["label"] for one in telemetry.truth(events.ML_PREDICTION_ACTUAL)]
    assert dict(zip(ACTUALS, zip(actuals[::2], actuals[1::2], strict=True), strict=True)) == dict.fromkeys(
        ACTUALS, tuple(predicted)
    )


def test_an_actual_label_that_is_a_class_or_none_stays_as_it_is(telemetry: Any) -> None:
    model = LogisticRegression().fit(np.repeat(X, 2, axis=0), np.array(["1", "1.0", "True", "no"] * 20))
    assert record_actual(model, list("abcdef"), label=["1", "1.0", "True", True, 2, "other"])
    found = [one["label"] for one in telemetry.truth(events.ML_PREDICTION_ACTUAL)]
    assert found == ["1", "1.0", "True", "true", "2", "other"]
