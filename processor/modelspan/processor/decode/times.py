"""Times of events, which count nanoseconds since 1970 but from senders that count another unit."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[Any]

_FIRST, _END = 631_152_000, 4_102_444_800
"""1990 and 2100 in seconds since 1970."""
_SECOND: Final = 10**9
_UNITS: Final = (10**9, 10**6, 10**3)
"""Nanoseconds in a second, milli- and microsecond; a number fits one of them at most."""
SUSPECT: Final = _END * 10**6
"""Nanoseconds since 1970, in February of that year: what is less counts another unit, or is no time."""


def in_nanoseconds(times: Numbers) -> tuple[Numbers, int]:
    """Times below `SUSPECT` in the unit that makes them one from 1990 to 2099, all others as they are; and how many were below it.

    Those up to 0 do not count. The array itself where there are none.
    """
    if not len(times) or times.min() >= SUSPECT:
        return times, 0
    suspect = (times > 0) & (times < SUSPECT)
    if not suspect.any():
        return times, 0
    found = times.copy()
    for each in _UNITS:
        fits = (times >= _FIRST * _SECOND // each) & (times < _END * _SECOND // each)
        found[fits] = times[fits] * each
    return found, int(suspect.sum())


def spans_in_nanoseconds(times: Numbers, durations: Numbers) -> tuple[Numbers, Numbers, int]:
    """Starts of spans as `in_nanoseconds` gives them, their durations in the same unit, and how many were below `SUSPECT`."""
    starts, suspects = in_nanoseconds(times)
    if not suspects:
        return times, durations, 0
    ends, _ = in_nanoseconds(times + durations.astype(times.dtype))
    lengths = np.where(starts == times, durations, np.maximum(ends - starts, 0).astype(durations.dtype))
    return starts, lengths, suspects


def one_in_nanoseconds(time: int) -> int | None:
    """`in_nanoseconds` of a single time; None for what is no time in any unit."""
    found = time if time >= SUSPECT else int(in_nanoseconds(np.array([time], np.int64))[0][0])
    return found if found >= SUSPECT else None


def of_number(value: Decimal) -> int | None:
    """Nanoseconds of a number of seconds, milli-, micro- or nanoseconds since 1970; None for one that is no time from 1990 to 2099."""
    if not value.is_finite():
        return None
    fitting = (each for each in (*_UNITS, 1) if _FIRST * _SECOND <= value * each < _END * _SECOND)
    each = next(fitting, None)
    return None if each is None else int(value * each)
