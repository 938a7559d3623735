"""One column of a table of pandas, polars or Arrow as an array: of Python's objects where it holds nulls, texts or several types."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from modelspan.instrumentation.recorder import snapshot as snap
from modelspan.instrumentation.recorder.snapshot import Snapshot

Values = npt.NDArray[Any]


def column(part: Snapshot, place: int) -> Values:
    """The values of one column of a copied table."""
    table = part.payload
    if part.kind == snap.PANDAS:
        return _of_pandas(table.iloc[:, place])
    return _of_polars(table.to_series(place)) if part.kind == snap.POLARS else _of_arrow(table.column(place))


def joined(parts: Sequence[Values]) -> Values:
    """Arrays one below the other; of objects where their types differ, so that no value becomes another."""
    if len({part.dtype.kind for part in parts}) > 1:
        parts = [as_objects(part) for part in parts]
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def as_objects(values: Values) -> Values:
    """An array of one dimension as one of objects."""
    return (
        values
        if values.dtype.kind == "O"
        else objects(values if values.dtype.kind in "Mm" else values.tolist(), len(values))
    )


def objects(values: Iterable[Any], count: int) -> Values:
    """An array of objects of one dimension, whatever they are."""
    return np.fromiter(values, dtype=object, count=count)


def _of_pandas(series: Any) -> Values:
    kind = series.dtype
    if getattr(kind, "tz", None) is not None:
        series = series.dt.tz_convert(None)
    of_values = kind.categories.dtype if kind.name == "category" else kind
    if of_values.kind in "iub" and series.hasnans:  # which pandas would make floats
        return objects(series.tolist(), len(series))
    found: Values = series.to_numpy()
    return found


def _of_polars(series: Any) -> Values:
    kind = series.dtype
    if (kind.is_temporal() and str(kind) != "Time") or kind.is_float() or _is_plain_integer(kind, series.null_count()):
        found: Values = series.to_numpy()
        return found
    return objects(series.to_list(), len(series))


def _is_plain_integer(kind: Any, nulls: int) -> bool:
    return bool(kind.is_integer()) and "128" not in str(kind) and nulls == 0


def _of_arrow(values: Any) -> Values:
    kind = str(values.type)
    if kind.startswith(_DATES_OF_ARROW) or (values.null_count == 0 and kind in _NUMBERS_OF_ARROW):
        found: Values = values.to_numpy()
        return found
    return objects(values.to_pylist(), len(values))


_DATES_OF_ARROW = ("timestamp", "date", "duration")
_NUMBERS_OF_ARROW = {
    "double",
    "float",
    "halffloat",
    *[f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)],
}
