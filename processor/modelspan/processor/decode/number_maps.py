"""Maps of numbers, such as the features of a prediction, read in one piece.

A span with 20 features costs 20 times two Python objects to walk. But maps with the same keys, all of whose values are doubles,
differ on the wire only in eight bytes for each value. So the bytes of the last such map serve as a pattern: when all that lies
between the values is equal, the keys are known and the values are unpacked at once. Anything else is walked.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from opentelemetry.proto.common.v1.common_pb2 import KeyValueList

_MAX_PATTERNS: Final = 256
_LEAST: Final = 4
"""Below as many entries, walking is as fast."""


class _Pattern(NamedTuple):
    wire: struct.Struct
    between: tuple[bytes, ...]
    keys: tuple[str, ...]


_patterns: dict[tuple[int, str], _Pattern] = {}


def numbers(entries: KeyValueList) -> dict[str, float] | None:
    """The map, if all its values are doubles and a map with the same keys came before; else None."""
    if len(entries.values) < _LEAST:
        return None
    wire = entries.SerializeToString()
    place = len(wire), entries.values[-1].key
    pattern = _patterns.get(place)
    if pattern is None:
        _learn(entries, wire, place)
        return None
    parts = pattern.wire.unpack(wire)
    if parts[::2] != pattern.between:
        _patterns.pop(place, None)
        return None
    return dict(zip(pattern.keys, parts[1::2], strict=True))


def _learn(entries: KeyValueList, wire: bytes, place: tuple[int, str]) -> None:
    keys = tuple(pair.key for pair in entries.values)
    between = tuple(_before_value(key.encode()) for key in keys)
    pattern = struct.Struct("<" + "".join(f"{len(gap)}sd" for gap in between))
    if pattern.size == len(wire) and pattern.unpack(wire)[::2] == between:
        if len(_patterns) >= _MAX_PATTERNS:
            _patterns.clear()
        _patterns[place] = _Pattern(pattern, between, keys)


def _before_value(key: bytes) -> bytes:
    """Of a KeyValue in a KeyValueList: all bytes up to those of its double (fields 1 of the list, 1 and 2 of the pair, 4 of
    the value).
    """
    named = (b"\x0a" + _varint(len(key)) + key if key else b"") + b"\x12\x09\x21"
    return b"\x0a" + _varint(len(named) + 8) + named


def _varint(number: int) -> bytes:
    low, rest = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + _varint(rest) if rest else bytes([low])
