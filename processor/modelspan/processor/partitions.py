"""Partitions of the tables: days of records by their time, months of what belongs to models. An insert makes a part for each."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

SECONDS_OF_DAY: Final = 86_400
NANOSECONDS_OF_DAY: Final = SECONDS_OF_DAY * 10**9

Partitions = npt.NDArray[np.int64]

_DAYS: Final = {"otel_traces": "Timestamp", "otel_logs": "Timestamp"}
_DAYS_IN_SECONDS: Final = {
    f"otel_metrics_{kind}": "TimeUnix" for kind in ("gauge", "sum", "histogram", "exponential_histogram", "summary")
}
_MONTHS: Final = {"ml_predictions": "time", "ml_actuals": "time", "ml_outcomes": "time"}
"""Tables and their time. Others have no partitions, or those of the time of the insert."""


def months(times: npt.NDArray[Any]) -> Partitions:
    """Months since 1970 of times in nanoseconds."""
    return times.astype("datetime64[ns]").astype("datetime64[M]").astype(np.int64)


def partitions(table: str, rows: pa.Table) -> Partitions | None:
    """For each row the number of its partition; None where all rows are in one."""
    if table in _MONTHS:
        times = _numbers(rows, _MONTHS[table])
        numbers = months(np.array([times.min(), times.max()])) if len(times) else times
        return months(times) if len(numbers) and numbers[0] != numbers[1] else None
    if table in _DAYS:
        return _or_none(_numbers(rows, _DAYS[table]) // NANOSECONDS_OF_DAY)
    if table in _DAYS_IN_SECONDS:
        return _or_none(_numbers(rows, _DAYS_IN_SECONDS[table]) // SECONDS_OF_DAY)
    return None


def _or_none(numbers: Partitions) -> Partitions | None:
    return numbers if len(numbers) and numbers.min() != numbers.max() else None


def _numbers(rows: pa.Table, name: str) -> Partitions:
    return np.asarray(rows.column(name).cast(pa.int64()).to_numpy(), np.int64)
