"""One column of values, from whatever the program held them in, and its Arrow form."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from modelspan.instrumentation.recorder.texts import Texts, chosen, from_strings, joined
from modelspan.instrumentation.recorder.values import MAX_TEXT, Form, form, iso_texts, label_text, seconds

FLOAT64, FLOAT32, INT64, BOOL, UTF8, TIMESTAMP = "float64", "float32", "int64", "bool", "utf8", "timestamp"

_INTEGERS = np.iinfo(np.int64)


@dataclass(frozen=True)
class Column:
    """Values of one type. `valid` is None where no value is missing; `values` are Texts for utf8, else an array."""

    type: str
    values: Any
    valid: npt.NDArray[np.bool_] | None = None
    texts: Column | None = None
    """Of numbers: the values beside them that are texts, each missing here."""

    def __len__(self) -> int:
        return len(self.values)

    def part(self, start: int, stop: int) -> Column:
        """Rows from `start` up to `stop`."""
        valid = None if self.valid is None else self.valid[start:stop]
        return Column(self.type, self.values[start:stop], valid, self.texts and self.texts.part(start, stop))

    def taken(self, rows: npt.NDArray[np.intp]) -> Column:
        """The given rows."""
        valid = None if self.valid is None else self.valid[rows]
        values = self.values.taken(rows) if isinstance(self.values, Texts) else self.values[rows]
        texts = self.texts and self.texts.taken(rows)
        return Column(self.type, values, None if valid is None or valid.all() else valid, texts)

    def is_empty(self) -> bool:
        """Whether every value is missing."""
        return self.valid is not None and not self.valid.any() and self.texts is None

    def objects(self) -> list[Any]:
        """Values as Python objects, None for missing."""
        values: list[Any] = self.values.tolist()
        if self.valid is None:
            return values
        found = [value if ok else None for value, ok in zip(values, self.valid.tolist(), strict=True)]
        if self.texts is None:
            return found
        return [value if text is None else text for value, text in zip(found, self.texts.objects(), strict=True)]

    def numbers(self) -> Column:
        """The column without its texts."""
        return replace(self, texts=None) if self.texts is not None else self


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
        return from_texts(iso_texts(values))
    if kind == "m":
        return _floats(seconds(values))
    return from_objects(values.tolist())


def from_objects(values: Sequence[Any]) -> Column:
    """Column of Python objects, each a number, a text or missing by itself (docs/values.md)."""
    types = set(map(type, values))
    if types <= _STRINGS:
        return from_texts(values)
    if types <= _FLOATS:
        return _floats(np.array(values, dtype=np.float64))
    return _from_forms([form(value) for value in values])


def _from_forms(forms: Sequence[Form]) -> Column:
    types = set(map(type, forms)) - {type(None)}
    if types <= {str}:
        return from_texts(forms)  # type: ignore[arg-type]  # strings and None
    numbers = _from_numbers([None if isinstance(one, str) else one for one in forms], types - {str})
    if str not in types:
        return numbers
    return replace(numbers, texts=from_texts([one if isinstance(one, str) else None for one in forms]))


def _from_numbers(values: Sequence[float | None], types: set[type]) -> Column:
    valid = np.fromiter((value is not None for value in values), dtype=bool, count=len(values))
    kind, dtype = (BOOL, bool) if types == {bool} else (INT64, np.int64) if types == {int} else (FLOAT64, np.float64)
    filled = np.array([value or 0 for value in values], dtype=dtype)
    return Column(kind, filled, None if valid.all() else valid)


_STRINGS = frozenset((str, type(None)))
_FLOATS = frozenset((float, type(None)))


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
    objects = list(values) if values.dtype.kind in "Mm" else values.tolist()
    return from_texts([label_text(value) for value in objects])


def without(column: Column, missing: float) -> Column:
    """The column, in which a number that stands for missing is missing."""
    if column.type not in (FLOAT64, FLOAT32, INT64, BOOL):
        return column
    found = np.equal(column.values, missing)
    if not found.any():
        return column
    return replace(column, valid=~found if column.valid is None else column.valid & ~found)


def join(columns: Iterable[Column]) -> Column:
    """Columns one below the other."""
    parts = list(columns)
    first = parts[0]
    if len(parts) == 1:
        return first
    if any(part.type != first.type or part.texts is not None for part in parts):
        return _from_forms([value for part in parts for value in part.objects()])
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
