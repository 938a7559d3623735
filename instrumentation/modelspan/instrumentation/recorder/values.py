"""One value of a program in the form in which it is stored: a number, a text, or missing (docs/values.md).

The form follows from the value alone: neither from the container that held it, nor from the unit or width of its type, nor from the
values beside it.
"""

from __future__ import annotations

import datetime
import decimal
import itertools
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from modelspan.profile.text import number_text

MAX_TEXT = 1024
"""Characters kept of a text."""

Form = bool | int | float | str | None

_INT64 = np.iinfo(np.int64)
_UTC = datetime.timezone.utc
_DEEPEST = 16
_PER_SECOND = {"ms": 10**3, "us": 10**6, "ns": 10**9, "ps": 10**12, "fs": 10**15, "as": 10**18}


def form(value: Any) -> Form:
    """The value as it is stored: None where it is missing; numbers as they are, texts uncut."""
    kind = type(value)
    read = _READERS.get(kind)
    if read is None:
        if len(_READERS) > _MOST_TYPES:
            _READERS.clear()
        read = _READERS[kind] = _reader(kind)
    return read(value)


def label_text(value: Any) -> str | None:
    """The value as a text: numbers in their shortest exact form, without a fraction where they are whole; None where it is missing."""
    if isinstance(value, (int, np.integer, decimal.Decimal)) and not isinstance(value, bool):
        whole = _whole(value)  # of more digits than a float has
        if whole is not None:
            return str(whole)
    found = form(value)
    return found if found is None or isinstance(found, str) else number_text(found)


def _whole(value: Any) -> int | None:
    whole = int(value) if isinstance(value, (int, np.integer)) or value.is_finite() else None
    return whole if whole == value else None


def is_missing(value: Any) -> bool:
    """True if the value is missing: None, NaN, NaT, a masked value or pandas' NA."""
    return form(value) is None


def iso_texts(values: npt.NDArray[np.datetime64]) -> list[str | None]:
    """Times in ISO 8601, with the digits that they need: dates alone at midnight. None for NaT."""
    unit = np.datetime_data(values.dtype)[0]
    if unit in ("Y", "M", "W"):
        values = values.astype("datetime64[D]")
    elif unit in ("h", "m"):
        values = values.astype("datetime64[s]")
    distinct, places = np.unique(values, return_inverse=True)
    written = [None if text == "NaT" else _trimmed(text) for text in np.datetime_as_string(distinct).tolist()]
    return [written[place] for place in places.reshape(-1).tolist()]


def seconds(values: npt.NDArray[np.timedelta64]) -> npt.NDArray[np.float64]:
    """Durations in seconds, NaN for NaT: the same number for the same duration in any unit."""
    unit = np.datetime_data(values.dtype)[0]
    per_second = _PER_SECOND.get(unit, 1)
    counted = values.astype(f"timedelta64[{unit}]" if unit in _PER_SECOND or unit == "generic" else "timedelta64[s]")
    whole, rest = np.divmod(counted.astype(np.int64), per_second)
    found: npt.NDArray[np.float64] = np.where(np.isnat(values), math.nan, whole + rest / per_second)
    return found


def _trimmed(iso: str) -> str:
    if "." in iso:
        iso = iso.rstrip("0").rstrip(".")
    return iso.removesuffix("T00:00:00")


def _reader(kind: type) -> Callable[[Any], Form]:
    """How values of a type are read."""
    if kind.__name__ in ("NAType", "MaskedConstant", "NullScalar"):
        return _missing
    found = next((read for types, read in _BY_TYPE if issubclass(kind, types)), None)
    if found is not None:
        return found
    if hasattr(kind, "closed_left"):  # Interval of pandas
        return _interval
    if hasattr(kind, "as_py"):  # scalars of pyarrow
        return lambda value: form(value.as_py())
    if hasattr(kind, "__float__"):
        return _number_like
    return _nested if hasattr(kind, "tolist") or hasattr(kind, "to_list") else _described


def _missing(value: Any) -> None:
    return None


def _integer(value: Any) -> int | float:
    number = int(value)
    return number if _INT64.min <= number <= _INT64.max else _float(number)


def _floating(value: Any) -> float | None:
    number = float(value)
    return None if number != number else number


def _float(value: Any) -> float:
    """A number as a float; infinite where it is too large."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _number_like(value: Any) -> Form:
    try:
        number = _float(value)
    except Exception:  # several numbers in one value; a signalling NaN
        return None if getattr(value, "is_nan", bool)() else _nested(value)
    return None if number != number else number


def _bytes(value: Any) -> str:
    return bytes(value).decode("utf-8", "replace")


def _time(value: datetime.datetime) -> str | None:
    if value != value:
        return None
    try:
        if value.utcoffset() is not None:
            value = value.astimezone(_UTC).replace(tzinfo=None)
    except (OverflowError, ValueError):  # in the first or last year
        return value.isoformat()
    return _trimmed(value.isoformat())


def _time_of_day(value: datetime.time) -> str:
    written = value.isoformat()
    return written.rstrip("0").rstrip(".") if "." in written and value.tzinfo is None else written


def _duration(value: Any) -> float | None:
    if value != value:
        return None
    if hasattr(value, "to_timedelta64"):  # of pandas: finer than timedelta
        return _floating(seconds(np.array([value.to_timedelta64()]))[0])
    return float(value.days * 86_400 + value.seconds + value.microseconds / 1_000_000)


def _array(value: npt.NDArray[Any]) -> Form:
    return _nested(value) if value.ndim else form(value.item() if value.dtype.kind not in "Mm" else value[()])


def _interval(value: Any) -> str:
    left, right = "[" if value.closed_left else "(", "]" if value.closed_right else ")"
    return f"{left}{label_text(value.left)}, {label_text(value.right)}{right}"


def _nested(value: Any) -> str:
    """A value of several parts as Python writes lists and dicts."""
    return repr(_plain(value, _DEEPEST))[:MAX_TEXT]


def _plain(value: Any, depth: int) -> Any:
    """The first parts in lists and dicts, whole numbers without a fraction, parts of a set or map in order."""
    if isinstance(value, np.ndarray) and value.dtype.kind in "Mm":
        value = list(value[:MAX_TEXT])
    elif hasattr(value, "tolist"):
        value = value[:MAX_TEXT].tolist() if getattr(value, "shape", ()) else value.tolist()
    elif hasattr(value, "to_list"):
        value = value.to_list()
    if depth == 0:
        return "..."
    if isinstance(value, Mapping):
        parts = sorted((str(key), part) for key, part in itertools.islice(value.items(), MAX_TEXT))
        return {key: _plain(part, depth - 1) for key, part in parts}
    if isinstance(value, (set, frozenset)):
        return sorted((_plain(part, depth - 1) for part in value), key=str)[:MAX_TEXT]
    if isinstance(value, (list, tuple)):
        return [_plain(part, depth - 1) for part in value[:MAX_TEXT]]
    found = form(value) if not isinstance(value, np.ndarray) else str(value)
    return int(found) if isinstance(found, float) and found.is_integer() else found


def _described(value: Any) -> str | None:
    """Any other value: what it says of itself, but no address in memory."""
    try:
        if value != value:
            return None
    except Exception:  # a value that cannot be compared is there
        pass
    kind: Any = type(value)
    if kind.__str__ is object.__str__ and kind.__repr__ is object.__repr__:
        return f"{kind.__module__}.{kind.__qualname__}"
    return str(value)


_MOST_TYPES = 1000
_BY_TYPE: tuple[tuple[tuple[type, ...], Callable[[Any], Form]], ...] = (
    ((type(None),), _missing),
    ((bool, np.bool_), bool),
    ((str,), str.__str__),
    ((bytes, bytearray, memoryview), _bytes),
    ((np.timedelta64,), lambda value: _floating(seconds(np.array([value]))[0])),
    ((np.datetime64,), lambda value: iso_texts(np.array([value]))[0]),
    ((int, np.integer), _integer),
    ((float, np.floating), _floating),
    ((datetime.datetime,), _time),
    ((datetime.date,), datetime.date.isoformat),
    ((datetime.time,), _time_of_day),
    ((datetime.timedelta,), _duration),
    ((np.ndarray,), _array),
    ((list, tuple, set, frozenset, Mapping), _nested),
)
_READERS: dict[type, Callable[[Any], Form]] = {}
