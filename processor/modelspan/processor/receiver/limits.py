"""Limits on what a request may become in memory, checked in its bytes before it is parsed and acknowledged."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any, Final, cast

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from modelspan.processor.decode.arrow_stream import size_of
from modelspan.processor.decode.cost import Cost, bound, cost_of
from modelspan.processor.decode.deliveries import payloads_of
from modelspan.processor.decode.portions import BATCH_ATTRIBUTES
from modelspan.processor.decode.rejection import TOO_LARGE, Rejected
from modelspan.processor.decode.spread import days_of, months_of
from modelspan.processor.journal import Signal
from modelspan.processor.receiver.refusal import Refusal, beyond, malformed, too_large
from modelspan.semconv import attributes

REQUESTS: Final[dict[Signal, type[Message]]] = {
    Signal.TRACES: ExportTraceServiceRequest,
    Signal.METRICS: ExportMetricsServiceRequest,
    Signal.LOGS: ExportLogsServiceRequest,
}
_SHAPES: Final = {
    Signal.TRACES: ("resource_spans", "scope_spans", "spans"),
    Signal.METRICS: ("resource_metrics", "scope_metrics", "metrics"),
    Signal.LOGS: ("resource_logs", "scope_logs", "log_records"),
}
_REPEATED, _REPEATED_IN_ONE = 8, 4
"""Most bytes that records may repeat, in multiples of the largest request; and of those that are decoded at once."""
_FEWER_DAYS: Final = "send fewer of them at once"
MAX_DEPTH: Final = 100
"""Messages inside one another: what protobuf parsers accept."""
_BATCH: Final = attributes.ML_PREDICTION_BATCH_DATA.encode()
_MAPS_AS_TEXT: Final = tuple(
    name.encode()
    for name in (
        attributes.ML_INPUT_FEATURES,
        attributes.ML_OUTPUT_PREDICTIONS,
        attributes.ML_OUTPUT_SCORES,
        attributes.ML_OUTPUT_VALUES,
        attributes.ML_OUTPUT_LABELS,
    )
)
"""Attributes whose text is read as JSON."""


@dataclass(frozen=True)
class Limits:
    """The most that one request may hold."""

    size: int = 64 << 20
    """Bytes, after every decompression."""
    records: int = 250_000
    values: int = 6_000_000
    cells: int = 32_000_000
    """Rows times columns of all batches."""
    days: int = 400
    """On which its spans, log records or points lie; and months of the rows in its batches."""

    @property
    def record_values(self) -> int:
        """Values of one log record, span or metric: nothing smaller can be stored on its own."""
        return self.values // 3

    def check(self, signal: Signal, payload: bytes) -> bool:
        """True if the request holds data. Raises `Refusal` if it is no OTLP request or is beyond a limit."""
        if len(payload) > self.size:
            raise too_large(self.size)
        self._check_messages(signal, payload)
        try:
            request = REQUESTS[signal].FromString(payload)
        except DecodeError as error:
            raise self._unreadable(signal, payload, error) from error
        records = self._check_shared(signal, request)
        if records > self.days and (days := days_of(signal, request)) > self.days:
            raise beyond("days on which its records lie", days, self.days, "days", what_to_do=_FEWER_DAYS)
        if isinstance(request, ExportLogsServiceRequest) and _BATCH in payload:
            self._check_batches(request, len(payload))
        return bool(request.ListFields())

    def check_json(self, text: bytes) -> None:
        """Raises `Refusal`: a value in JSON costs twice as much as one in protobuf."""
        found = text.count(b",") + text.count(b"[") + text.count(b"{")
        if found > self.values * 2 // 3:
            raise beyond("values in JSON", found, self.values * 2 // 3, "values")

    def _check_messages(self, signal: Signal, payload: bytes) -> None:
        if payload.count(b",") > self.values and any(name in payload for name in _MAPS_AS_TEXT):
            raise beyond("values in maps as JSON", payload.count(b","), self.values, "values")
        most = min(self.records, self.record_values)
        if signal is Signal.METRICS:  # in which a byte can be a number
            certain = len(payload) <= most
        else:
            certain = len(payload) // 2 <= most or bound(payload) <= most
        if certain:
            return
        cost = self._cost(signal, payload)
        if cost.records > self.records:
            raise beyond("records", cost.records, self.records, "records")
        if cost.values > self.values:
            raise beyond("values", cost.values, self.values, "values")
        if cost.record_values > self.record_values:
            raise beyond("values in one record", cost.record_values, self.record_values, "values")

    def _cost(self, signal: Signal, payload: bytes) -> Cost:
        most = Cost(self.records, self.values, self.record_values, MAX_DEPTH)
        return cost_of(payload, cast("Descriptor", REQUESTS[signal].DESCRIPTOR), most)

    def _unreadable(self, signal: Signal, payload: bytes, error: DecodeError) -> Refusal:
        if self._cost(signal, payload).depth > MAX_DEPTH:
            return malformed(f"the request holds messages nested more than {MAX_DEPTH} deep; send flatter values")
        return malformed(f"the body is not a valid {REQUESTS[signal].DESCRIPTOR.full_name}: {error}")

    def _check_batches(self, request: ExportLogsServiceRequest, size: int) -> None:
        cells = repeated = rows = 0
        months: set[int] = set()
        unread: list[bytes] = []
        for payload, rest in payloads_of(request):
            try:
                batch = size_of(payload)
            except Rejected as error:
                if error.reason == TOO_LARGE:
                    raise malformed(f"a batch is too large: {error}; send smaller batches") from error
                continue  # no batch: an ordinary log record
            cells += batch.cells
            rows += batch.rows
            size += batch.size - len(payload)
            repeated += batch.rows * max(0, rest - BATCH_ATTRIBUTES)
            if cells > self.cells:
                raise beyond("cells of batches", cells, self.cells, "cells")
            if size > self.size:
                raise beyond("bytes once its batches are expanded", size, self.size, "bytes")
            self._check_repeated("bytes of attributes of batches, once for each row,", repeated, _REPEATED_IN_ONE)
            unread.append(payload)
            if rows > self.days:
                self._add_months(months, unread)

    def _add_months(self, months: set[int], unread: list[bytes]) -> None:
        """Count the months of payloads, which are then read."""
        while unread:
            with contextlib.suppress(Rejected):  # no batch: an ordinary log record
                months |= months_of(unread.pop())
        if len(months) > self.days:
            what = "months on which the rows of its batches lie"
            raise beyond(what, len(months), self.days, "days", what_to_do=_FEWER_DAYS)

    def _check_shared(self, signal: Signal, request: Any) -> int:
        """Count spans, log records or points. Refuse a request whose shared parts (resource, scope, metric name), repeated in
        each of them, exceed the limit.
        """
        count = of_scopes = of_metrics = 0
        resources, scopes, records = _SHAPES[signal]
        for resource in getattr(request, resources):
            shared = resource.resource.ByteSize() + len(resource.schema_url)
            for scope in getattr(resource, scopes):
                several = getattr(scope, records)
                points = sum(map(_points, several)) if signal is Signal.METRICS else len(several)
                count += points
                of_scopes += points * (shared + scope.scope.ByteSize() + len(scope.schema_url))
                if signal is Signal.METRICS:
                    of_metrics += sum(
                        _points(one) * (len(one.name) + len(one.description) + len(one.unit)) for one in several
                    )
        self._check_repeated("bytes of resources and scopes, once for each record,", of_scopes, _REPEATED)
        self._check_repeated("bytes of names and descriptions, once for each point,", of_metrics, _REPEATED_IN_ONE)
        return count

    def _check_repeated(self, what: str, found: int, times: int) -> None:
        if found > times * self.size:
            raise beyond(what, found, times * self.size, "bytes")


def _points(metric: Any) -> int:
    kind = metric.WhichOneof("data")
    return len(getattr(metric, kind).data_points) if kind else 0


DEFAULT_LIMITS: Final = Limits()
