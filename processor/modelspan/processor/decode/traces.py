"""Spans to `otel_traces`, and those that are predictions to `ml_predictions` too."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

from modelspan.processor.decode import rejection
from modelspan.processor.decode.alike import Alike, column_texts, groups
from modelspan.processor.decode.alike_predictions import Circumstances, are_predictions, prediction_part
from modelspan.processor.decode.maps import (
    Codes,
    Entries,
    Names,
    concatenated,
    joined,
    map_array,
    row_entries,
    text_entries,
)
from modelspan.processor.decode.predictions import Predictions
from modelspan.processor.decode.rejection import Rejected
from modelspan.processor.decode.row_form import Occasion, RowForm
from modelspan.processor.decode.source import Source, hex_id, model_of, resource_texts, source
from modelspan.processor.decode.tables import MAX_TIME, SCHEMAS, TRACES, column
from modelspan.processor.decode.times import SUSPECT, spans_in_nanoseconds
from modelspan.processor.decode.values import Raw, raws, texts
from modelspan.processor.decode.wire import PADDING, Bytes, Places, Unusual, parted
from modelspan.processor.terse import REASON
from modelspan.semconv import attributes as names

_log = logging.getLogger(__name__)

_KINDS: Final = ("Unspecified", "Internal", "Server", "Client", "Producer", "Consumer")
_STATUSES: Final = ("Unset", "Ok", "Error")
_OF_SOURCE: Final = {
    "ServiceName": "service_name",
    "ResourceAttributes": "attributes",
    "ScopeName": "scope_name",
    "ScopeVersion": "scope_version",
}
_ATTRIBUTES: Final = "SpanAttributes"


class _Part(NamedTuple):
    """Some spans."""

    origins: Codes
    columns: dict[str, pa.Array]
    lists: Mapping[str, Sequence[Any]]
    """For each span its events and links."""
    attributes: Entries


class Traces:
    """The spans of a block."""

    def __init__(self, predictions: Predictions, row_form: RowForm, rejected: Counter[str]) -> None:
        self._predictions = predictions
        self._row_form = row_form
        self._rejected = rejected
        self._sources: list[Source] = []
        self._origins: list[int] = []
        """For each span the place of its source."""
        self._payloads: list[bytes] = []
        self._starts: list[int] = []
        self._ends: list[int] = []
        self._parts: list[_Part] = []
        self._names = Names()

    def add(self, payload: bytes) -> None:
        """Take the spans of one request. Raises `DecodeError` for what is none, and takes nothing then."""
        try:
            found = list(_located(payload))
        except Unusual:
            request = ExportTraceServiceRequest.FromString(payload)
            request.DiscardUnknownFields()
            payload = request.SerializeToString()
            found = list(_located(payload))
        base = sum(map(len, self._payloads))
        for origin, spans in found:
            self._origins += [len(self._sources)] * len(spans)
            self._sources.append(origin)
            for start, end in spans:
                self._starts.append(base + start)
                self._ends.append(base + end)
        self._payloads.append(payload)

    def finish(self) -> pa.Table | None:
        """Hand the predictions on; return the rows of `otel_traces`, if there are any."""
        if not self._origins:
            return None
        buffer = np.frombuffer(b"".join([*self._payloads, bytes(PADDING)]), np.uint8)
        starts, ends = np.array(self._starts), np.array(self._ends)
        rest = self._many_at_once(buffer, starts, ends)
        self._one_by_one(rest, [Span.FromString(buffer[starts[i] : ends[i]].tobytes()) for i in rest])
        origins = pa.array(joined([part.origins for part in self._parts]))
        columns = [self._column(field, origins) for field in SCHEMAS[TRACES]]
        return pa.table(columns, names=SCHEMAS[TRACES].names)

    def _column(self, field: pa.Field, origins: pa.Array) -> pa.Array:
        name, kind, parts = field.name, field.type, self._parts
        if name in _OF_SOURCE:
            place = Source._fields.index(_OF_SOURCE[name])
            return column([source[place] for source in self._sources], kind).take(origins)
        if name == _ATTRIBUTES:
            return map_array([part.attributes for part in parts], self._names.array(), kind.item_type)
        if name in _LISTS:
            return column([value for part in parts for value in part.lists[name]], kind)
        return concatenated([part.columns[name] for part in parts], kind)

    def _many_at_once(self, buffer: Bytes, starts: Places, ends: Places) -> Places:
        """Take the spans that are alike; return the places of the others."""
        left = np.ones(len(starts), np.bool_)
        for spans in groups(buffer, starts, ends):
            try:
                self._take(spans, np.array(self._origins, np.int32)[spans.places])
            except Unusual:
                continue
            left[spans.places] = False
        return np.flatnonzero(left)

    def _take(self, spans: Alike, origins: Codes) -> None:
        start = spans.numbers("start_time_unix_nano").astype(np.uint64)
        end = spans.numbers("end_time_unix_nano").astype(np.uint64)
        times = np.minimum(start, np.uint64(MAX_TIME)).astype(np.int64)
        durations = np.where(end > start, end - start, np.uint64(0))
        trace_ids, span_ids = spans.hex("trace_id"), spans.hex("span_id")
        if are_predictions(spans):
            starts, lengths, suspects = spans_in_nanoseconds(times, durations)
            about = Circumstances(starts, lengths, trace_ids, span_ids, self._sources, origins)
            self._row_form.add_part(prediction_part(self._predictions, spans, about))
            if suspects:
                rejection.read_by_magnitude(self._rejected, "spans", suspects)
        columns = {
            "Timestamp": pa.array(times, pa.timestamp("ns", "UTC")),
            "TraceId": trace_ids,
            "SpanId": span_ids,
            "ParentSpanId": spans.hex("parent_span_id"),
            "TraceState": spans.strings("trace_state"),
            "SpanName": spans.strings("name"),
            "SpanKind": _named(_KINDS, spans.numbers("kind")),
            "Duration": pa.array(durations),
            "StatusCode": _named(_STATUSES, spans.numbers("status.code")),
            "StatusMessage": spans.strings("status.message"),
        }
        keys = sorted(spans.attributes)
        values = [pa.chunked_array([column_texts(spans.attributes[key], len(spans))]) for key in keys]
        attributes = text_entries(values, self._names.codes(keys), len(spans))
        lists = dict.fromkeys(_LISTS, [()] * len(spans))
        self._parts.append(_Part(origins, columns, lists, attributes))

    def _one_by_one(self, places: Places, spans: Sequence[Span]) -> None:
        rows: list[tuple[Any, ...]] = []
        attributes: list[dict[str, str]] = []
        for place, span in zip(places, spans, strict=True):
            origin = self._sources[self._origins[place]]
            values = raws(span.attributes)
            row = _row(span)
            rows.append(row)
            attributes.append(texts(values))
            if is_prediction(values):
                try:
                    occasion = _occasion(row)
                    timed = _timed(occasion)
                    self._row_form.add(model_of(origin, values), values, timed)
                    if timed is not occasion:
                        rejection.read_by_magnitude(self._rejected, "spans")
                except Rejected as error:
                    self._rejected[error.reason] += 1
                    said = (span.name[:80], origin.service_name, str(error))
                    _log.warning("span %r of %r is stored as no prediction: %s", *said, extra={REASON: error.reason})
                except Exception as error:  # whatever it is, its neighbours are stored
                    self._rejected[rejection.UNDECODABLE] += 1
                    _log.warning("a span is stored as no prediction", exc_info=error)
        if rows:
            contents = dict(zip(_ROW, zip(*rows, strict=True), strict=True))
            lists = {name: contents.pop(name) for name in _LISTS}
            columns = {name: column(content, SCHEMAS[TRACES].field(name).type) for name, content in contents.items()}
            origins = np.array(self._origins, np.int32)[places]
            self._parts.append(_Part(origins, columns, lists, row_entries(attributes, pa.string(), self._names)))


def _number(message: Any, name: str) -> int:
    return int(message.DESCRIPTOR.fields_by_name[name].number)


_RESOURCE_SPANS: Final = _number(ExportTraceServiceRequest, "resource_spans")
_SCOPE_SPANS: Final = _number(ResourceSpans, "scope_spans")
_SPANS: Final = _number(ScopeSpans, "spans")


def _located(payload: bytes) -> Iterator[tuple[Source, list[tuple[int, int]]]]:
    """Each source in a request, and where its spans begin and end. Raises `Unusual` and `DecodeError`."""
    resources, _ = parted(payload, _RESOURCE_SPANS, 0, len(payload))
    for resource_place in resources:
        scopes, wire = parted(payload, _SCOPE_SPANS, *resource_place)
        resource_spans = ResourceSpans.FromString(wire)
        resource = resource_texts(resource_spans)
        for scope_place in scopes:
            spans, wire = parted(payload, _SPANS, *scope_place)
            yield source(resource_spans, ScopeSpans.FromString(wire), resource), spans


def is_prediction(values: dict[str, Raw]) -> bool:
    """Whether a span with these attributes is a prediction that no batch event carries."""
    return (
        names.ML_MODEL_NAME in values
        and names.ML_OPERATION_NAME in values
        and values.get(names.ML_PREDICTION_BATCHED) is not True
    )


def _named(texts: Sequence[str], numbers: npt.NDArray[Any]) -> pa.Array:
    """Names of the numbers; empty for those that have none."""
    known = (numbers >= 0) & (numbers < len(texts))
    return pa.array([*texts, ""]).take(pa.array(np.where(known, numbers, len(texts)).astype(np.int32)))


_LISTS: Final = (
    "Events.Timestamp",
    "Events.Name",
    "Events.Attributes",
    "Links.TraceId",
    "Links.SpanId",
    "Links.TraceState",
    "Links.Attributes",
)
_ROW: Final = (
    "Timestamp",
    "TraceId",
    "SpanId",
    "ParentSpanId",
    "TraceState",
    "SpanName",
    "SpanKind",
    "Duration",
    "StatusCode",
    "StatusMessage",
    *_LISTS,
)
"""Columns in the order of `_row`."""


def _row(span: Span) -> tuple[Any, ...]:
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
        max(span.end_time_unix_nano - start, 0),
        _STATUSES[status.code] if 0 <= status.code < len(_STATUSES) else "",
        status.message,
        *(_events(events) if events else _NO_EVENTS),
        *(_links(links) if links else _NO_LINKS),
    )


def _occasion(row: tuple[Any, ...]) -> Occasion:
    time, trace_id, span_id, *_ = row
    return Occasion(time, row[_ROW.index("Duration")], trace_id, span_id, f"{trace_id}-{span_id}")


def _timed(occasion: Occasion) -> Occasion:
    """With a time in nanoseconds; the same where it was."""
    if not 0 < occasion.time < SUSPECT:
        return occasion
    given = np.array([occasion.time]), np.array([occasion.duration], np.uint64)
    (start,), (duration,), _ = spans_in_nanoseconds(*given)
    return occasion._replace(time=int(start), duration=int(duration))


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
