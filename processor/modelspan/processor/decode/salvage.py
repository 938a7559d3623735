"""Salvage of a request that cannot be decoded whole: the parts that can be, and the others with their errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from modelspan.processor.journal import Record, Signal

_SHAPES: Final[dict[Signal, tuple[type[Message], str, str, str]]] = {
    Signal.TRACES: (ExportTraceServiceRequest, "resource_spans", "scope_spans", "spans"),
    Signal.METRICS: (ExportMetricsServiceRequest, "resource_metrics", "scope_metrics", "metrics"),
    Signal.LOGS: (ExportLogsServiceRequest, "resource_logs", "scope_logs", "log_records"),
}


def salvage(record: Record, decode: Callable[[Record], object]) -> tuple[Record | None, list[tuple[Record, Exception]]]:
    """The request without the spans, metrics or log records that `decode` does not take, and those with its errors.

    None where nothing is left. What is no request at all is returned as it is.
    """
    if _error(record, decode) is None:
        return record, []
    kind, resources, scopes, items = _SHAPES[record.signal]
    try:
        request: Any = kind.FromString(record.payload)
    except DecodeError:
        return record, []
    bad: list[tuple[Record, Exception]] = []
    left = 0
    for resource in getattr(request, resources):
        for scope in getattr(resource, scopes):
            own = getattr(scope, items)
            alone = partial(_alone, record, resource, scope)
            found = list(_bad(own, 0, lambda some, alone=alone: _error(alone(some), decode)))  # type: ignore[misc]
            bad += [(alone([own[place]]), error) for place, error in found]
            for place, _ in reversed(found):
                del own[place]
            left += len(own)
    return (replace(record, payload=request.SerializeToString()) if left else None), bad


def _alone(record: Record, resource: Any, scope: Any, some: Sequence[Any]) -> Record:
    """A request with some items of one scope alone."""
    kind, resources, scopes, items = _SHAPES[record.signal]
    part: Any = kind()
    its_resource = getattr(part, resources).add(resource=resource.resource, schema_url=resource.schema_url)
    its_scope = getattr(its_resource, scopes).add(scope=scope.scope, schema_url=scope.schema_url)
    getattr(its_scope, items).extend(some)
    return replace(record, payload=part.SerializeToString())


def _bad(
    items: Sequence[Any], first: int, error_of: Callable[[Sequence[Any]], Exception | None]
) -> Iterator[tuple[int, Exception]]:
    """Places of the items that are not taken, and why."""
    error = error_of(items) if items else None
    if error is None:
        return
    if len(items) == 1:
        yield first, error
        return
    middle = len(items) // 2
    yield from _bad(items[:middle], first, error_of)
    yield from _bad(items[middle:], first + middle, error_of)


def _error(record: Record, decode: Callable[[Record], object]) -> Exception | None:
    try:
        decode(record)
    except Exception as error:
        return error
    return None
