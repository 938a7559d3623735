"""Map columns of ClickHouse from columns, without a Python object for each cell.

A map column is three flat arrays: how many entries each row has, the keys of all rows, the values of all rows. Keys are
codes into one dictionary for the whole block, because the Arrow file that carries the block has room for only one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Codes = npt.NDArray[np.int32]


class Names:
    """The names of a block, each with a code."""

    def __init__(self) -> None:
        self._codes: dict[str, int] = {}

    def code(self, name: str) -> int:
        """The code of `name`, a new one when it is new."""
        return self._codes.setdefault(name, len(self._codes))

    def codes(self, names: Sequence[str]) -> Codes:
        """int32 [len(names)]."""
        for name in dict.fromkeys(names):
            self.code(name)
        return np.fromiter(map(self._codes.__getitem__, names), np.int32, len(names))

    def array(self) -> pa.Array:
        """utf8: the name of every code."""
        return pa.array(list(self._codes), pa.string())


class Entries(NamedTuple):
    """A map column of some rows. Rows must have their keys in sorted order."""

    lengths: Codes
    """int32 [rows]"""
    keys: Codes
    """int32 [sum of lengths]"""
    values: pa.Array
    """[sum of lengths], float64 or utf8"""


def no_entries(rows: int, value_type: pa.DataType) -> Entries:
    """Empty maps."""
    return Entries(np.zeros(rows, np.int32), np.zeros(0, np.int32), pa.array([], value_type))


def numeric_entries(columns: Sequence[pa.ChunkedArray], keys: Codes, rows: int) -> Entries:
    """Maps of number, bool or null columns as float64; null and NaN leave no key.

    `columns`: k of `rows` rows each; `keys`: their k codes, in the order of the sorted names.
    """
    if not columns:
        return no_entries(rows, pa.float64())
    matrix = np.empty((rows, len(columns)), np.float64)
    for j, column in enumerate(columns):
        start = 0
        for chunk in column.chunks:
            matrix[start : start + len(chunk), j] = _numbers(chunk)
            start += len(chunk)
    missing = np.isnan(matrix)
    if not missing.any():
        return Entries(np.full(rows, len(keys), np.int32), np.tile(keys, rows), pa.array(matrix.ravel()))
    present = ~missing
    lengths = present.sum(axis=1, dtype=np.int32)
    return Entries(lengths, np.broadcast_to(keys, matrix.shape)[present], pa.array(matrix[present]))


def text_entries(columns: Sequence[pa.ChunkedArray], keys: Codes, rows: int) -> Entries:
    """Maps of utf8 columns; null leaves no key. Arguments as for `numeric_entries`."""
    if not columns:
        return no_entries(rows, pa.string())
    k = len(columns)
    stacked = pa.concat_arrays([chunk for column in columns for chunk in column.chunks] or [pa.array([], pa.string())])
    order = np.arange(rows * k, dtype=np.int64).reshape(k, rows).T.ravel()
    all_keys = np.tile(keys, rows)
    if stacked.null_count == 0:
        return Entries(np.full(rows, k, np.int32), all_keys, stacked.take(pa.array(order)))
    present = stacked.is_valid().to_numpy(zero_copy_only=False)[order]
    lengths = present.reshape(rows, k).sum(axis=1, dtype=np.int32)
    return Entries(lengths, all_keys[present], stacked.take(pa.array(order[present])))


def row_entries(rows: Sequence[dict[str, Any]], kind: pa.DataType, names: Names) -> Entries:
    """Maps that are given as dicts, in any order of their keys."""
    lengths = np.fromiter(map(len, rows), np.int32, len(rows))
    codes: list[int] = []
    values: list[Any] = []
    # Keys of a row as they came, to the sorted ones and their codes: most rows have the same.
    orders: dict[tuple[str, ...], tuple[list[str], list[int]]] = {}
    for row in filter(None, rows):
        came = tuple(row)
        order = orders.get(came)
        if order is None:
            keys = sorted(came)
            order = orders[came] = keys, [names.code(key) for key in keys]
        codes += order[1]
        values += map(row.__getitem__, order[0])
    return Entries(lengths, np.array(codes, np.int32), pa.array(values, kind))


def map_array(parts: Sequence[Entries], names: pa.Array, value_type: pa.DataType) -> pa.Array:
    """One map column of all parts, its keys a dictionary over `names`."""
    lengths = joined([part.lengths for part in parts])
    offsets = np.zeros(len(lengths) + 1, np.int32)
    np.cumsum(lengths, out=offsets[1:])
    keys = joined([part.keys for part in parts])
    values = concatenated([part.values for part in parts], value_type)
    return pa.MapArray.from_arrays(pa.array(offsets), pa.DictionaryArray.from_arrays(pa.array(keys), names), values)


def joined(parts: Sequence[Codes]) -> Codes:
    """The parts behind one another; a single one is not copied."""
    return parts[0] if len(parts) == 1 else np.concatenate([np.zeros(0, np.int32), *parts])


def concatenated(parts: Sequence[pa.Array], kind: pa.DataType) -> pa.Array:
    """The parts behind one another; a single one is not copied."""
    return parts[0] if len(parts) == 1 else pa.concat_arrays([pa.array([], kind), *parts])


def _numbers(chunk: pa.Array) -> npt.NDArray[Any]:
    if pa.types.is_null(chunk.type):
        return np.full(len(chunk), np.nan)
    if pa.types.is_boolean(chunk.type):
        chunk = chunk.cast(pa.uint8())
    numbers: npt.NDArray[Any] = chunk.to_numpy(zero_copy_only=False)
    return numbers
