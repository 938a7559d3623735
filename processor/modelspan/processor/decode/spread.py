"""Over how many partitions of the store a request is spread: each is a part on disk, and milliseconds of every insert."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from operator import attrgetter
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from modelspan.processor.decode.arrow_stream import times_of
from modelspan.processor.decode.times import in_nanoseconds
from modelspan.processor.journal import Signal
from modelspan.processor.partitions import NANOSECONDS_OF_DAY, months
from modelspan.semconv import columns

_Times = npt.NDArray[np.uint64]


def days_of(signal: Signal, request: Any) -> int:
    """Days of the spans, log records or points of a request, those of each kind of points by themselves."""
    return sum(map(_days, _TIMES[signal](request)))


def _days(times: _Times) -> int:
    """The more of the days as they were sent, which is how telemetry is stored, and as they are read, as predictions are."""
    sent, (read, suspects) = len(np.unique(times // NANOSECONDS_OF_DAY)), in_nanoseconds(times)
    return sent if not suspects else max(sent, len(np.unique(read // NANOSECONDS_OF_DAY)))


def months_of(payload: bytes) -> set[int]:
    """Months of the rows of a batch. Raises `Rejected`."""
    found: set[int] = set()
    for times in times_of(payload, columns.TIME):
        if len(times):
            first, last = months(np.array([times.min(), times.max()]))
            found.update([int(first)] if first == last else np.unique(months(times)).tolist())
    return found


def _of_spans(request: Any) -> Iterator[_Times]:
    yield _numbers(
        chain.from_iterable(scope.spans for resource in request.resource_spans for scope in resource.scope_spans),
        "start_time_unix_nano",
    )


def _of_logs(request: Any) -> Iterator[_Times]:
    scopes = [scope.log_records for resource in request.resource_logs for scope in resource.scope_logs]
    times = _numbers(chain.from_iterable(scopes), "time_unix_nano")
    if not times.all():
        times = np.where(times == 0, _numbers(chain.from_iterable(scopes), "observed_time_unix_nano"), times)
    yield times


def _of_points(request: Any) -> Iterator[_Times]:
    of_kind: dict[str, list[Any]] = {}
    for resource in request.resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                if kind := metric.WhichOneof("data"):
                    of_kind.setdefault(kind, []).append(getattr(metric, kind).data_points)
    for several in of_kind.values():
        yield _numbers(chain.from_iterable(several), "time_unix_nano")


def _numbers(records: Iterable[Any], name: str) -> _Times:
    return np.fromiter(map(attrgetter(name), records), np.uint64)


_TIMES: Final = {Signal.TRACES: _of_spans, Signal.LOGS: _of_logs, Signal.METRICS: _of_points}
