"""A block in portions whose decoding fits into the memory of the service: bounded by what they hold, not by their bytes.

Portions depend on the bytes of their requests alone, so a replay makes the same ones.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, Final, NamedTuple

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from modelspan.processor.decode.arrow_stream import size_of
from modelspan.processor.decode.cost import Cost, cost_of
from modelspan.processor.decode.deliveries import payloads_of
from modelspan.processor.decode.rejection import Rejected
from modelspan.processor.decode.wire import Unusual, parted, varint
from modelspan.processor.journal import Block, Record, Signal
from modelspan.semconv import attributes

BUDGET: Final = 256 * 1024 * 1024
"""Bytes of memory that decoding a portion may need, estimated; a single record may need more."""
BATCH_ATTRIBUTES: Final = 1024
"""Bytes of a batch's own attributes that are not counted for each of its rows."""
_SMALL: Final = 16 * 1024
"""Bytes of a record whose needs are estimated by its size."""
_VALUE, _CELL, _BYTE = 170, 25, 4
"""Bytes of memory for a value, for a cell of a batch, and for each byte; measured (`proof.amplification`)."""
_FEW: Final = 100
"""Records that may repeat what they share."""
_BATCH: Final = attributes.ML_PREDICTION_BATCH_DATA.encode()
_EVERYTHING: Final = Cost(1 << 62, 1 << 62, 1 << 62, 200)
_RESOURCES, _SCOPES, _ITEMS = 1, 2, 2
"""Numbers of the fields, the same for every signal."""


class _Kind(NamedTuple):
    request: Any
    record: int
    """Bytes of memory for a record."""


_KINDS: Final = {
    Signal.TRACES: _Kind(ExportTraceServiceRequest, 800),
    Signal.METRICS: _Kind(ExportMetricsServiceRequest, 1400),
    Signal.LOGS: _Kind(ExportLogsServiceRequest, 800),
}


def portions(block: Block, budget: int = BUDGET) -> Iterator[Block]:
    """The block itself where it fits; otherwise its requests, and parts of those that do not fit, in their order."""
    if sum(map(_need, _joined(block.records))) <= budget:
        yield block
        return
    needs = [_need(record) for record in block.records]
    parts = (
        (part, need)
        for record, of_record in zip(block.records, needs, strict=True)
        for part, need in _parts(record, of_record, budget)
    )
    for number, records in enumerate(_together(parts, budget)):
        yield replace(block, token=f"{block.token}/{number}", records=records)


def _joined(records: Iterable[Record]) -> Iterator[Record]:
    """The requests of each signal as one, which OTLP requests behind one another are: counted at once, they cost less."""
    payloads: dict[Signal, list[bytes]] = {}
    for record in records:
        payloads.setdefault(record.signal, []).append(record.payload)
    for signal, several in payloads.items():
        yield Record(0, signal, several[0] if len(several) == 1 else b"".join(several))


def _together(parts: Iterable[tuple[Record, int]], budget: int) -> Iterator[tuple[Record, ...]]:
    """At most `budget` each, and never two parts of one request, which would have the same place."""
    records: list[Record] = []
    total = 0
    for record, need in parts:
        if records and (total + need > budget or records[-1].sequence == record.sequence):
            yield tuple(records)
            records, total = [], 0
        records.append(record)
        total += need
    if records:
        yield tuple(records)


def _need(record: Record) -> int:
    """Bytes of memory to decode a request, estimated."""
    payload, kind = record.payload, _KINDS[record.signal]
    cost = cost_of(payload, kind.request.DESCRIPTOR, _EVERYTHING)
    need = _BYTE * len(payload) + kind.record * cost.records + _VALUE * cost.values
    if cost.records > _FEW:
        need += _shared_bytes(payload, cost.records)
    with contextlib.suppress(DecodeError):
        if record.signal is Signal.LOGS and _BATCH in payload:
            need += sum(_need_of_batch(*found) for found in payloads_of(ExportLogsServiceRequest.FromString(payload)))
    return need


def _shared_bytes(payload: bytes, records: int) -> int:
    """Bytes of resources and scopes, which each record repeats in the store."""
    total = 0
    try:
        for resource_place in parted(payload, _RESOURCES, 0, len(payload))[0]:
            scopes, resource = parted(payload, _SCOPES, *resource_place)
            for scope_place in scopes:
                items, scope = parted(payload, _ITEMS, *scope_place)
                total += (len(resource) + len(scope)) * len(items)
    except Unusual:
        return len(payload) * records
    return total


def _need_of_batch(payload: bytes, rest: int) -> int:
    try:
        batch = size_of(payload)
    except Rejected:
        return 0
    return _CELL * batch.cells + _BYTE * (batch.size + batch.rows * max(0, rest - BATCH_ATTRIBUTES))


def _parts(record: Record, need: int, budget: int) -> Iterator[tuple[Record, int]]:
    """The request, or where it does not fit several requests with its records; each with its need."""
    scopes = _scopes(record) if need > budget else []
    if not any(scope.items for scope in scopes):
        yield record, need
        return
    for scope in scopes:
        some: list[bytes] = []
        total = 0
        for item in scope.items:
            of_item = scope.shared + _need_of_item(record, scope, item)
            if some and total + of_item > budget:
                yield replace(record, payload=scope.request(some)), total
                some, total = [], 0
            some.append(item)
            total += of_item
        if some:
            yield replace(record, payload=scope.request(some)), total


def _need_of_item(record: Record, scope: _Scope, item: bytes) -> int:
    if len(item) > _SMALL or _BATCH in item:
        return _need(replace(record, payload=scope.request([item])))
    # A message has at least two bytes, and may be a record where it is nested in one, as points and events are.
    return _KINDS[record.signal].record * (1 + len(item) // 2)


class _Scope(NamedTuple):
    """The records of one scope, and what they share."""

    resource: bytes
    scope: bytes
    items: list[bytes]

    @property
    def shared(self) -> int:
        """Bytes that each record repeats in the store."""
        return len(self.resource) + len(self.scope)

    def request(self, items: Iterable[bytes]) -> bytes:
        """A request with these records alone."""
        scope = self.scope + b"".join(_field(_ITEMS, item) for item in items)
        return _field(_RESOURCES, self.resource + _field(_SCOPES, scope))


def _scopes(record: Record) -> list[_Scope]:
    """Empty for what is no request."""
    try:
        return list(_found_scopes(record.payload))
    except Unusual:  # groups, which no request of today has: without what is unknown there are none
        request = _KINDS[record.signal].request()
        try:
            request.ParseFromString(record.payload)
        except DecodeError:
            return []
        request.DiscardUnknownFields()
        return list(_found_scopes(request.SerializeToString()))


def _found_scopes(payload: bytes) -> Iterator[_Scope]:
    resources, _ = parted(payload, _RESOURCES, 0, len(payload))
    for resource_place in resources:
        scopes, resource = parted(payload, _SCOPES, *resource_place)
        for scope_place in scopes:
            items, scope = parted(payload, _ITEMS, *scope_place)
            yield _Scope(resource, scope, [payload[start:end] for start, end in items])


def _field(number: int, content: bytes) -> bytes:
    return bytes([number << 3 | 2]) + varint(len(content)) + content
