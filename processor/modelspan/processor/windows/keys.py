"""Which model and which window: the key of a model, and event-time windows aligned to the epoch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

MILLISECOND = 1_000_000
INT64_MAX = 2**63 - 1
RUN_GAP = 64
"""Windows closer than this share one range of a query: reading their times is cheaper than one more range."""


class ModelKey(NamedTuple):
    """What verdicts are given for. Empty strings are ordinary values."""

    service_name: str
    environment: str
    model_name: str
    model_version: str


KEY_COLUMNS = ", ".join(ModelKey._fields)
KEY_CONDITION = " AND ".join(f"{column} = {{{column}:String}}" for column in ModelKey._fields)


def window_sql(length: int) -> str:
    """SQL of the start, in nanoseconds since the epoch, of the window that holds `time`."""
    return f"(toUnixTimestamp64Nano(time) - positiveModulo(toUnixTimestamp64Nano(time), {int(length)}))"


def window_starts(times: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    """Starts, sorted and unique, of the windows that hold `times`; all in nanoseconds since the epoch."""
    if times.size == 0:
        return times
    first = int(times.min()) // length * length
    if first + length > int(times.max()):
        return np.array([first], np.int64)
    return np.unique(times - np.mod(times, length))


def timestamp_sql(nanoseconds: int) -> str:
    """SQL literal of an instant."""
    return f"fromUnixTimestamp64Nano(toInt64({int(nanoseconds)}), 'UTC')"


def before_sql(end: int) -> str:
    """SQL condition: `time` is before `end`, which may lie beyond what the type can hold."""
    return f"time <= {timestamp_sql(min(end - 1, INT64_MAX))}"


def windows_condition(starts: Sequence[int], length: int) -> str:
    """SQL condition: `time` is in one of the windows. Ranges for the primary key, the exact set for the rest."""
    ranges = " OR ".join(
        f"(time >= {timestamp_sql(first)} AND {before_sql(last + length)})" for first, last in runs(starts, length)
    )
    exact = ", ".join(f"toInt64({int(start)})" for start in starts)
    return f"({ranges}) AND {window_sql(length)} IN ({exact})"


def runs(starts: Iterable[int], length: int) -> list[tuple[int, int]]:
    """First and last start of each run of windows that lie close together."""
    found: list[tuple[int, int]] = []
    for start in sorted(starts):
        if found and start - found[-1][1] <= RUN_GAP * length:
            found[-1] = (found[-1][0], start)
        else:
            found.append((start, start))
    return found


def stored_windows_condition(starts: Sequence[int]) -> str:
    """SQL condition on `window_start`, which is in milliseconds: it is one of the starts, which are in nanoseconds."""
    given = sorted(start // MILLISECOND for start in starts)
    first, last = (f"fromUnixTimestamp64Milli(toInt64({limit}), 'UTC')" for limit in (given[0], given[-1]))
    exact = ", ".join(f"toInt64({start})" for start in given)
    return f"window_start BETWEEN {first} AND {last} AND toUnixTimestamp64Milli(window_start) IN ({exact})"
