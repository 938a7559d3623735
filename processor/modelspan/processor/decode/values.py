"""Attribute values of OTLP: as Python values, and as the strings that the Collector makes of them (`pcommon.Value.AsString`)."""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import Decimal
from functools import lru_cache
from typing import Any, TypeAlias

import orjson
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

Raw: TypeAlias = "str | bool | int | float | bytes | list[Raw] | dict[str, Raw] | None"


def raw(value: AnyValue) -> Raw:
    """The value as plain Python; None where it is empty."""
    kind = value.WhichOneof("value")
    read = _READERS.get(kind) if kind else None
    return read(value) if read else None


def raws(attributes: Iterable[KeyValue]) -> dict[str, Raw]:
    """Attributes by key. The last one of a key counts."""
    result: dict[str, Raw] = {}
    # The two kinds that make up nearly all attributes are read here: a call for each would double the time.
    for pair in attributes:
        value = pair.value
        kind = value.WhichOneof("value")
        if kind == "double_value":
            result[pair.key] = value.double_value
        elif kind == "string_value":
            result[pair.key] = value.string_value
        else:
            result[pair.key] = raw(value)
    return result


_READERS: dict[str, Callable[[AnyValue], Raw]] = {
    "string_value": lambda value: value.string_value,
    "bool_value": lambda value: value.bool_value,
    "int_value": lambda value: value.int_value,
    "double_value": lambda value: value.double_value,
    "bytes_value": lambda value: value.bytes_value,
    "array_value": lambda value: [raw(v) for v in value.array_value.values],
    "kvlist_value": lambda value: raws(value.kvlist_value.values),
}


def text(value: Raw) -> str:
    """As the Collector writes it: numbers in their shortest form, maps and arrays as JSON, bytes in base64, empty as ''."""
    return _TEXTS[type(value)](value)


def texts(values: dict[str, Raw]) -> dict[str, str]:
    """All values as text, keys sorted: maps that differ in order only are different values to ClickHouse."""
    return {key: value if type(value := values[key]) is str else _TEXTS[type(value)](value) for key in sorted(values)}


def float_text(number: float) -> str:
    """As Go's `encoding/json`: shortest digits, an exponent only below 1e-6 and from 1e21 on."""
    digits = repr(number)
    if digits.endswith(".0"):
        return digits[:-2]
    if "e" not in digits and "n" not in digits:
        return digits
    if not math.isfinite(number):
        return "json: unsupported value: " + ("NaN" if math.isnan(number) else "+Inf" if number > 0 else "-Inf")
    if 1e-6 <= abs(number) < 1e21:
        return format(Decimal(digits), "f")
    return digits.replace("e-0", "e-")


# What orjson writes in another way than Go: exponents, integral floats, NaN and infinities (as null), and the characters that
# Go escapes for the sake of HTML. A match in a string does no harm, the slow way is always right.
_EXPONENT = re.compile(rb"e(?<=[0-9]e)[-0-9]")
_INTEGRAL = re.compile(rb"\.0[],}]")
_ESCAPED = b"<>&\xe2"


def _is_as_go(json: bytes) -> bool:
    return (
        len(json.translate(None, _ESCAPED)) == len(json)
        and b"null" not in json
        and _INTEGRAL.search(json) is None
        and _EXPONENT.search(json) is None
    )


def _json_text(value: Raw) -> str:
    try:
        quick = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except (TypeError, ValueError):
        return _slow_json_text(value)
    return quick.decode() if _is_as_go(quick) else _slow_json_text(value)


def map_texts(keys: Sequence[str], columns: Sequence[Sequence[Raw]]) -> list[str]:
    """`text` of maps with the same keys, given by column; for many it costs half as much."""

    def rows() -> Iterator[dict[str, Raw]]:
        return (dict(zip(keys, row, strict=True)) for row in zip(*columns, strict=True))

    try:
        quick = [orjson.dumps(row, option=orjson.OPT_SORT_KEYS) for row in rows()]
    except (TypeError, ValueError):
        return [_slow_json_text(row) for row in rows()]
    return [json.decode() for json in quick] if _is_as_go(b"".join(quick)) else [_json_text(row) for row in rows()]


def _slow_json_text(value: Raw) -> str:
    try:
        return _json(value)
    except _NotJson:
        return ""


class _NotJson(Exception):
    """NaN and infinities: the Collector's encoder fails on them, and the whole value becomes empty."""


def _json(value: Raw) -> str:
    if type(value) is float:
        if not math.isfinite(value):
            raise _NotJson
        return float_text(value)
    if isinstance(value, dict):
        return "{" + ",".join([f"{_json_key(key)}:{_json(value[key])}" for key in sorted(value)]) + "}"
    if isinstance(value, list):
        return "[" + ",".join([_json(item) for item in value]) + "]"
    if isinstance(value, str):
        return _json_string(value)
    if value is None:
        return "null"
    if isinstance(value, bytes):
        return f'"{base64.b64encode(value).decode()}"'
    return _bool_text(value) if isinstance(value, bool) else str(value)


_ESCAPES = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"})


def _json_string(value: str) -> str:
    return orjson.dumps(value).decode().translate(_ESCAPES)


_known_key = lru_cache(maxsize=4096)(_json_string)


def _json_key(key: str) -> str:
    return _known_key(key) if len(key) < 256 else _json_string(key)


def _bool_text(value: bool) -> str:
    return "true" if value else "false"


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode()


_TEXTS: dict[type, Callable[[Any], str]] = {
    str: str,
    bool: _bool_text,
    int: str,
    float: float_text,
    bytes: _base64,
    list: _json_text,
    dict: _json_text,
    type(None): lambda value: "",
}
