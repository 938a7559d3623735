"""Metric points to `otel_metrics_*`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from modelspan.processor.decode.source import Source, hex_id, resource_texts, source
from modelspan.processor.decode.tables import Rows
from modelspan.processor.decode.values import raws, texts

_MAX_SECONDS: Final = 2**32 - 1
"""What a DateTime holds."""


def decode_metrics(request: ExportMetricsServiceRequest, rows: Rows) -> None:
    """Append the points of one request. A metric without data has no rows."""
    for resource_metrics in request.resource_metrics:
        resource = resource_texts(resource_metrics)
        for scope_metrics in resource_metrics.scope_metrics:
            origin = source(resource_metrics, scope_metrics, resource)
            for metric in scope_metrics.metrics:
                kind = metric.WhichOneof("data")
                if kind:
                    data = getattr(metric, kind)
                    append, row = rows[f"otel_metrics_{kind}"].append, _ROWS[kind]
                    for point in data.data_points:
                        append((*_common(origin, metric, point), *row(data, point)))


def _common(origin: Source, metric: Any, point: Any) -> tuple[Any, ...]:
    return (
        origin.attributes,
        origin.schema_url,
        origin.scope_name,
        origin.scope_version,
        origin.scope_attributes,
        origin.scope_dropped,
        origin.scope_schema_url,
        origin.service_name,
        metric.name,
        metric.description,
        metric.unit,
        texts(raws(point.attributes)),
        _seconds(point.start_time_unix_nano),
        _seconds(point.time_unix_nano),
        point.flags,
    )


def _gauge(data: Any, point: Any) -> tuple[Any, ...]:
    return (_value(point), *_exemplars(point))


def _sum(data: Any, point: Any) -> tuple[Any, ...]:
    return (_value(point), *_exemplars(point), data.aggregation_temporality, data.is_monotonic)


def _histogram(data: Any, point: Any) -> tuple[Any, ...]:
    buckets = (list(point.bucket_counts), list(point.explicit_bounds))
    return (point.count, point.sum, *buckets, *_exemplars(point), point.min, point.max, data.aggregation_temporality)


def _exponential_histogram(data: Any, point: Any) -> tuple[Any, ...]:
    return (
        point.count,
        point.sum,
        point.scale,
        point.zero_count,
        point.positive.offset,
        list(point.positive.bucket_counts),
        point.negative.offset,
        list(point.negative.bucket_counts),
        *_exemplars(point),
        point.min,
        point.max,
        data.aggregation_temporality,
    )


def _summary(data: Any, point: Any) -> tuple[Any, ...]:
    quantiles = point.quantile_values
    return (point.count, point.sum, [q.quantile for q in quantiles], [q.value for q in quantiles])


_ROWS: Final[dict[str, Callable[[Any, Any], tuple[Any, ...]]]] = {
    "gauge": _gauge,
    "sum": _sum,
    "histogram": _histogram,
    "exponential_histogram": _exponential_histogram,
    "summary": _summary,
}


def _value(point: Any) -> float:
    return float(point.as_int) if point.WhichOneof("value") == "as_int" else float(point.as_double)


def _exemplars(point: Any) -> tuple[list[Any], ...]:
    exemplars = point.exemplars
    return (
        [texts(raws(exemplar.filtered_attributes)) for exemplar in exemplars],
        [_seconds(exemplar.time_unix_nano) for exemplar in exemplars],
        [_value(exemplar) for exemplar in exemplars],
        [hex_id(exemplar.span_id) for exemplar in exemplars],
        [hex_id(exemplar.trace_id) for exemplar in exemplars],
    )


def _seconds(nanoseconds: int) -> int:
    return min(nanoseconds // 1_000_000_000, _MAX_SECONDS)
