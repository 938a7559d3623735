"""Spans that are alike, as columns: their fields, and their attributes by key."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from modelspan.processor.decode.values import Raw, map_texts, text
from modelspan.processor.decode.wire import Bytes, Places, Texts, Tree, Unusual, shape_of

Column: TypeAlias = "pa.Array | npt.NDArray[Any] | dict[str, Column] | None"
"""An attribute: utf8, float64, int64 or bool [spans]; a map of such by key; None: it has no value in any span."""

_KEYS: Final = frozenset({"opentelemetry.proto.common.v1.KeyValue.key"})
_FEWEST: Final = 16
"""Spans that are worth a shape."""
_FAILURES: Final = 4
"""Spans that may be like no others before the rest is left alone."""


@dataclass(frozen=True)
class Alike:
    """Spans with the same fields, and attributes of the same types."""

    places: Places
    """int64 [spans]: which of the spans these are."""
    fields: dict[str, Any]
    """By name in the protocol, only those that are there: numbers, void for ids, utf8 for strings."""
    attributes: dict[str, Column]

    def __len__(self) -> int:
        return len(self.places)

    def numbers(self, name: str) -> npt.NDArray[Any]:
        """A number for each span."""
        return cast("npt.NDArray[Any]", self.fields.get(name, np.zeros(len(self), np.uint64)))

    def strings(self, name: str) -> pa.Array:
        """A string for each span."""
        return self.fields[name] if name in self.fields else pa.repeat("", len(self))

    def hex(self, name: str) -> pa.Array:
        """Lower-case hex of ids; empty for none, which OTLP also writes as zeros."""
        return hex_strings(self.fields[name]) if name in self.fields else pa.repeat("", len(self))


def groups(buffer: Bytes, starts: Places, ends: Places) -> Iterator[Alike]:
    """Those of the spans (bytes `starts[i]` to `ends[i]` of `buffer`) that many others are like, a group for each shape.

    The spans that are in no group are to be read one by one. `buffer` ends with `wire.PADDING` zeros.
    """
    rest = np.arange(len(starts))
    failures = 0
    while len(rest) >= _FEWEST and failures < _FAILURES:
        first = int(rest[0])
        try:
            shape = shape_of(buffer[starts[first] : ends[first]].tobytes(), Span.DESCRIPTOR, _KEYS)
            matches, tree = shape.read(buffer, starts[rest], ends[rest])
            if matches.sum() < _FEWEST:
                raise Unusual("few are like it")
            yield _group(buffer, tree, rest[matches])
            rest = rest[~matches]
        except Unusual:
            failures += 1
            rest = rest[1:]


def _group(buffer: Bytes, tree: Tree, places: Places) -> Alike:
    fields: dict[str, Any] = {}
    for name, value in tree.items():
        if name == "status":
            fields |= {f"status.{part}": _leaf(buffer, one) for part, one in value.items()}
        elif name != "attributes":
            fields[name] = _leaf(buffer, value)
    return Alike(places, fields, _map(buffer, tree.get("attributes", []), deepest=False))


def _leaf(buffer: Bytes, value: Any) -> Any:
    if isinstance(value, (dict, list)):
        raise Unusual("events or links")
    return strings(buffer, value) if isinstance(value, Texts) else value


def _map(buffer: Bytes, pairs: Sequence[Tree], *, deepest: bool) -> dict[str, Column]:
    columns: dict[str, Column] = {}
    for pair in pairs:
        key = pair.get("key", "")
        if key in columns:
            raise Unusual("a key twice")
        columns[key] = _column(buffer, pair.get("value", {}), deepest)
    return columns


def _column(buffer: Bytes, value: Tree, deepest: bool) -> Column:
    if not value:
        return None
    if len(value) > 1:
        raise Unusual("several values")
    ((kind, content),) = value.items()
    if kind == "kvlist_value" and not deepest:
        return _map(buffer, content.get("values", []), deepest=True)
    if kind not in ("string_value", "bool_value", "int_value", "double_value"):
        raise Unusual(kind)
    return cast("Column", _leaf(buffer, content))


def strings(buffer: Bytes, texts: Texts) -> pa.Array:
    """utf8 [len(texts.starts)]."""
    starts, lengths = texts
    offsets = np.zeros(len(starts) + 1, np.int32)
    np.cumsum(lengths, out=offsets[1:])
    if len(starts) and lengths.min() == lengths.max():
        width = int(lengths[0])
        views = np.lib.stride_tricks.as_strided(buffer, (len(buffer) - width + 1, width), (1, 1), writeable=False)
        content = np.ascontiguousarray(views[starts])
    else:
        content = buffer[np.repeat(starts - offsets[:-1], lengths) + np.arange(offsets[-1])]
    result = pa.StringArray.from_buffers(len(starts), pa.py_buffer(offsets), pa.py_buffer(content))
    try:
        result.validate(full=True)
    except pa.ArrowInvalid as error:
        raise Unusual("not UTF-8") from error
    return result


_HEX: Final = np.frombuffer(b"".join(b"%02x" % byte for byte in range(256)), np.uint16)


def hex_strings(identifiers: npt.NDArray[np.void]) -> pa.Array:
    """utf8 [len(identifiers)]: lower-case hex; empty for zeros."""
    count, width = len(identifiers), identifiers.dtype.itemsize
    content = identifiers.view(np.uint8).reshape(count, width)
    digits = pa.StringArray.from_buffers(
        count, pa.py_buffer(np.arange(count + 1, dtype=np.int32) * 2 * width), pa.py_buffer(_HEX[content])
    )
    none = ~content.any(axis=1)
    return pa.compute.if_else(pa.array(none), "", digits) if none.any() else digits


def column_texts(column: Column, count: int) -> pa.Array:
    """utf8 [count]: the values as the Collector writes them."""
    if isinstance(column, pa.Array):
        return column
    if column is None:
        return pa.repeat("", count)
    if isinstance(column, dict):
        if not column:
            return pa.repeat("{}", count)
        return pa.array(map_texts(list(column), [_values(one, count) for one in column.values()]), pa.string())
    return pa.array([text(value) for value in column.tolist()], pa.string())


def _values(column: Column, count: int) -> list[Raw]:
    return [None] * count if column is None else column.tolist()  # type: ignore[union-attr]  # maps hold no maps
