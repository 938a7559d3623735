"""One column of values, from whatever the program held them in, and its Arrow form."""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from modelspan.instrumentation.recorder.texts import Texts, chosen, from_strings, joined
from modelspan.instrumentation.recorder.values import MAX_TEXT, is_missing, label_text

FLOAT64, FLOAT32, INT64, BOOL, UTF8, TIMESTAMP = "float64", "float32", "int64", "bool", "utf8", "timestamp"

_INTEGERS = np.iinfo(np.int64)


@dataclass(frozen=True)
class Column:
    """Values of one type. `valid` is None where no value is missing; `values` are Texts for utf8, else an array."""

    type: str
    values: Any
    valid: npt.NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return len(self.values)

    def part(self, start: int, stop: int) -> Column:
        """Rows from `start` up to `stop`."""
        valid = None if self.valid is None else self.valid[start:stop]
        return Column(self.type, self.values[start:stop], valid)

    def taken(self, rows: npt.NDArray[np.intp]) -> Column:
        """The given rows."""
        valid = None if self.valid is None else self.valid[rows]
        values = self.values.taken(rows) if isinstance(self.values, Texts) else self.values[rows]
        return Column(self.type, values, None if valid is None or valid.all() else valid)

    def is_empty(self) -> bool:
        """Whether every value is missing."""
        return self.valid is not None and not self.valid.any()

    def objects(self) -> list[Any]:
        """Values as Python objects, None for missing."""
        values: list[Any] = self.values.tolist()
        if self.valid is None:
            return values
        return [value if ok else None for value, ok in zip(values, self.valid.tolist(), strict=True)]


def from_array(values: npt.NDArray[Any]) -> Column:
    """Column of a one-dimensional array of any type that NumPy has."""
    kind = values.dtype.kind
    if kind == "f":
        return _floats(values)
    if kind in "iu":
        if kind == "u" and len(values) and int(values.max()) > _INTEGERS.max:
            return Column(FLOAT64, values.astype(np.float64))
        return Column(INT64, values.astype(np.int64, copy=False))
    if kind == "b":
        return Column(BOOL, values)
    if kind == "M":
        return _dates(values)
    if kind == "m":
        return _floats(values / np.timedelta64(1, "s"))
    if kind == "S":
        return from_texts([value.decode("utf-8", "replace") for value in values.tolist()])
    return from_objects(values.tolist())


def from_objects(values: Sequence[Any]) -> Column:
    """Column of Python objects: of bools, integers or numbers where all are, else of strings; None, NaN, NaT are missing."""
    valid = np.fromiter((not is_missing(value) for value in values), dtype=bool, count=len(values))
    kinds = {type(value) for value, ok in zip(values, valid, strict=True) if ok}
    missing = None if valid.all() else valid
    if kinds and all(issubclass(kind, (bool, np.bool_)) for kind in kinds):
        return Column(BOOL, np.array([bool(v) if ok else False for v, ok in zip(values, valid, strict=True)]), missing)
    if kinds and all(issubclass(kind, (int, np.integer)) and kind is not bool for kind in kinds):
        present = [int(v) if ok else 0 for v, ok in zip(values, valid, strict=True)]
        if all(_INTEGERS.min <= value <= _INTEGERS.max for value in present):
            return Column(INT64, np.array(present, dtype=np.int64), missing)
    if kinds and all(hasattr(kind, "__float__") and not issubclass(kind, (str, np.ndarray)) for kind in kinds):
        try:
            return _floats(np.array([_float(v) if ok else math.nan for v, ok in zip(values, valid, strict=True)]))
        except (TypeError, ValueError):  # several numbers in one value
            pass
    return from_texts([text(value) if ok else None for value, ok in zip(values, valid, strict=True)])


def _float(value: Any) -> float:
    """A number as a float; infinite where it is too large."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def from_texts(values: Sequence[str | None]) -> Column:
    """Column of strings, cut at MAX_TEXT characters."""
    cut = ["" if value is None else value if len(value) <= MAX_TEXT else value[:MAX_TEXT] for value in values]
    if None not in values:
        return Column(UTF8, from_strings(cut))
    return Column(
        UTF8, from_strings(cut), np.fromiter((value is not None for value in values), dtype=bool, count=len(values))
    )


def labels(values: npt.NDArray[Any]) -> Column:
    """Class labels as strings. The result of `label_text` for each, with one conversion for each distinct number."""
    if values.dtype.kind in "iubf":
        distinct, place = np.unique(values, return_inverse=True)
        names = [label_text(value) for value in distinct.tolist()]
        valid = None if None not in names else np.array([name is not None for name in names])[place]
        return Column(UTF8, chosen([name or "" for name in names], place.reshape(-1)), valid)
    return from_texts([label_text(value) for value in values.tolist()])


def text(value: Any) -> str:
    """A value of a categorical or free-text feature as a string."""
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, np.datetime64):
        return str(value)
    return str(value)


def join(columns: Iterable[Column]) -> Column:
    """Columns of one type, one below the other."""
    parts = list(columns)
    first = parts[0]
    if any(part.type != first.type for part in parts):
        return from_objects([value for part in parts for value in part.objects()])
    valid = None
    if any(part.valid is not None for part in parts):
        valid = np.concatenate([np.ones(len(p), dtype=bool) if p.valid is None else p.valid for p in parts])
    if first.type == UTF8:
        return Column(UTF8, joined([part.values for part in parts]), valid)
    return Column(first.type, np.concatenate([part.values for part in parts]), valid)


@np.errstate(over="ignore")  # what is too large becomes infinite; the program need not read of it
def _floats(values: npt.NDArray[Any]) -> Column:
    if values.dtype == np.float32 or values.dtype == np.float16:
        values, kind = values.astype(np.float32, copy=False), FLOAT32
    else:
        values, kind = values.astype(np.float64, copy=False), FLOAT64
    missing = np.isnan(values)
    if not missing.any():
        return Column(kind, values)
    return Column(kind, np.where(missing, 0, values).astype(values.dtype, copy=False), ~missing)


def _dates(values: npt.NDArray[Any]) -> Column:
    missing = np.isnat(values)
    written = np.datetime_as_string(values).tolist()
    return from_texts([None if gone else value for value, gone in zip(written, missing.tolist(), strict=True)])
