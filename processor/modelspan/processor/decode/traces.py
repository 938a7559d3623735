"""Spans to `otel_traces`, and those that are predictions to `ml_predictions` too."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from modelspan.processor.decode.rejection import Rejected
from modelspan.processor.decode.row_form import Occasion, RowForm
from modelspan.processor.decode.source import Source, hex_id, model_of, resource_texts, source
from modelspan.processor.decode.tables import MAX_TIME, Rows
from modelspan.processor.decode.values import Raw, raws, texts
from modelspan.semconv import attributes as names

_KINDS: Final = ("Unspecified", "Internal", "Server", "Client", "Producer", "Consumer")
_STATUSES: Final = ("Unset", "Ok", "Error")


def decode_traces(request: ExportTraceServiceRequest, rows: Rows, row_form: RowForm, rejected: Counter[str]) -> None:
    """Append the spans of one request."""
    append = rows["otel_traces"].append
    for resource_spans in request.resource_spans:
        resource = resource_texts(resource_spans)
        for scope_spans in resource_spans.scope_spans:
            origin = source(resource_spans, scope_spans, resource)
            for span in scope_spans.spans:
                values = raws(span.attributes)
                row = _row(span, values, origin)
                append(row)
                if is_prediction(values):
                    try:
                        row_form.add(model_of(origin, values), values, _occasion(row))
                    except Rejected as error:
                        rejected[error.reason] += 1


def is_prediction(values: dict[str, Raw]) -> bool:
    """Whether a span with these attributes is a prediction that no batch event carries."""
    return (
        names.ML_MODEL_NAME in values
        and names.ML_OPERATION_NAME in values
        and values.get(names.ML_PREDICTION_BATCHED) is not True
    )


def _occasion(row: tuple[Any, ...]) -> Occasion:
    time, trace_id, span_id, duration = row[0], row[1], row[2], row[12]
    return Occasion(time, duration, trace_id, span_id, f"{trace_id}-{span_id}")


def _row(span: Span, values: dict[str, Raw], origin: Source) -> tuple[Any, ...]:
    start = span.start_time_unix_nano
    status, events, links = span.status, span.events, span.links
    return (
        min(start, MAX_TIME),
        hex_id(span.trace_id),
        hex_id(span.span_id),
        hex_id(span.parent_span_id) if span.parent_span_id else "",
        span.trace_state,
        span.name,
        _KINDS[span.kind] if 0 <= span.kind < len(_KINDS) else "",
        origin.service_name,
        origin.attributes,
        origin.scope_name,
        origin.scope_version,
        texts(values),
        max(span.end_time_unix_nano - start, 0),
        _STATUSES[status.code] if 0 <= status.code < len(_STATUSES) else "",
        status.message,
        *(_events(events) if events else _NO_EVENTS),
        *(_links(links) if links else _NO_LINKS),
    )


_NO_EVENTS: Final[tuple[list[Any], ...]] = ([], [], [])
_NO_LINKS: Final[tuple[list[Any], ...]] = ([], [], [], [])


def _events(events: Sequence[Span.Event]) -> tuple[list[Any], ...]:
    return (
        [min(event.time_unix_nano, MAX_TIME) for event in events],
        [event.name for event in events],
        [texts(raws(event.attributes)) for event in events],
    )


def _links(links: Sequence[Span.Link]) -> tuple[list[Any], ...]:
    return (
        [hex_id(link.trace_id) for link in links],
        [hex_id(link.span_id) for link in links],
        [link.trace_state for link in links],
        [texts(raws(link.attributes)) for link in links],
    )
