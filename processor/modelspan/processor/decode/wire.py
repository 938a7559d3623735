"""Protobuf messages that are alike, read in step: bytes in, one array for each field out.

Messages of one program mostly have the same fields in the same order with names of the same length. The first one gives the
shape: runs of bytes of a fixed length, in which some bytes are the same in all (tags, keys, lengths) and some are values, and
between them strings and varints, whose length varies. All messages are then matched against the shape at once, run by run. A
message matches only where every tag, key and nested length is as the shape says, so what is read is what a parser would read.

Source of the format: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
from google.protobuf.descriptor import Descriptor, FieldDescriptor

Tree: TypeAlias = "dict[str, Any]"
"""The fields of a message by name: nested messages, lists of them, keys, and values or the numbers of these."""
Places: TypeAlias = npt.NDArray[np.int64]
Bytes: TypeAlias = npt.NDArray[np.uint8]

_VARINT, _I64, _LEN, _I32 = 0, 1, 2, 5
_MAX_FIXED_BYTES: Final = 64
_MAX_DEPTH: Final = 8
PADDING: Final = 1 << 16
"""Zeros that must follow the messages in their buffer; the longest run of a shape."""


class Unusual(Exception):
    """A message that has no shape: read it in another way."""


class Texts(NamedTuple):
    """Strings in a buffer: where each starts and how many bytes it has, int64 [messages]."""

    starts: Places
    lengths: Places


class _Length(NamedTuple):
    """A length that varies, and what has it: a nested message, or the value of that number."""

    offset: int
    width: int
    text: int | None


@dataclass
class _Run:
    """Bytes of a fixed number, behind which there may be a string or a varint."""

    wire: bytearray = field(default_factory=bytearray)
    same: bytearray = field(default_factory=bytearray)
    """255 for each byte that must be as in the shape."""
    values: list[tuple[int, int, np.dtype[Any]]] = field(default_factory=list)
    """Number, offset and type of values of a fixed width."""
    steps: list[_Length | int] = field(default_factory=list)
    """In their order: a length, or the offset at which the message ends that was opened last."""
    varint: int | None = None

    def add(self, wire: bytes, same: bool = True) -> int:
        """Append bytes; return their offset."""
        offset = len(self.wire)
        self.wire += wire
        self.same += (b"\xff" if same else b"\0") * len(wire)
        return offset


@dataclass(frozen=True)
class Shape:
    """What messages have in common."""

    runs: list[_Run]
    tree: Tree
    """The message, with the numbers of its values."""
    kinds: list[int]
    """Types of the values in the protocol, by their numbers."""

    def read(self, buffer: Bytes, starts: Places, ends: Places) -> tuple[npt.NDArray[np.bool_], Tree]:
        """Which messages have this shape (bool [messages]), and the values of those: arrays in the places of their fields.

        Integers are int64 or uint64, `bytes` are void, strings are `Texts`. `buffer` ends with `PADDING` zeros.
        """
        at, last = starts.astype(np.int64), len(buffer) - PADDING
        matches = np.ones(len(at), np.bool_)
        values: list[Any] = [None] * len(self.kinds)
        open_ends: list[Places] = []
        for run in self.runs:
            matches &= at <= last
            np.minimum(at, last, out=at)
            window = _windows(buffer, at, len(run.wire) + -len(run.wire) % 8)
            different = (window.view(np.uint64) ^ _words(run.wire)) & _words(run.same)
            matches &= ~different.any(axis=1)
            for number, offset, kind in run.values:
                values[number] = np.ascontiguousarray(window[:, offset : offset + kind.itemsize]).view(kind).ravel()
            behind = at + len(run.wire)
            for step in run.steps:
                if isinstance(step, int):
                    matches &= open_ends.pop() == at + step
                    continue
                length = _varint(window[:, step.offset : step.offset + step.width], matches)
                if step.text is None:
                    open_ends.append(at + step.offset + step.width + length)
                else:
                    values[step.text] = Texts(behind, length)
                    behind = behind + length
            if run.varint is not None:
                values[run.varint], width = _any_varint(buffer, np.minimum(behind, last), matches)
                behind = behind + width
            at = behind
        matches &= at == ends
        chosen = [_chosen(value, matches, kind) for value, kind in zip(values, self.kinds, strict=True)]
        return matches, _filled(self.tree, chosen)


def shape_of(message: bytes, descriptor: Descriptor, keys: frozenset[str]) -> Shape:
    """The shape of one message. `keys`: full names of string fields that belong to the shape. Raises `Unusual`."""
    builder = _Builder(keys)
    tree = builder.message(message, descriptor, 0)
    if max(len(run.wire) for run in builder.runs) + 16 > PADDING:
        raise Unusual("too long")
    return Shape([run for run in builder.runs if run.wire or run.steps], tree, builder.kinds)


def parted(message: bytes, number: int, start: int, end: int) -> tuple[list[tuple[int, int]], bytes]:
    """Where the elements of a repeated message field begin and end, and the message without them. Raises `Unusual`."""
    places, others, at = [], [], start
    for found, wire_type, first, behind in _fields(message, start, end):
        if found == number and wire_type == _LEN:
            places.append((first, behind))
        else:
            others.append(message[at:behind])
        at = behind
    return places, b"".join(others)


class _Builder:
    """Walks one message and writes down its shape."""

    def __init__(self, keys: frozenset[str]) -> None:
        self.runs = [_Run()]
        self.kinds: list[int] = []
        self._keys = keys

    def message(self, wire: bytes, descriptor: Descriptor, depth: int) -> Tree:
        if depth > _MAX_DEPTH:
            raise Unusual("too deep")
        tree: Tree = {}
        at = 0
        for number, wire_type, first, behind in _fields(wire, 0, len(wire)):
            kind = descriptor.fields_by_number.get(number)
            if kind is None:
                raise Unusual(f"unknown field {number}")
            length = varint(behind - first) if wire_type == _LEN else b""
            self.runs[-1].add(wire[at : first - len(length)])
            value = self._value(kind, wire_type, length, wire[first:behind], depth)
            at = behind
            if kind.is_repeated and isinstance(value, dict):
                tree.setdefault(kind.name, []).append(value)
            elif kind.is_repeated or kind.name in tree:
                raise Unusual(kind.full_name)
            else:
                tree[kind.name] = value
        return tree

    def _value(self, kind: FieldDescriptor, wire_type: int, length: bytes, content: bytes, depth: int) -> Any:
        run, (expected, dtype) = self.runs[-1], _TYPES.get(kind.type, (None, None))
        if wire_type != expected:
            raise Unusual(kind.full_name)
        if kind.message_type is not None:
            return self._nested(kind.message_type, length, content, depth)
        if kind.full_name in self._keys:
            run.add(length + content)
            return content.decode()
        number = len(self.kinds)
        self.kinds.append(kind.type)
        if kind.type == FieldDescriptor.TYPE_BYTES:
            if not 0 < len(content) <= _MAX_FIXED_BYTES:
                raise Unusual(kind.full_name)
            run.add(length)
            dtype = np.dtype(f"V{len(content)}")
        if dtype is not None:
            run.values.append((number, run.add(content, same=False), dtype))
            return number
        if wire_type == _VARINT:
            run.varint = number
        else:
            run.steps.append(_Length(run.add(length, same=False), len(length), number))
        self.runs.append(_Run())
        return number

    def _nested(self, kind: Descriptor, length: bytes, content: bytes, depth: int) -> Tree:
        run = self.runs[-1]
        offset, place = run.add(length), len(run.steps)
        tree = self.message(content, kind, depth + 1)
        if self.runs[-1] is not run:  # something in it varies in length, and so does the whole
            run.same[offset : offset + len(length)] = bytes(len(length))
            run.steps.insert(place, _Length(offset, len(length), None))
            self.runs[-1].steps.append(len(self.runs[-1].wire))
        return tree


def _filled(tree: Any, values: list[Any]) -> Any:
    if isinstance(tree, dict):
        return {name: _filled(one, values) for name, one in tree.items()}
    if isinstance(tree, list):
        return [_filled(one, values) for one in tree]
    return values[tree] if isinstance(tree, int) else tree


_TYPES: Final[dict[int, tuple[int, np.dtype[Any] | None]]] = {
    FieldDescriptor.TYPE_DOUBLE: (_I64, np.dtype("<f8")),
    FieldDescriptor.TYPE_FIXED64: (_I64, np.dtype("<u8")),
    FieldDescriptor.TYPE_SFIXED64: (_I64, np.dtype("<i8")),
    FieldDescriptor.TYPE_FLOAT: (_I32, np.dtype("<f4")),
    FieldDescriptor.TYPE_FIXED32: (_I32, np.dtype("<u4")),
    FieldDescriptor.TYPE_SFIXED32: (_I32, np.dtype("<i4")),
    FieldDescriptor.TYPE_INT64: (_VARINT, None),
    FieldDescriptor.TYPE_UINT64: (_VARINT, None),
    FieldDescriptor.TYPE_INT32: (_VARINT, None),
    FieldDescriptor.TYPE_UINT32: (_VARINT, None),
    FieldDescriptor.TYPE_ENUM: (_VARINT, None),
    FieldDescriptor.TYPE_BOOL: (_VARINT, None),
    FieldDescriptor.TYPE_STRING: (_LEN, None),
    FieldDescriptor.TYPE_BYTES: (_LEN, None),
    FieldDescriptor.TYPE_MESSAGE: (_LEN, None),
}
"""Wire type, and the type of values of a fixed width."""


def _fields(wire: bytes, start: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Number, wire type, first byte of the content and the byte behind it."""
    at = start
    try:
        while at < end:
            tag, at = _read_varint(wire, at)
            wire_type = tag & 7
            if wire_type == _LEN:
                length, first = _read_varint(wire, at)
                at = first + length
            elif wire_type == _VARINT:
                first = at
                _, at = _read_varint(wire, at)
            elif wire_type in (_I64, _I32):
                first = at
                at += 8 if wire_type == _I64 else 4
            else:
                raise Unusual(f"wire type {wire_type}")
            if at > end:
                raise Unusual("cut off")
            yield tag >> 3, wire_type, first, at
    except IndexError:
        raise Unusual("cut off") from None


def _read_varint(wire: bytes, at: int) -> tuple[int, int]:
    byte = wire[at]
    if byte < 0x80:
        return byte, at + 1
    value, shift = byte & 0x7F, 7
    while True:
        at += 1
        byte = wire[at]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at + 1
        shift += 7


def varint(number: int) -> bytes:
    """A number as protobuf writes it."""
    result = bytearray()
    while number > 0x7F:
        result.append(number & 0x7F | 0x80)
        number >>= 7
    result.append(number)
    return bytes(result)


def _words(content: bytearray) -> npt.NDArray[np.uint64]:
    return np.frombuffer(bytes(content) + bytes(-len(content) % 8), np.uint64)


def _windows(buffer: Bytes, at: Places, width: int) -> Bytes:
    """uint8 [len(at), width]: a copy of the bytes from each place on."""
    if not width:
        return np.empty((len(at), 0), np.uint8)
    views = np.lib.stride_tricks.as_strided(buffer, (len(buffer) - width + 1, width), (1, 1), writeable=False)
    chosen: Bytes = views[at]
    return chosen


def _varint(content: Bytes, matches: npt.NDArray[np.bool_]) -> Places:
    """Varints that all have the width of `content`; where one has not, it does not match."""
    width = content.shape[1]
    matches &= content[:, -1] < 0x80
    value = content[:, -1].astype(np.int64)
    for i in range(width - 2, -1, -1):
        matches &= content[:, i] >= 0x80
        value = value << 7 | content[:, i] & 0x7F
    return value


def _any_varint(
    buffer: Bytes, at: Places, matches: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]:
    """Varints of up to ten bytes, and their widths."""
    content = _windows(buffer, at, 10)
    ends = content < 0x80
    width = ends.argmax(axis=1) + 1
    matches &= ends.any(axis=1)
    value = np.zeros(len(at), np.uint64)
    for i in range(int(width.max(initial=0))):
        part = (content[:, i] & 0x7F).astype(np.uint64) << np.uint64(7 * i)
        value |= np.where(i < width, part, np.uint64(0))
    return value, width


def _chosen(value: Any, matches: npt.NDArray[np.bool_], kind: int) -> Any:
    if isinstance(value, Texts):
        return value if matches.all() else Texts(value.starts[matches], value.lengths[matches])
    if not matches.all():
        value = value[matches]
    if kind == FieldDescriptor.TYPE_BOOL:
        return value != 0
    return value.view(np.int64) if kind in _SIGNED else value


_SIGNED: Final = frozenset({FieldDescriptor.TYPE_INT64, FieldDescriptor.TYPE_INT32, FieldDescriptor.TYPE_ENUM})
