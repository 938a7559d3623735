"""Several outputs as one array with a field for each: the recorder copies one array many times as fast as several things."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from modelspan.instrumentation.recorder.snapshot import Kept, Packed
from modelspan.instrumentation.recorder.values import label_text

MAX_WIDTH = 4096
"""Columns up to which the rows of a tensor are read."""
MAX_ROWS = 500
"""Rows up to which outputs are quicker to pack than to copy one by one."""
_MOST_LAYOUTS = 1000

_layouts: dict[Any, np.dtype[Any]] = {}


class RowPlan(NamedTuple):
    """A call of one row, and how its outputs become one array."""

    names: Any
    """Of outputs, as the program asks for them."""
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    """Of the input."""
    likes: Sequence[tuple[np.dtype[Any], tuple[int, ...]]]
    """Type and shape of each output."""
    packed_dtype: np.dtype[Any]
    packed_shape: tuple[int, ...]
    size: int
    """Bytes of input and outputs."""


def plan_of(value: npt.NDArray[Any], names: Any, outputs: Sequence[Any], packed: Any) -> RowPlan | None:
    """The plan of a call whose outputs became `packed`; None of more than one row, or of other outputs than arrays."""
    if type(packed) is not np.ndarray or packed.shape[:1] != (1,) or packed.dtype.hasobject or value.dtype.hasobject:
        return None
    if any(type(one) is not np.ndarray for one in outputs) or sum(one.nbytes for one in outputs) != packed.nbytes:
        return None
    likes = [(one.dtype, one.shape) for one in outputs]
    asked = None if names is None else list(names)
    return RowPlan(asked, value.dtype, value.shape, likes, packed.dtype, packed.shape, value.nbytes + packed.nbytes)


def pack_rows(names: tuple[str, ...], values: Sequence[Any], keep: Kept) -> Packed | None:
    """What `pack` makes of some rows of arrays."""
    if any(type(value) is not np.ndarray or not value.shape or len(value) != keep.total for value in values):
        return None
    packed = pack(names, [value.take(keep.rows, 0) for value in values])
    return None if packed is None else Packed(packed.dtype, packed.shape, packed.tobytes())


def pack(names: tuple[str, ...], values: Sequence[Any]) -> npt.NDArray[Any] | None:
    """Arrays of numbers, and lists of maps from class to score, with one row for each prediction; None where some are else."""
    first = values[0] if values else None
    rows = len(first) if type(first) is list or (type(first) is np.ndarray and first.shape) else 0
    kinds = tuple([_kind(value, rows) for value in values])
    if not 0 < rows <= MAX_ROWS or None in kinds or len(names) != len(values):
        return None
    layout = _layouts.get((names, kinds))
    if layout is None:
        layout = _layout(names, kinds)
    packed = np.empty(rows, layout)
    for name, value in zip(names, values, strict=True):
        packed[name] = value if type(value) is np.ndarray else [tuple(row.values()) for row in value]
    return packed


def _kind(value: Any, rows: int) -> Any:
    """What decides over the field of a value: of an array dtype and shape of a row, of maps their classes."""
    if type(value) is np.ndarray:
        shape = value.shape
        plain = shape and shape[0] == rows and (len(shape) == 1 or (len(shape) == 2 and shape[1] <= MAX_WIDTH))
        return (value.dtype, shape[1:]) if plain and not value.dtype.hasobject else None
    if type(value) is list and len(value) == rows and type(value[0]) is dict and value[0]:
        return tuple(value[0])
    return None


def _layout(names: tuple[str, ...], kinds: tuple[Any, ...]) -> np.dtype[Any]:
    """Made once for each kind of outputs."""
    fields: list[Any] = []
    for name, kind in zip(names, kinds, strict=True):
        if isinstance(kind[0], np.dtype):
            fields.append((name, *kind))
        else:
            fields.append((name, [(label_text(one) or str(one), np.float64) for one in kind]))
    if len(_layouts) >= _MOST_LAYOUTS:
        _layouts.clear()
    layout = _layouts[names, kinds] = np.dtype(fields)
    return layout
