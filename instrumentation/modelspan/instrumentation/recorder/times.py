"""Points in time, as the program has them, to nanoseconds since 1970."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np
import numpy.typing as npt

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)


def nanoseconds(value: Any) -> int:
    """Nanoseconds since 1970 of a datetime, np.datetime64, ISO 8601 string, or number of nanoseconds.

    A time without a zone is UTC. Raises ValueError or TypeError for anything else.
    """
    if hasattr(value, "as_unit"):  # pandas Timestamp: finer than datetime, of which it is a subclass
        return int(value.as_unit("ns").value)
    if isinstance(value, str):
        value = datetime.datetime.fromisoformat(value.replace("Z", "+00:00"))
    if isinstance(value, datetime.datetime):
        aware = value if value.tzinfo is not None else value.replace(tzinfo=datetime.timezone.utc)
        passed = aware - _EPOCH
        return (passed.days * 86_400 + passed.seconds) * 1_000_000_000 + passed.microseconds * 1000
    if isinstance(value, np.datetime64):
        if np.isnat(value):
            raise ValueError("the time is not a time (NaT)")
        return int(value.astype("datetime64[ns]").astype(np.int64))
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
