"""The size of an OTLP request once it is parsed, counted in its bytes: nothing is built for a message that is only counted.

Two bytes on the wire can be a message of some hundred bytes in memory. Messages that have siblings are walked in step, a field
of each at a time, as arrays; the others one by one.

Source of the format: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from modelspan.processor.decode.wire import Bytes, Places

_VARINT, _LEN = 0, 2
_VALUES_PACKAGE: Final = "opentelemetry.proto.common.v1"
_IN_STEP: Final = 64
"""Messages that are worth arrays."""
_CHUNK: Final = 1 << 15
"""Messages that are walked in step, and fields of one message that are read, before the next level: bounds the memory."""
_MAX_VARINT: Final = 10
_RECORD_DEPTH: Final = 4
"""Of log records, spans and metrics: in a scope, in a resource, in the request."""


class Cost(NamedTuple):
    """Count of the messages and numbers of a request."""

    records: int
    """Resources, scopes, log records, spans, metrics, points, events, links and exemplars."""
    values: int
    """Attributes, their values at every depth, other nested messages, and numbers of arrays."""
    record_values: int
    """The most values of one log record, span or metric."""
    depth: int
    """Messages inside one another."""


@dataclass
class _Kind:
    """One type of message: its fields that hold something to count, by number."""

    messages: dict[int, _Kind] = field(default_factory=dict)
    records: set[int] = field(default_factory=set)
    """Fields of `messages` that are records."""
    widths: dict[int, int] = field(default_factory=dict)
    """Bytes of an element of repeated numbers; 0: they are varints."""
    texts: set[int] = field(default_factory=set)
    """Repeated strings."""

    @property
    def counted(self) -> set[int]:
        """Numbers of all of these."""
        return {*self.messages, *self.widths, *self.texts}


def bound(payload: bytes) -> int:
    """At least the number of all messages in a request without repeated numbers, in a tenth of a millisecond per MB.

    Each has a tag, whose first byte ends in the wire type of what has a length.
    """
    if len(payload) < 4096:
        return len(payload) // 2
    return int(np.count_nonzero((np.frombuffer(payload, np.uint8) & 7) == _LEN))


def cost_of(payload: bytes, descriptor: Descriptor, most: Cost) -> Cost:
    """Count all of a request, or until one of the counts exceeds `most`. What is no protobuf ends the message that it is in."""
    counter = _Counter(payload, most)
    counter.count(_kind_of(descriptor, {}))
    return Cost(counter.records, counter.values, counter.record_values, counter.depth)


class _Exceeded(Exception):
    """There is more than there may be."""


class _Counter:
    def __init__(self, payload: bytes, most: Cost) -> None:
        self.records = self.values = self.record_values = self.depth = 0
        self.payload = payload
        self.buffer: Bytes = np.frombuffer(payload, np.uint8)
        self._most = most

    def count(self, kind: _Kind) -> None:
        with contextlib.suppress(_Exceeded):
            self._all(kind, np.zeros(1, np.int64), np.array([len(self.payload)]), 1)

    def _all(self, kind: _Kind, starts: Places, ends: Places, depth: int) -> None:
        self.depth = max(self.depth, depth)
        if depth > self._most.depth:
            raise _Exceeded
        if depth == _RECORD_DEPTH:
            large = ends - starts > 2 * self._most.record_values  # others have no room for that many
            for message in np.flatnonzero(large):
                self._alone(kind, starts[message : message + 1], ends[message : message + 1], depth)
            starts, ends = starts[~large], ends[~large]
        for first in range(0, len(starts), _CHUNK):
            self._some(kind, starts[first : first + _CHUNK], ends[first : first + _CHUNK], depth)

    def _alone(self, kind: _Kind, starts: Places, ends: Places, depth: int) -> None:
        before = self.values
        try:
            self._some(kind, starts, ends, depth)
        finally:
            self.record_values = max(self.record_values, self.values - before)
        if self.record_values > self._most.record_values:
            raise _Exceeded

    def _some(self, kind: _Kind, starts: Places, ends: Places, depth: int) -> None:
        found = _Found(self, kind)
        at, ends = found.in_step(starts, ends)
        for message in range(len(at)):
            for _ in found.one(int(at[message]), int(ends[message])):
                self._descend(kind, found, depth)
        self._descend(kind, found, depth)

    def _descend(self, kind: _Kind, found: _Found, depth: int) -> None:
        for number, (starts, ends) in found.taken():
            self._all(kind.messages[number], starts, ends, depth + 1)

    def add(self, kind: _Kind, number: int, count: int) -> None:
        if number in kind.records:
            self.records += count
        else:
            self.values += count
        if self.records > self._most.records or self.values > self._most.values:
            raise _Exceeded


class _Found:
    """Nested messages of messages of one kind, by the number of their field."""

    def __init__(self, counter: _Counter, kind: _Kind) -> None:
        self._counter = counter
        self._kind = kind
        self._places: dict[int, list[tuple[Places, Places]]] = {}

    def taken(self) -> list[tuple[int, tuple[Places, Places]]]:
        """Return what was found since the last call, and forget it."""
        places, self._places = self._places, {}
        return [
            (number, (np.concatenate([s for s, _ in several]), np.concatenate([e for _, e in several])))
            for number, several in places.items()
        ]

    def in_step(self, at: Places, ends: Places) -> tuple[Places, Places]:
        """Walk the messages while there are many; the places in those, and the ends of those, that are not walked to their end."""
        buffer = self._counter.buffer
        while True:
            going = at < ends
            if not going.all():
                at, ends = at[going], ends[going]
            if len(at) < _IN_STEP:
                return at, ends
            tags, at = _varints(buffer, at)
            lengths, first = _lengths(buffer, at, tags & 7)
            after = first + lengths
            whole = after <= ends
            self._take(tags, first, after, whole)
            at = np.where(whole, after, ends)

    def _take(self, tags: Places, first: Places, after: Places, whole: npt.NDArray[np.bool_]) -> None:
        same = bool((tags == tags[0]).all())
        for tag in (int(tags[0]),) if same else np.unique(tags).tolist():
            number, wire_type = tag >> 3, tag & 7
            chosen = whole if same else whole & (tags == tag)
            if number in self._kind.widths:
                self._numbers(number, wire_type, first[chosen], after[chosen])
            elif wire_type == _LEN and (number in self._kind.messages or number in self._kind.texts):
                self._nested(number, first[chosen], after[chosen])

    def _nested(self, number: int, starts: Places, ends: Places) -> None:
        self._counter.add(self._kind, number, len(starts))
        if number in self._kind.messages:
            self._places.setdefault(number, []).append((starts, ends))

    def _numbers(self, number: int, wire_type: int, starts: Places, ends: Places) -> None:
        width = self._kind.widths[number]
        if wire_type != _LEN:
            count = len(starts)
        elif width:
            count = int((ends - starts).sum()) // width
        else:
            buffer = self._counter.buffer
            count = sum(int(np.count_nonzero(buffer[s:e] < 0x80)) for s, e in zip(starts, ends, strict=True))
        self._counter.add(self._kind, number, count)

    def one(self, at: int, end: int) -> Iterator[None]:
        """Walk one message; give way when much was found."""
        kind, wire = self._kind, self._counter.payload
        starts: dict[int, list[int]] = {number: [] for number in kind.counted}
        ends: dict[int, list[int]] = {number: [] for number in kind.counted}
        read = 0
        while at < end:
            tag, at = (wire[at], at + 1) if wire[at] < 0x80 else _varint(wire, at)
            wire_type = tag & 7
            if wire_type == _LEN and at < end:
                length, first = (wire[at], at + 1) if wire[at] < 0x80 else _varint(wire, at)
                at = first + length
            else:
                first, at = -1, _behind(wire, at, wire_type)
            if at > end:
                break
            found = starts.get(tag >> 3)
            if found is not None and (first >= 0 or tag >> 3 in kind.widths):
                found.append(first)
                ends[tag >> 3].append(at)
                read += 1
                if read >= _CHUNK:
                    self._hand_over(starts, ends)
                    read = 0
                    yield
        self._hand_over(starts, ends)

    def _hand_over(self, starts: dict[int, list[int]], ends: dict[int, list[int]]) -> None:
        for number, several in starts.items():
            if several:
                first, after = np.array(several), np.array(ends[number])
                if number in self._kind.widths:
                    single = first < 0
                    self._numbers(number, _VARINT, first[single], after[single])
                    self._numbers(number, _LEN, first[~single], after[~single])
                else:
                    self._nested(number, first, after)
                several.clear()
                ends[number].clear()


def _kind_of(descriptor: Descriptor, known: dict[str, _Kind]) -> _Kind:
    kind = known.get(descriptor.full_name)
    if kind is None:
        kind = known[descriptor.full_name] = _Kind()
        for one in descriptor.fields:
            if one.message_type is not None:
                kind.messages[one.number] = _kind_of(one.message_type, known)
                if one.is_repeated and not one.message_type.full_name.startswith(_VALUES_PACKAGE):
                    kind.records.add(one.number)
            elif one.is_repeated and one.type in (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES):
                kind.texts.add(one.number)
            elif one.is_repeated:
                kind.widths[one.number] = _WIDTHS.get(one.type, 0)
    return kind


_WIDTHS: Final = {
    FieldDescriptor.TYPE_DOUBLE: 8,
    FieldDescriptor.TYPE_FIXED64: 8,
    FieldDescriptor.TYPE_SFIXED64: 8,
    FieldDescriptor.TYPE_FLOAT: 4,
    FieldDescriptor.TYPE_FIXED32: 4,
    FieldDescriptor.TYPE_SFIXED32: 4,
}


def _varint(wire: bytes, at: int) -> tuple[int, int]:
    """A varint and the place behind it; beyond the end of `wire` where it is cut off or too long."""
    value = shift = 0
    for byte in wire[at : at + _MAX_VARINT]:
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    return 0, len(wire) + 1


def _behind(wire: bytes, at: int, wire_type: int) -> int:
    """The place behind a value that has no length."""
    if wire_type == _VARINT:
        return _varint(wire, at)[1]
    return at + int(_FIXED_LENGTHS[wire_type])


def _varints(buffer: Bytes, at: Places) -> tuple[Places, Places]:
    """A varint at each place, and the places behind them; both are beyond any message where it is cut off or too long."""
    byte = buffer.take(at, mode="clip")
    values, at = (byte & 0x7F).astype(np.int64), at + 1
    longer = np.flatnonzero(byte >= 0x80)
    for shift in range(7, 7 * _MAX_VARINT, 7):
        if not len(longer):
            return values, at
        byte = buffer.take(at[longer], mode="clip")
        at[longer] += 1
        # No length has more than five bytes: what is longer is a number, which nobody asks for.
        values[longer] = values[longer] | (byte & 0x7F).astype(np.int64) << shift if shift < 35 else _BEYOND
        longer = longer[byte >= 0x80]
    at[longer] = _BEYOND
    return values, at


def _lengths(buffer: Bytes, at: Places, wire_types: Places) -> tuple[Places, Places]:
    """How long the content of each field is, and where it begins."""
    if (wire_types == _LEN).all():
        return _varints(buffer, at)
    lengths, first = _FIXED_LENGTHS[wire_types], at.copy()
    for wire_type in (_LEN, _VARINT):
        chosen = np.flatnonzero(wire_types == wire_type)
        if len(chosen):
            values, first[chosen] = _varints(buffer, at[chosen])
            if wire_type == _LEN:
                lengths[chosen] = values
    return lengths, first


_BEYOND: Final = 1 << 40
# By wire type. The tags around a group have no content of their own: what is between them counts as if they were not there.
_FIXED_LENGTHS: Final = np.array([0, 8, 0, 0, 0, 4, _BEYOND, _BEYOND])
