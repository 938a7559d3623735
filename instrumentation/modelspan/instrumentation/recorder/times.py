"""Points in time, as the program has them, to nanoseconds since 1970."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np
import numpy.typing as npt

_LIMITS = np.iinfo(np.int64)
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)


def nanoseconds(value: Any) -> int:
    """Nanoseconds since 1970 of a datetime, date, np.datetime64, ISO 8601 string, or number of nanoseconds.

    A time without a zone is UTC. Raises ValueError for none (NaT) and for one outside of the years 1678 to 2261, TypeError
    for anything else.
    """
    if value != value:
        raise ValueError("the time is not a time (NaT)")
    found = _nanoseconds(value)
    if not _LIMITS.min <= found <= _LIMITS.max:
        raise ValueError(f"{value} is too far from 1970 to be counted in nanoseconds")
    return found


def _nanoseconds(value: Any) -> int:
    if hasattr(value, "as_unit"):  # pandas Timestamp: finer than datetime, of which it is a subclass
        return int(value.as_unit("ns").value)
    if isinstance(value, str):
        value = datetime.datetime.fromisoformat(value.replace("Z", "+00:00"))
    if isinstance(value, datetime.datetime):
        aware = value if value.tzinfo is not None else value.replace(tzinfo=datetime.timezone.utc)
        passed = aware - _EPOCH
        return (passed.days * 86_400 + passed.seconds) * 1_000_000_000 + passed.microseconds * 1000
    if isinstance(value, datetime.date):
        return (value - _EPOCH.date()).days * 86_400_000_000_000
    if isinstance(value, np.datetime64):
        seconds = value.astype("datetime64[s]")
        rest = (value - seconds).astype("timedelta64[ns]")
        return int(seconds.astype(np.int64)) * 1_000_000_000 + int(rest.astype(np.int64))
    if isinstance(value, (int, np.integer)):
        return int(value)
    raise TypeError(f"{type(value).__name__} is not a time: give a datetime, np.datetime64 or ISO 8601 string")


def each_in_nanoseconds(values: Any) -> int | npt.NDArray[np.int64]:
    """`nanoseconds` of one time, or of each of an array-like of times."""
    if isinstance(values, np.ndarray) and values.ndim == 1:
        return np.array([nanoseconds(value) for value in values], dtype=np.int64)
    if isinstance(values, (list, tuple)) or hasattr(values, "to_list"):
        return np.array([nanoseconds(value) for value in values], dtype=np.int64)
    return nanoseconds(values)
