"""Columns to the bytes of an Arrow IPC stream."""

from __future__ import annotations

import io
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import nanoarrow
import numpy as np
import numpy.typing as npt
from nanoarrow.ipc import StreamWriter

from modelspan.instrumentation.recorder import columns
from modelspan.instrumentation.recorder.columns import Column
from modelspan.instrumentation.recorder.texts import distinct

_TYPES = {
    columns.FLOAT64: nanoarrow.c_schema(nanoarrow.float64()),
    columns.FLOAT32: nanoarrow.c_schema(nanoarrow.float32()),
    columns.INT64: nanoarrow.c_schema(nanoarrow.int64()),
    columns.BOOL: nanoarrow.c_schema(nanoarrow.bool_()),
    columns.UTF8: nanoarrow.c_schema(nanoarrow.string()),
    columns.TIMESTAMP: nanoarrow.c_schema(nanoarrow.timestamp("ns", "UTC")),
}


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
