"""Over how many partitions of the store a request is spread: each is a part on disk, and a fraction of a second."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from modelspan.processor.decode.arrow_stream import times_of
from modelspan.processor.decode.deliveries import payloads_of
from modelspan.processor.decode.rejection import Rejected
from modelspan.processor.journal import Signal
from modelspan.processor.partitions import NANOSECONDS_OF_DAY, months
from modelspan.semconv import columns


def days_of(signal: Signal, request: Any) -> int:
    """Days of the spans, log records or points of a request, for each kind of points."""
    return len(set(_DAYS[signal](request)))


def months_of(request: ExportLogsServiceRequest) -> int:
    """Months of the rows of all batches."""
    found: set[int] = set()
    for payload, _ in payloads_of(request):
        try:
            for times in times_of(payload, columns.TIME):
                found.update(_months(times))
        except Rejected:
            continue  # no batch: an ordinary log record
    return len(found)


def _months(times: Any) -> list[int]:
    if not len(times):
        return []
    first, last = months(np.array([times.min(), times.max()]))
    return [int(first)] if first == last else [int(month) for month in np.unique(months(times))]


def _of_spans(request: Any) -> Iterator[int]:
    for resource in request.resource_spans:
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield span.start_time_unix_nano // NANOSECONDS_OF_DAY


def _of_logs(request: Any) -> Iterator[int]:
    for resource in request.resource_logs:
        for scope in resource.scope_logs:
            for record in scope.log_records:
                yield (record.time_unix_nano or record.observed_time_unix_nano) // NANOSECONDS_OF_DAY


def _of_points(request: Any) -> Iterator[tuple[str, int]]:
    for resource in request.resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                kind = metric.WhichOneof("data")
                for point in getattr(metric, kind).data_points if kind else ():
                    yield kind, point.time_unix_nano // NANOSECONDS_OF_DAY


_DAYS: Final[dict[Signal, Any]] = {Signal.TRACES: _of_spans, Signal.LOGS: _of_logs, Signal.METRICS: _of_points}
