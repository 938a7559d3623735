"""Points in time, as the program has them, to nanoseconds since 1970."""

from __future__ import annotations

import datetime
import decimal
import re
from typing import Any

import numpy as np
import numpy.typing as npt

from modelspan.instrumentation.failure import warn_once
from modelspan.instrumentation.recorder.elements import elements

UNKNOWN = 0
"""Stands for the time of a row that has none."""

Times = npt.NDArray[np.int64]

_NANOSECOND = 10**9
_LIMITS = np.iinfo(np.int64)
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
_FIRST, _END = 631_152_000, 4_102_444_800
"""1990 and 2100 in seconds since 1970."""
_UNITS = (1, 10**3, 10**6, 10**9)
"""Units per second in which a number can count; a number fits one of them at most."""
_NUMBER = re.compile(r"[-+]?[0-9]+(?:[.][0-9]*)?(?:[eE][+]?[0-9]{1,3})?")
_ISO = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[Tt ](\d\d:\d\d(?::\d\d)?)(?:[.,](\d+))?)?\s*(?:(Z|z|UTC|GMT)|([+-]\d\d)(?::?(\d\d))?)?",
    re.ASCII,
)


def nanoseconds(value: Any) -> int:
    """Nanoseconds since 1970 of a datetime, date, np.datetime64, Period, ISO 8601 string, or number, also in a text.

    A time without a zone is UTC. A number counts seconds, milli-, micro- or nanoseconds since 1970, whichever makes it a time from
    1990 to 2099. Raises ValueError for none (NaT), for a number that is no such time, and for a time outside of the years 1678 to
    2261, TypeError for anything else.
    """
    if isinstance(value, np.ndarray) and not value.shape:
        value = value[()]
    if hasattr(value, "as_py") and value.as_py() is not None:  # a scalar of Arrow
        value = int(value.value) if "timestamp[ns" in str(value.type) else value.as_py()
    if value is None or value != value:
        raise ValueError("the time is missing")
    found = _nanoseconds(value)
    if not _LIMITS.min < found <= _LIMITS.max:
        raise ValueError(f"{value} is too far from 1970 to be counted in nanoseconds")
    return found


def _nanoseconds(value: Any) -> int:
    if hasattr(value, "start_time"):  # pandas Period
        value = value.start_time
    if hasattr(value, "as_unit"):  # pandas Timestamp: finer than datetime, of which it is a subclass
        return int(value.as_unit("ns").value)
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, str):
        return _of_text(value.strip())
    if isinstance(value, datetime.datetime):
        aware = value if value.tzinfo is not None else value.replace(tzinfo=datetime.timezone.utc)
        passed = aware - _EPOCH
        return (passed.days * 86_400 + passed.seconds) * _NANOSECOND + passed.microseconds * 1000
    if isinstance(value, datetime.date):
        return (value - _EPOCH.date()).days * 86_400 * _NANOSECOND
    if isinstance(value, np.datetime64):
        whole = value.astype("datetime64[s]")
        rest = (value - whole).astype("timedelta64[ns]")
        return int(whole.astype(np.int64)) * _NANOSECOND + int(rest.astype(np.int64))
    if isinstance(value, (int, float, np.integer, np.floating, decimal.Decimal)) and not isinstance(value, bool):
        return _of_number(value)
    raise TypeError(f"{type(value).__name__} is not a time: give a datetime, np.datetime64, number or ISO 8601 string")


def _of_number(value: Any) -> int:
    unit = next((unit for unit in _UNITS if _FIRST * unit <= value < _END * unit), None)
    if unit is None:
        raise ValueError(f"{value} is no time from 1990 to 2099 in seconds, milli-, micro- or nanoseconds since 1970")
    whole, nanoseconds_each = int(value), _NANOSECOND // unit
    rest: int = round((value - whole) * nanoseconds_each)
    return whole * nanoseconds_each + rest


def _of_text(value: str) -> int:
    if _NUMBER.fullmatch(value):
        return _of_number(decimal.Decimal(value))
    parts = _ISO.fullmatch(value)
    if parts is None:
        raise ValueError(f"{value!r} is not a time in ISO 8601")
    day, time, digits, _, hours, minutes = parts.groups()
    moment = datetime.datetime.fromisoformat(f"{day}T{time or '00:00'}{hours or '+00'}:{minutes or '00'}")
    return _nanoseconds(moment) + int(f"{digits or '':0<9.9}")


def each_in_nanoseconds(given: Any) -> int | Times:
    """`nanoseconds` of one time, or of each of an array-like of times: UNKNOWN for those that are missing, not after 1970, or no
    times, which is said once. Raises what `nanoseconds` does for one time.
    """
    found = _of_dates(given)
    if found is None:
        listed = elements(given)
        if listed is None:
            return nanoseconds(given)
        found = np.fromiter(map(_or_unknown, listed), np.int64, len(listed))
    found[found < 0] = UNKNOWN
    missing = int((found == UNKNOWN).sum())
    if missing:
        warn_once(
            "times", f"{missing} of {len(found)} times are missing or no times after 1970; these rows are dated now."
        )
    return found


def _or_unknown(value: Any) -> int:
    try:
        return nanoseconds(value)
    except (TypeError, ValueError, OverflowError):
        return UNKNOWN


def _of_dates(given: Any) -> Times | None:
    """Of an array or series of datetimes, all at once; None of anything else."""
    kind = getattr(getattr(given, "dtype", None), "kind", "")
    if kind != "M" or len(given.shape) != 1:
        return None
    if isinstance(given, np.ma.MaskedArray):
        given = given.filled(np.datetime64("NaT"))
    try:
        dates = np.asarray(
            given, dtype=None if isinstance(given, np.ndarray) else "datetime64[ns]"
        )  # zoned ones in UTC
    except ValueError:  # dates of Arrow in pandas
        return None
    whole = dates.astype("datetime64[s]").astype(np.int64)
    counted = dates.astype("datetime64[ns]").astype(np.int64)
    is_countable = ~np.isnat(dates) & (whole > _LIMITS.min // _NANOSECOND) & (whole < _LIMITS.max // _NANOSECOND)
    return np.where(is_countable, counted, UNKNOWN)
