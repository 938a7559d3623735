"""One value has one form: whatever held it, whatever lay beside it, and however rows fall into calls and batches."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import itertools
import uuid
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from scipy import sparse
from sklearn.base import BaseEstimator

from modelspan.instrumentation import flush

UTC = dt.timezone.utc
PLUS_2 = dt.timezone(dt.timedelta(hours=2))
DAY, MOMENT = dt.date(2026, 1, 2), dt.datetime(2026, 1, 2, 3, 4, 5, 500_000)
MIDNIGHT = dt.datetime(2026, 1, 2)


class Anything(BaseEstimator):  # type: ignore[misc]
    """Takes every input and predicts 1.0 for each row."""

    def fit(self, X: Any, y: Any = None) -> Anything:
        return self

    def predict(self, X: Any) -> Any:
        return np.ones(X.shape[0] if hasattr(X, "shape") else len(X))


class Colour(enum.Enum):
    RED = 1


class Level(enum.IntEnum):
    LOW = 1


class Word(str, enum.Enum):
    YES = "yes"


Stored = list[float | str | None]

VALUES: dict[str, tuple[list[Any], Stored]] = {
    "whole numbers": ([1, 2, -3], [1, 2, -3]),
    "whole numbers and none": ([1, None, 3], [1, None, 3]),
    "truth values": ([True, False, True], [1, 0, 1]),
    "truth values and none": ([True, None, False], [1, None, 0]),
    "numbers": ([1.5, 2.0, -0.25], [1.5, 2, -0.25]),
    "numbers and none": ([1.5, None, float("nan")], [1.5, None, None]),
    "infinities": ([float("inf"), float("-inf"), 0.5], [float("inf"), float("-inf"), 0.5]),
    "decimals": ([decimal.Decimal("1.50"), decimal.Decimal("2"), None], [1.5, 2, None]),
    "texts": (["a", "é" * 5, ""], ["a", "é" * 5, ""]),
    "texts and none": (["a", None, "c"], ["a", None, "c"]),
    "numerals": (["1", "01", "1.0"], ["1", "01", "1.0"]),
    "bytes": ([b"a", b"b", None], ["a", "b", None]),
    "dates": ([DAY, DAY, None], ["2026-01-02", "2026-01-02", None]),
    "times": ([MOMENT, MIDNIGHT, None], ["2026-01-02T03:04:05.5", "2026-01-02", None]),
    "times without null": (
        [MOMENT, MIDNIGHT, MOMENT],
        ["2026-01-02T03:04:05.5", "2026-01-02", "2026-01-02T03:04:05.5"],
    ),
    "midnights": ([MIDNIGHT, MIDNIGHT, MIDNIGHT], ["2026-01-02"] * 3),
    "times with a zone": (
        [MOMENT.replace(tzinfo=UTC), None, MOMENT.replace(tzinfo=UTC)],
        ["2026-01-02T03:04:05.5", None, "2026-01-02T03:04:05.5"],
    ),
    "times with another zone": (
        [MOMENT.replace(tzinfo=PLUS_2), MIDNIGHT.replace(tzinfo=PLUS_2)],
        ["2026-01-02T01:04:05.5", "2026-01-01T22:00:00"],
    ),
    "durations": ([dt.timedelta(days=1, milliseconds=1), None, dt.timedelta(-1)], [86_400.001, None, -86_400]),
    "durations without null": ([dt.timedelta(hours=1), dt.timedelta(microseconds=3)], [3600, 3e-6]),
    "times of day": ([dt.time(1, 2, 3), None, dt.time(1, 2, 3, 500_000)], ["01:02:03", None, "01:02:03.5"]),
    "lists": ([[1, 2], [3.5], None], ["[1, 2]", "[3.5]", None]),
    "only missing": ([None, None, None], [None, None, None]),
}
MIXED: dict[str, tuple[list[Any], Stored]] = {
    "one text among numbers": ([1.5, "N/A", 2], [1.5, "N/A", 2]),
    "codes": ([101, "A1", None], [101, "A1", None]),
    "everything": ([1, "a", MOMENT, dt.timedelta(1), True], [1, "a", "2026-01-02T03:04:05.5", 86_400, 1]),
    "periods": ([pd.Period("2026-01", freq="M"), None], ["2026-01", None]),
    "intervals": ([pd.Interval(0, 1), pd.Interval(1.5, 2)], ["(0, 1]", "(1.5, 2]"]),
    "identifiers": ([uuid.UUID(int=5), None], ["00000000-0000-0000-0000-000000000005", None]),
    "enums": ([Colour.RED, Level.LOW, Word.YES], ["Colour.RED", 1, "yes"]),
    "NumPy's texts": ([np.str_("a"), np.bytes_(b"b")], ["a", "b"]),
    "nested lists": ([[[1], [2.5]], [], ((1,),)], ["[[1], [2.5]]", "[]", "[[1]]"]),
    "other things": ([1 + 2j, object(), {2: 1.0}], ["(1+2j)", "builtins.object", "{'2': 1}"]),
    "integers of any size": ([2**40, 2**63, -(2**100)], [2**40, 2.0**63, -(2.0**100)]),
}

Container = Callable[[list[Any]], Any]


def _objects(values: list[Any]) -> Any:
    found = np.empty(len(values), dtype=object)
    found[:] = values
    return found


CONTAINERS: dict[str, Container] = {
    "lists": lambda values: [[one, 7.0] for one in values],
    "tuples": lambda values: [(one, 7.0) for one in values],
    "dicts": lambda values: [{"x0": one, "x1": 7.0} for one in values],
    "object array": lambda values: np.column_stack([_objects(values), _objects([7.0] * len(values))]),
    "pandas": lambda values: pd.DataFrame({"x0": values, "x1": 7.0}),
    "pandas of objects": lambda values: pd.DataFrame({"x0": _objects(values), "x1": 7.0}, dtype=object),
}
OF_ONE_TYPE: dict[str, Container] = {
    "pandas of any null": lambda values: pd.DataFrame({"x0": values, "x1": 7.0}).convert_dtypes(),
    "pandas categories": lambda values: pd.DataFrame({"x0": pd.Categorical(values), "x1": 7.0}),
    "pandas of Arrow": lambda values: pa_table(values).to_pandas(types_mapper=pd.ArrowDtype),
    "pandas through Arrow": lambda values: pa_table(values).to_pandas(),
    "polars": lambda values: pl.DataFrame({"x0": pl.Series(values, strict=False), "x1": 7.0}),
    "polars through Arrow": lambda values: pl.from_arrow(pa_table(values)),
    "Arrow": lambda values: pa_table(values),
    "Arrow dictionary": lambda values: pa.table(
        {"x0": pa.array(values).dictionary_encode(), "x1": [7.0] * len(values)}
    ),
}


def pa_table(values: list[Any]) -> pa.Table:
    return pa.table({"x0": pa.array(values, from_pandas=True), "x1": pa.array([7.0] * len(values))})


UNITS = ("s", "ms", "us", "ns")
OF_TIMES: dict[str, Container] = {
    **{f"array[{unit}]": lambda values, unit=unit: np.array(values, f"M8[{unit}]")[:, None] for unit in UNITS[1:]},
    **{
        f"pandas[{unit}]": lambda values, unit=unit: pd.DataFrame({"x0": pd.Series(values).astype(f"M8[{unit}]")})
        for unit in UNITS[1:]
    },
    **{
        f"polars[{unit}]": lambda values, unit=unit: pl.DataFrame({"x0": pl.Series(values, dtype=pl.Datetime(unit))})
        for unit in UNITS[1:]
    },
    **{
        f"arrow[{unit}]": lambda values, unit=unit: pa.table({"x0": pa.array(values, pa.timestamp(unit))})
        for unit in UNITS[1:]
    },
}
OF_DURATIONS: dict[str, Container] = {
    **{f"array[{unit}]": lambda values, unit=unit: np.array(values, f"m8[{unit}]")[:, None] for unit in UNITS[1:]},
    **{
        f"pandas[{unit}]": lambda values, unit=unit: pd.DataFrame({"x0": pd.Series(values).astype(f"m8[{unit}]")})
        for unit in UNITS[1:]
    },
    **{
        f"polars[{unit}]": lambda values, unit=unit: pl.DataFrame({"x0": pl.Series(values, dtype=pl.Duration(unit))})
        for unit in UNITS[1:]
    },
    **{
        f"arrow[{unit}]": lambda values, unit=unit: pa.table({"x0": pa.array(values, pa.duration(unit))})
        for unit in UNITS[1:]
    },
}


def splits(rows: int) -> list[list[slice]]:
    """All rows in one call, each in a call of its own, and the first alone."""
    alone = [slice(row, row + 1) for row in range(rows)]
    return [[slice(0, rows)], alone, [slice(0, 1), slice(1, rows)]]


def stored(telemetry: Any, name: str = "x0") -> list[float | str | None]:
    """Values of a feature, in the order of their rows, as a receiver reads them."""
    found: list[float | str | None] = []
    for _, table in telemetry.batches():
        rows = range(table.num_rows)
        numbers, texts = (
            table[f"{prefix}.{name}"].to_pylist() if f"{prefix}.{name}" in table.column_names else [None for _ in rows]
            for prefix in ("feature", "feature_text")
        )
        found += [text if number is None else number for number, text in zip(numbers, texts, strict=True)]
    return found


def predict_in_parts(telemetry: Any, data: Any, parts: Sequence[slice], *, one_batch: bool) -> None:
    for part in parts:
        Anything().predict(data[part])
        if not one_batch:
            assert flush()


CASES = [
    *[(container, values) for container, values in itertools.product(CONTAINERS, {**VALUES, **MIXED})],
    *[(container, values) for container, values in itertools.product(OF_ONE_TYPE, VALUES)],
    *[(container, "times") for container in OF_TIMES],
    *[(container, "times without null") for container in OF_TIMES],
    *[(container, "durations") for container in OF_DURATIONS],
]


def made(container: str, values: list[Any]) -> Any:
    """The values in the container; skipped where it cannot hold them."""
    is_duration = any(isinstance(one, dt.timedelta) for one in values)
    given = {**CONTAINERS, **OF_ONE_TYPE, **(OF_DURATIONS if is_duration else OF_TIMES)}[container]
    try:
        return given(values)
    except (TypeError, ValueError, pa.ArrowException, OverflowError, pl.exceptions.PolarsError) as error:
        pytest.skip(f"{container} cannot hold this: {error}")


@pytest.mark.parametrize(("container", "case"), CASES)
def test_what_is_stored_of_a_value_depends_on_it_alone(telemetry: Any, container: str, case: str) -> None:
    values, expected = {**VALUES, **MIXED}[case]
    data = made(container, values)
    for number, parts in enumerate(splits(len(values))):
        for one_batch in (True, False):
            before = len(stored(telemetry))
            predict_in_parts(telemetry, data, parts, one_batch=one_batch)
            assert stored(telemetry)[before:] == expected, (number, one_batch)


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "i1", "i8", "u8", "?"])
def test_a_number_is_stored_as_the_number_that_it_is_in_any_type(telemetry: Any, dtype: str) -> None:
    values = np.array([[0.1, 1], [1, 0]]).astype(dtype)
    data = [values, values.tolist(), pd.DataFrame(values), pl.DataFrame(values), sparse.csr_array(values.astype("f8"))]
    for one in data:
        Anything().predict(one)
        assert flush()
    expected = values[:, 0].astype(float).tolist()
    assert stored(telemetry) == expected * len(data)


def test_a_column_of_a_sparse_matrix_is_zero_where_nothing_is_held(telemetry: Any) -> None:
    for row in ([1.0, 0.0], [0.0, 2.0], [0.0, 0.0]):
        Anything().predict(sparse.csr_matrix([row] * 2))
        assert flush()
    assert stored(telemetry, "x0") == [1, 1, 0, 0, 0, 0]
    assert stored(telemetry, "x1") == [0, 0, 2, 2, 0, 0]


@pytest.mark.parametrize("kind", ["sparse", "array", "pandas"])
def test_of_too_many_columns_each_batch_has_the_same(again: Callable[..., Any], kind: str) -> None:
    telemetry = again(max_features=3)
    for place in (0, 4, 2):
        row = np.zeros((1, 5))
        row[0, place] = 1.5
        make = {"sparse": sparse.csc_matrix, "array": np.asarray, "pandas": pd.DataFrame}[kind]
        Anything().predict(make(row))
        assert flush()
    for _, table in telemetry.batches():
        assert [n for n in table.column_names if n.startswith("feature")] == ["feature.x0", "feature.x1", "feature.x2"]
    assert stored(telemetry, "x2") == [0, 0, 1.5]


@pytest.mark.parametrize("together", [True, False])
def test_of_dicts_with_too_many_keys_each_batch_has_the_first_ones_of_the_model(
    again: Callable[..., Any], together: bool
) -> None:
    telemetry = again(max_features=3)
    model = Anything()
    rows = [{"a": 1.0, "d": 2.0}, {"b": 3.0}, {"c": 4.0, "e": 5.0}, {"d": 6.0, "e": 7.0}]
    for part in [rows] if together else [[row] for row in rows]:
        model.predict(part)
        assert flush()
    later = len(telemetry.batches())
    model.predict([{"a": 8.0, "d": 9.0}, {"c": 1.0, "e": 2.0}])
    assert flush()
    ((_, table),) = telemetry.batches()[later:]
    assert [n for n in table.column_names if n.startswith("feature")] == ["feature.a", "feature.c"]


@pytest.mark.parametrize("columns", [list("abcd"), list("dcba"), list("cadb")])
def test_of_too_many_named_columns_the_choice_does_not_depend_on_their_order(
    again: Callable[..., Any], columns: list[str]
) -> None:
    telemetry = again(max_features=2)
    Anything().predict(pd.DataFrame([[1.0] * 4], columns=columns))
    Anything().predict(pl.DataFrame({name: [1.0] for name in columns}))
    for _, table in telemetry.batches():
        assert {n for n in table.column_names if n.startswith("feature")} == {"feature.a", "feature.b"}


def test_calls_of_dicts_lists_and_texts_that_share_a_batch_stay_what_they_are(telemetry: Any) -> None:
    for data in ([{"a": 1.0}], [[2.0, 3.0]], ["text"], [4.0], [[5.0]], [{"b": "x"}]):
        Anything().predict(data)
    found = {name: stored(telemetry, name) for name in ("a", "b", "x0", "x1", "text")}
    assert {name: [one for one in values if one is not None] for name, values in found.items()} == {
        "a": [1.0],
        "b": ["x"],
        "x0": [2.0, 4.0, 5.0],
        "x1": [3.0],
        "text": ["text"],
    }


def test_numbers_and_texts_of_one_dimension_are_told_apart_value_by_value(telemetry: Any) -> None:
    for data in ([101, "A1"], ["A1"], [101]):
        Anything().predict(data)
        assert flush()
    assert stored(telemetry, "x0") == [101, None, None, 101]
    assert stored(telemetry, "text") == [None, "A1", "A1", None]
