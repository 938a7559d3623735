"""OTLP/JSON to OTLP protobuf bytes (OTLP specification 1.11, "JSON Protobuf Encoding").

The general mapping of protobuf to JSON would take ids for base64 and accept names of enums and of fields as in the
`.proto` files. Here ids are hexadecimal, enums are numbers, names are lowerCamelCase, unknown names are ignored.

Encoders are built once from the descriptors of the messages; decoding writes protobuf's wire format directly.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import orjson
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

_IDS = {"traceId", "spanId", "parentSpanId"}
_MAX_DEPTH = 100
"""Nesting of messages: what protobuf parsers accept."""
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_INTEGER = re.compile(r"-?[0-9]{1,20}")
_NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


class InvalidJson(ValueError):
    """The text is not an OTLP request; `path` leads to the value that is wrong."""

    def __init__(self, reason: str, path: str = "") -> None:
        super().__init__(f"{path}: {reason}" if path else reason)
        self.reason = reason
        self.path = path

    def inside(self, parent: str) -> InvalidJson:
        """The same error, seen from the value that `parent` is a part of."""
        dot = "." if self.path and not self.path.startswith("[") else ""
        return InvalidJson(self.reason, f"{parent}{dot}{self.path}")


class JsonDecoder:
    """Decodes one kind of request. Any thread may use it."""

    def __init__(self, message: type[Message]) -> None:
        self._root = _compile(cast("Descriptor", message.DESCRIPTOR), {})

    def to_protobuf(self, text: bytes) -> bytes:
        """Protobuf bytes of the request that `text` describes. Raises `InvalidJson`."""
        try:
            value = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            raise InvalidJson(f"not JSON: {error}") from error
        return self._root.encode(value, 0)


_Encode = Callable[[object, int], bytes]


@dataclass(frozen=True)
class _Field:
    """`encode` turns a JSON value at a depth into a whole field, tag included."""

    encode: _Encode
    oneof: str | None


class _Fields:
    """The fields of one message by their JSON names."""

    def __init__(self) -> None:
        self.by_name: dict[str, _Field] = {}

    def encode(self, value: object, depth: int) -> bytes:
        if not isinstance(value, dict):
            raise InvalidJson(f"expected an object, got {_show(value)}")
        if depth >= _MAX_DEPTH:
            raise InvalidJson(f"nested deeper than {_MAX_DEPTH} messages")
        parts: list[bytes] = []
        chosen: dict[str, str] = {}
        for name, item in value.items():
            field = self.by_name.get(name)
            if field is None or item is None:
                continue
            if field.oneof and chosen.setdefault(field.oneof, name) != name:
                raise InvalidJson(f"{chosen[field.oneof]} and {name} exclude each other")
            try:
                parts.append(field.encode(item, depth))
            except InvalidJson as error:
                raise error.inside(name) from None
        return b"".join(parts)


def _compile(descriptor: Descriptor, known: dict[str, _Fields]) -> _Fields:
    fields = known.get(descriptor.full_name)
    if fields is None:
        # Known before it is filled, for messages that hold themselves.
        fields = known[descriptor.full_name] = _Fields()
        for field in descriptor.fields:
            oneof = field.containing_oneof.name if field.containing_oneof else None
            fields.by_name[field.json_name] = _Field(_field_encoder(field, known), oneof)
    return fields


def _field_encoder(field: FieldDescriptor, known: dict[str, _Fields]) -> _Encode:
    wire_type, encode = _value_encoder(field, known)
    # The default of a repeated field is an empty list in every version of protobuf; how else to ask has changed.
    if field.default_value != []:
        return _single(_tag(field.number, wire_type), wire_type, encode)
    if wire_type == _LENGTH:
        return _repeated(_single(_tag(field.number, wire_type), wire_type, encode))
    packed = _repeated(encode)
    return _single(_tag(field.number, _LENGTH), _LENGTH, packed)


def _single(tag: bytes, wire_type: int, encode: _Encode) -> _Encode:
    if wire_type != _LENGTH:
        return lambda value, depth: tag + encode(value, depth)

    def delimited(value: object, depth: int) -> bytes:
        content = encode(value, depth)
        return tag + _varint(len(content)) + content

    return delimited


def _repeated(encode: _Encode) -> _Encode:
    def encode_all(value: object, depth: int) -> bytes:
        if not isinstance(value, list):
            raise InvalidJson(f"expected an array, got {_show(value)}")
        parts: list[bytes] = []
        for index, item in enumerate(value):
            try:
                parts.append(encode(item, depth))
            except InvalidJson as error:
                raise error.inside(f"[{index}]") from None
        return b"".join(parts)

    return encode_all


def _value_encoder(field: FieldDescriptor, known: dict[str, _Fields]) -> tuple[int, _Encode]:
    """Wire type and encoder of one value, without tag and length."""
    if field.message_type is not None:
        fields = _compile(field.message_type, known)
        return _LENGTH, lambda value, depth: fields.encode(value, depth + 1)
    if field.type == FieldDescriptor.TYPE_BYTES and field.json_name in _IDS:
        return _LENGTH, _hexadecimal
    return _SCALARS[field.type]


def _string(value: object, depth: int) -> bytes:
    if isinstance(value, str):
        return value.encode()
    raise InvalidJson(f"expected a string, got {_show(value)}")


def _hexadecimal(value: object, depth: int) -> bytes:
    try:
        return binascii.unhexlify(_string(value, depth))
    except binascii.Error:
        raise InvalidJson(f"expected hexadecimal digits, got {_show(value)}") from None


def _base64(value: object, depth: int) -> bytes:
    text = _string(value, depth).translate(_STANDARD_ALPHABET).rstrip(b"=")
    try:
        return base64.b64decode(text + b"=" * (-len(text) % 4), validate=True)
    except binascii.Error:
        raise InvalidJson(f"expected base64, got {_show(value)}") from None


_STANDARD_ALPHABET = bytes.maketrans(b"-_", b"+/")


def _bool(value: object, depth: int) -> bytes:
    if isinstance(value, bool):
        return b"\1" if value else b"\0"
    raise InvalidJson(f"expected true or false, got {_show(value)}")


def _double(value: object, depth: int) -> bytes:
    if isinstance(value, str):
        number = _NOT_FINITE.get(value)
        if number is None and _NUMBER.fullmatch(value):
            number = float(value)
    else:
        number = float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
    if number is None:
        raise InvalidJson(f"expected a number, got {_show(value)}")
    return _DOUBLE.pack(number)


_DOUBLE = struct.Struct("<d")


def _integer(low: int, high: int) -> Callable[[object], int]:
    """Integers from `low` up to but not including `high`, as JSON numbers or as decimal strings."""

    def convert(value: object) -> int:
        number: int | None = None
        if isinstance(value, str):
            number = int(value) if _INTEGER.fullmatch(value) else None
        elif isinstance(value, int) and not isinstance(value, bool):
            number = value
        elif isinstance(value, float) and value.is_integer():
            number = int(value)
        if number is None or not low <= number < high:
            raise InvalidJson(f"expected an integer from {low} to {high - 1}, got {_show(value)}")
        return number

    return convert


def _enum(value: object) -> int:
    if isinstance(value, str):
        raise InvalidJson(f"expected the number of an enum value, got {_show(value)}")
    return _int32(value)


_int32 = _integer(-(1 << 31), 1 << 31)
_int64 = _integer(-(1 << 63), 1 << 63)
_uint32 = _integer(0, 1 << 32)
_uint64 = _integer(0, 1 << 64)


def _as_varint(convert: Callable[[object], int]) -> _Encode:
    return lambda value, depth: _varint(convert(value) & 0xFFFFFFFFFFFFFFFF)


def _as_zigzag(convert: Callable[[object], int]) -> _Encode:
    def encode(value: object, depth: int) -> bytes:
        number = convert(value)
        return _varint(number << 1 if number >= 0 else (-number << 1) - 1)

    return encode


def _as_fixed(convert: Callable[[object], int], layout: str) -> _Encode:
    pack = struct.Struct(layout).pack
    return lambda value, depth: pack(convert(value))


def _varint(number: int) -> bytes:
    if number < 0x80:
        return number.to_bytes(1, "little")
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _tag(number: int, wire_type: int) -> bytes:
    return _varint(number << 3 | wire_type)


def _show(value: object) -> str:
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "an array"
    text = orjson.dumps(value).decode()
    return text if len(text) <= 60 else text[:57] + "..."


_SCALARS: dict[int, tuple[int, _Encode]] = {
    FieldDescriptor.TYPE_STRING: (_LENGTH, _string),
    FieldDescriptor.TYPE_BYTES: (_LENGTH, _base64),
    FieldDescriptor.TYPE_BOOL: (_VARINT, _bool),
    FieldDescriptor.TYPE_ENUM: (_VARINT, _as_varint(_enum)),
    FieldDescriptor.TYPE_DOUBLE: (_FIXED64, _double),
    FieldDescriptor.TYPE_INT32: (_VARINT, _as_varint(_int32)),
    FieldDescriptor.TYPE_INT64: (_VARINT, _as_varint(_int64)),
    FieldDescriptor.TYPE_UINT32: (_VARINT, _as_varint(_uint32)),
    FieldDescriptor.TYPE_UINT64: (_VARINT, _as_varint(_uint64)),
    FieldDescriptor.TYPE_SINT32: (_VARINT, _as_zigzag(_int32)),
    FieldDescriptor.TYPE_SINT64: (_VARINT, _as_zigzag(_int64)),
    FieldDescriptor.TYPE_FIXED32: (_FIXED32, _as_fixed(_uint32, "<I")),
    FieldDescriptor.TYPE_FIXED64: (_FIXED64, _as_fixed(_uint64, "<Q")),
    FieldDescriptor.TYPE_SFIXED64: (_FIXED64, _as_fixed(_int64, "<q")),
}
"""Wire type and encoder of every scalar type that OTLP uses."""
