"""Columns to the bytes of an Arrow IPC stream, and back."""

from __future__ import annotations

import io
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import nanoarrow
import numpy as np
import numpy.typing as npt
from nanoarrow.ipc import InputStream, StreamWriter

from modelspan.instrumentation.recorder import columns
from modelspan.instrumentation.recorder.columns import Column
from modelspan.instrumentation.recorder.texts import Texts, distinct

_TYPES = {
    columns.FLOAT64: nanoarrow.c_schema(nanoarrow.float64()),
    columns.FLOAT32: nanoarrow.c_schema(nanoarrow.float32()),
    columns.INT64: nanoarrow.c_schema(nanoarrow.int64()),
    columns.BOOL: nanoarrow.c_schema(nanoarrow.bool_()),
    columns.UTF8: nanoarrow.c_schema(nanoarrow.string()),
    columns.TIMESTAMP: nanoarrow.c_schema(nanoarrow.timestamp("ns", "UTC")),
}

_KINDS = {schema.format: kind for kind, schema in _TYPES.items()}


def stream(table: Mapping[str, Column], rows: int) -> bytes:
    """An Arrow IPC stream of one record batch. All columns have `rows` values."""
    children = [_array(column) for column in table.values()]
    schema = _schema(tuple((name, column.type) for name, column in table.items()))
    batch = nanoarrow.c_array_from_buffers(
        schema, rows, [None], children=children, null_count=0, move=True, validation_level="none"
    )
    out = io.BytesIO()
    StreamWriter.from_writable(out).serialize_stream(batch)
    return out.getvalue()


@lru_cache(maxsize=64)
def _schema(fields: tuple[tuple[str, str], ...]) -> Any:
    names, kinds = zip(*fields, strict=True)
    types = {name: _TYPES[kind] for name, kind in zip(distinct(names), kinds, strict=True)}
    return nanoarrow.c_schema(nanoarrow.struct(types, nullable=False))


def _array(column: Column) -> Any:
    validity, nulls = None, 0
    if column.valid is not None:
        validity, nulls = _bits(column.valid), int(len(column) - column.valid.sum())
    return nanoarrow.c_array_from_buffers(
        _TYPES[column.type], len(column), [validity, *_buffers(column)], null_count=nulls, validation_level="none"
    )


def _buffers(column: Column) -> list[Any]:
    if column.type == columns.UTF8:
        return list(column.values.buffers())
    if column.type == columns.BOOL:
        return [_bits(column.values)]
    return [np.ascontiguousarray(column.values)]


def _bits(flags: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
    return np.packbits(flags, bitorder="little")


def read(data: bytes) -> tuple[dict[str, Column], int]:
    """The columns that `stream` wrote, and the number of their rows."""
    batch = nanoarrow.c_array_stream(InputStream.from_readable(io.BytesIO(data))).get_next()
    view = batch.view()
    fields = zip(batch.schema.children, view.children, strict=True)
    return {field.name: _column(_KINDS[field.format], child) for field, child in fields}, len(batch)


def _column(kind: str, view: Any) -> Column:
    validity, *buffers = (np.array(buffer) for buffer in view.buffers)  # copies: these do not keep the batch
    rows = view.length
    valid = _flags(validity, rows) if view.null_count else None
    if kind == columns.UTF8:
        return Column(kind, Texts(buffers[1].tobytes(), buffers[0]), valid)
    return Column(kind, _flags(buffers[0], rows) if kind == columns.BOOL else buffers[0], valid)


def _flags(bits: npt.NDArray[np.uint8], rows: int) -> npt.NDArray[np.bool_]:
    return np.unpackbits(bits, count=rows, bitorder="little").astype(bool)
