"""Copies of inputs and outputs, taken by the caller because the program may change its arrays afterwards.

A copier never iterates what it does not know (a generator can be read only once) and never converts:
conversion is the background thread's work.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from modelspan.instrumentation.recorder.strata import Rows, strata
from modelspan.semconv.attributes import MlCaptureUnreadableValues


class Snapshot(NamedTuple):
    """A copy. `layout` is what calls must share to be joined; `payload` depends on `kind`."""

    kind: str
    layout: Any
    rows: int
    payload: Any
    size: int


ARRAY = "array"
"""payload: bytes in C order; layout: (dtype, shape of a row). Fields of a structured dtype are inputs or outputs by name."""
OBJECTS = "objects"
"""payload: object array; layout: shape of a row."""
FRAME_ARRAY = "frame_array"
"""payload: (bytes column by column, as pandas holds them, column names) of a frame of one type; layout: dtype."""
PANDAS = "pandas"
"""payload: pandas DataFrame; layout: ONE_DIMENSION or None."""
POLARS = "polars"
"""payload: polars DataFrame; layout: ONE_DIMENSION or None."""
ARROW = "arrow"
"""payload: pyarrow Table; layout: ONE_DIMENSION or None."""
SPARSE = "sparse"
"""payload: scipy sparse matrix; layout: number of columns."""
SEQUENCE = "sequence"
"""payload: list of rows or of scalars, tuples of such lists included. rows: -1 of one value that is no list."""
SEVERAL = "several"
"""payload: list of snapshots, of outputs given as a list of arrays."""
NAMED = "named"
"""payload: snapshots by name, of inputs or outputs that have names; layout: name, kind and layout of each."""
TENSORS = "tensors"
"""payload: the bytes of each part, None of one whose values are not known; layout: (mode, parts), see `tensors`."""
OPAQUE = "opaque"
"""No payload: only the number of rows is known, or -1. layout: why, a value of `ml.capture.unreadable`; None where nothing was to be
read."""

ONE_DIMENSION = "one_dimension"
"""Layout of a frame made from a series."""

_new = tuple.__new__
_PLAIN = frozenset("fiubUSMm")
_ROW_OF_OBJECTS = 64
"""Assumed bytes of a Python object, to bound what is not counted in bytes."""
_DENSE_COLUMNS = 1000
"""Columns of a sparse matrix that are recorded, unless the configuration says otherwise."""

UNKNOWN = Snapshot(OPAQUE, None, -1, None, 0)
_UNKNOWN_TYPE = MlCaptureUnreadableValues.UNKNOWN_TYPE.value


def rows_to_keep(rows: int, row_bytes: int, limit: int) -> Rows | None:
    """None if `rows` rows fit into `limit` bytes, else a random sample: one row of each of as many equal strata as fit."""
    if rows < 2 or rows * row_bytes <= limit:
        return None
    return strata.sample(rows, max(1, limit // row_bytes))


def copy(value: Any) -> Snapshot:
    """Snapshot of a whole input or output."""
    return (_copiers.get(type(value)) or _copier(type(value)))(value)


class Kept(NamedTuple):
    """The rows that were copied of a call too large to copy whole, and how many it had."""

    rows: Rows
    total: int


class Taken(NamedTuple):
    """A copied input, and which rows it holds where they are not all."""

    snapshot: Snapshot
    keep: Kept | None


Raw = tuple[Any, tuple[int, ...], Any, Any]
"""An array, or frame of one type, as the caller leaves it in the common case: dtype, shape, bytes (of an array in C order, of
a frame column by column), and None or the column names of the frame. `finish` makes it a snapshot."""


class Lasting(NamedTuple):
    """A type of inputs whose contents never change, so that they can be copied after the call."""

    kind: type
    hold: Callable[[Any], Any]
    """Makes of one what can be copied."""
    one_row: Callable[[Any], Taken]
    """A copy of one that has one row."""


class Packed(NamedTuple):
    """An output of which the rows that are kept were copied already: a `Raw`."""

    dtype: Any
    shape: tuple[int, ...]
    data: bytes
    names: Any = None


class Named:
    """Inputs or outputs of one call by name, which share their rows. Has what `measure` and `pick` ask of an array."""

    __slots__ = ("parts", "shape")

    def __init__(self, parts: Mapping[str, Any]) -> None:
        self.parts = parts
        sizes = [measure(part) for part in parts.values()]
        rows = {rows for rows, _ in sizes}
        self.shape = (rows.pop() if len(rows) == 1 else -1, sum(size for _, size in sizes) // 8 + 1)

    def __getitem__(self, rows: Rows) -> Named:
        return Named({name: pick(part, rows) for name, part in self.parts.items()})


class Unreadable:
    """Rows whose features cannot be read, and why: a value of `ml.capture.unreadable`. Has what `measure` and `pick` ask of an array."""

    __slots__ = ("reason", "shape")

    def __init__(self, reason: MlCaptureUnreadableValues, shape: Sequence[int]) -> None:
        self.reason = reason.value
        self.shape = tuple(map(int, shape[:1]))

    def __getitem__(self, rows: Rows) -> Unreadable:
        return Unreadable(MlCaptureUnreadableValues(self.reason), (len(rows),))


def unreadable(x: Snapshot) -> str | None:
    """Why values of an input could not be read: a value of `ml.capture.unreadable`, None where all were, or none were to be."""
    if x.kind == NAMED:
        return next((reason for part in x.payload.values() if (reason := unreadable(part))), None)
    if x.kind == TENSORS:
        return next((part.missing for part in x.layout[1] if part.missing), None)
    if x.kind == ARRAY:
        return _UNKNOWN_TYPE if x.layout[0].names else None
    return x.layout if x.kind == OPAQUE else None


def finish(raw: Raw) -> Snapshot:
    """The snapshot of an array or frame that was left raw."""
    dtype, shape, data, names = raw
    if names is not None:
        return _new(Snapshot, (FRAME_ARRAY, dtype, shape[0], (data, names), len(data)))
    rows = shape[0] if shape else -1
    if rows < 0 and dtype.kind in _PLAIN:
        return _one_value(np.frombuffer(data, dtype)[0])
    if rows < 0 or (dtype.kind not in _PLAIN and (not dtype.names or dtype.hasobject)):
        return Snapshot(OPAQUE, _UNKNOWN_TYPE, rows, None, 0)
    return _new(Snapshot, (ARRAY, (dtype, shape[1:]), rows, data, len(data)))


def joined(dtype: Any, shapes: Sequence[tuple[int, ...]], data: Sequence[bytes], names: Any) -> Snapshot:
    """One snapshot of raw arrays, or raw frames with these column names, that share dtype and shape of a row."""
    rows = sum([shape[0] for shape in shapes])
    if names is None:
        return Snapshot(ARRAY, (dtype, shapes[0][1:]), rows, b"".join(data), 0)
    return Snapshot(FRAME_ARRAY, dtype, rows, (by_column(dtype, len(names), data), names), 0)


def by_column(dtype: npt.DTypeLike, width: int, data: Sequence[Any]) -> npt.NDArray[Any]:
    """The matrix (columns, rows) of frames of `width` columns, side by side. `data` are their bytes, column by column."""
    if max(map(len, data)) == width * np.dtype(dtype).itemsize:  # one row each
        return np.ascontiguousarray(np.frombuffer(b"".join(data), dtype=dtype).reshape(-1, width).T)
    parts = [np.frombuffer(part, dtype=dtype).reshape(width, -1) for part in data]
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)


def take(value: Any, limit: int) -> Raw | Taken:
    """Copy an input, or of one of more than about `limit` bytes a sample of its rows."""
    if type(value) is np.ndarray and value.ndim and value.dtype.kind in _PLAIN:
        rows = len(value)
        if rows < 2 or value.nbytes <= limit:
            return value.dtype, value.shape, value.tobytes(), None
        # Written out rather than by `rows_to_keep`: the program waits for it.
        sample = strata.sample(rows, limit * rows // value.nbytes or 1)
        return _new(Taken, (_rows_of_array(value, sample), _new(Kept, (sample, rows))))
    if _copiers.get(type(value)) is _pandas_frame:
        values = _one_block(value)
        if values is not None and (values.nbytes <= limit or len(value) == 1):
            columns, rows = values.shape
            return values.dtype, (rows, columns), values.tobytes(), value.columns
    rows, row_bytes = measure(value)
    keep = rows_to_keep(rows, row_bytes, limit)
    return Taken(copy(value), None) if keep is None else Taken(copy(pick(value, keep)), Kept(keep, rows))


def copied_by(kind: type, copier: Callable[[Any], Snapshot]) -> None:
    """Have values of a type, not of those derived from it, copied by `copier`."""
    _copiers[kind] = copier


def _rows_of_array(value: npt.NDArray[Any], rows: Rows) -> Snapshot:
    data = value.take(rows, 0).tobytes()
    return _new(Snapshot, (ARRAY, (value.dtype, value.shape[1:]), len(rows), data, len(data)))


def take_rows(value: Any, keep: Kept) -> Snapshot:
    """Snapshot of an output, the rows that were kept of the input."""
    if type(value) is np.ndarray and value.dtype.kind in _PLAIN and value.shape and len(value) == keep.total:
        return _rows_of_array(value, keep.rows)
    return copy(pick(value, keep.rows)) if measure(value)[0] == keep.total else UNKNOWN


def count(value: Any, limit: int) -> Taken:
    """An input that is not to be captured: its number of rows, and which of them to keep of many."""
    rows = measure(value)[0]
    keep = rows_to_keep(rows, _ROW_OF_OBJECTS, limit)
    if keep is None:
        return Taken(Snapshot(OPAQUE, None, rows, None, 0), None)
    return Taken(Snapshot(OPAQUE, None, len(keep), None, 0), Kept(keep, rows))


def measure(value: Any) -> tuple[int, int]:
    """Rows of a value and about how many bytes one takes, or (-1, 0) of an unknown type. Copies nothing."""
    if isinstance(value, (list, tuple)):
        columns = len(value[0]) if value and isinstance(value[0], (list, tuple, dict)) else 1
        return len(value), columns * _ROW_OF_OBJECTS
    shape: Any = (len(value),) if _copier(type(value)) is _arrow_array else getattr(value, "shape", None)
    if not shape or not isinstance(shape[0], int):
        return -1, 0
    rows = shape[0]
    copier = _copier(type(value))
    if copier is _opaque:
        return rows, 0
    if isinstance(value, np.ndarray):
        return rows, value.nbytes // max(rows, 1)
    if copier is _sparse:
        return rows, -(-_sparse_bytes(value) // max(rows, 1))
    return rows, 8 * (shape[1] if len(shape) > 1 else 1)


def pick(value: Any, rows: Rows) -> Any:
    """The given rows of a value that `measure` knows."""
    if isinstance(value, (list, tuple)):
        return [value[i] for i in rows.tolist()]
    if hasattr(value, "iloc"):
        return value.iloc[rows]
    if hasattr(value, "tocsr"):
        return value.tocsr()[rows]
    if hasattr(value, "column_names") or _copier(type(value)) is _arrow_array:
        return value.take(rows)
    return value[rows]


def _array(value: npt.NDArray[Any]) -> Snapshot:
    if value.dtype.kind in "OT" and value.shape:  # T: strings of any length
        copied = value.astype(object)
        return Snapshot(OBJECTS, value.shape[1:], value.shape[0], copied, value.size * _ROW_OF_OBJECTS)
    return finish((value.dtype, value.shape, b"" if value.dtype.hasobject else value.tobytes(), None))


def _subclass_of_array(value: npt.NDArray[Any]) -> Snapshot:
    if isinstance(value, np.ma.MaskedArray) and not value.dtype.names:
        values = np.asarray(value).astype(object)
        values[value.mask] = None
        return _array(values)
    return _array(np.asarray(value))


def _pandas_frame(value: Any) -> Snapshot:
    values = _one_block(value)
    if values is not None:
        columns, rows = values.shape
        return finish((values.dtype, (rows, columns), values.tobytes(), value.columns))
    rows, columns = value.shape
    return Snapshot(PANDAS, None, rows, value.copy(deep=True), rows * columns * 16)


def _one_block(frame: Any) -> npt.NDArray[Any] | None:
    """The values (columns, rows) of a pandas frame whose columns are of one type and lie in one block; not a copy."""
    blocks: Any = getattr(getattr(frame, "_mgr", None), "blocks", ())
    values: Any = blocks[0].values if len(blocks) == 1 else None
    return values if type(values) is np.ndarray and values.dtype.kind in "fiub" and values.size else None


def _pandas_series(value: Any) -> Snapshot:
    frame = value.to_frame() if value.name is not None else value.to_frame("")
    return Snapshot(PANDAS, ONE_DIMENSION, len(value), frame.copy(), len(value) * 16)


def _polars_frame(value: Any) -> Snapshot:
    rows, columns = value.shape
    # Polars replaces columns and never changes their values, so a clone of the handle is a snapshot.
    return Snapshot(POLARS, None, rows, value.clone(), rows * columns * 8)


def _polars_series(value: Any) -> Snapshot:
    return Snapshot(POLARS, ONE_DIMENSION, len(value), value.to_frame(), len(value) * 8)


def _pandas_values(value: Any) -> Snapshot:
    """A Categorical, an extension array or an Index of pandas."""
    return _pandas_series(sys.modules["pandas"].Series(value))


def _arrow_table(value: Any) -> Snapshot:
    """A table of Arrow, whose values never change, is its own snapshot."""
    rows, columns = value.shape
    return Snapshot(ARROW, None, rows, value, rows * columns * 8)


def _arrow_batch(value: Any) -> Snapshot:
    return _arrow_table(sys.modules["pyarrow"].Table.from_batches([value]))


def _arrow_array(value: Any) -> Snapshot:
    table = sys.modules["pyarrow"].table({"": value})
    return Snapshot(ARROW, ONE_DIMENSION, len(value), table, len(value) * 8)


def _one_value(value: Any) -> Snapshot:
    return Snapshot(SEQUENCE, None, -1, [value], _ROW_OF_OBJECTS)


def _tensor(value: Any) -> Snapshot:
    """A tensor of PyTorch that is given to a model of another library. Copied as a tensor: `numpy` would keep the program's from being
    resized.
    """
    try:
        return _array(value.detach().clone().numpy()) if value.is_cpu else _opaque(value)
    except (TypeError, RuntimeError):  # a type that NumPy does not have; sparse
        return _opaque(value)


def _sparse(value: Any) -> Snapshot:
    if len(value.shape) != 2:
        return Snapshot(OPAQUE, None, int(value.shape[0]), None, 0)
    return Snapshot(SPARSE, int(value.shape[1]), int(value.shape[0]), value.copy(), _sparse_bytes(value))


def _sparse_bytes(value: Any) -> int:
    """Bytes of a sparse matrix, or of what the background makes of it: its first columns with their zeros."""
    rows, columns = map(int, value.shape)
    return max(12 * int(value.nnz), 8 * rows * min(columns, _DENSE_COLUMNS))


def _list(value: list[Any]) -> Snapshot:
    if value and isinstance(value[0], np.ndarray) and value[0].ndim == 2:
        parts = [copy(part) for part in value]
        return Snapshot(SEVERAL, tuple(part.layout for part in parts), parts[0].rows, parts, sum(p.size for p in parts))
    rows = [_row(row) for row in value]
    width = len(rows[0]) if rows and isinstance(rows[0], (list, dict)) else 1
    return Snapshot(SEQUENCE, None, len(rows), rows, len(rows) * width * _ROW_OF_OBJECTS)


def _named(value: Named) -> Snapshot:
    parts = {name: copy(part) for name, part in value.parts.items()}
    layout = tuple((name, part.kind, part.layout) for name, part in parts.items())
    return Snapshot(NAMED, layout, value.shape[0], parts, sum(part.size for part in parts.values()))


def _row(row: Any) -> Any:
    if isinstance(row, dict):
        return dict(row)
    if isinstance(row, (list, tuple)):
        return list(row)
    return row.tolist() if isinstance(row, np.ndarray) else row


def _tuple(value: tuple[Any, ...]) -> Snapshot:
    return _list(list(value))


def _unreadable(value: Unreadable) -> Snapshot:
    return Snapshot(OPAQUE, value.reason, value.shape[0] if value.shape else -1, None, 0)


def _opaque(value: Any) -> Snapshot:
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple) and shape and isinstance(shape[0], int):
        return Snapshot(OPAQUE, _UNKNOWN_TYPE, shape[0], None, 0)
    return Snapshot(OPAQUE, _UNKNOWN_TYPE, -1, None, 0)


def _copier(kind: type) -> Callable[[Any], Snapshot]:
    copier = _copiers.get(kind)
    if copier is None:
        copier = _copiers[kind] = _find_copier(kind)
    return copier


def _find_copier(kind: type) -> Callable[[Any], Snapshot]:
    """The copier of a type, which is looked for only in libraries that the program has imported."""
    for module, name, copier in _LIBRARIES:
        known = getattr(sys.modules.get(module), name, None)
        if known is not None and issubclass(kind, known):
            return copier
    for base, copier in (
        (np.ndarray, _subclass_of_array),
        (list, _list),
        (tuple, _tuple),
        ((str, int, float, np.generic), _one_value),
    ):
        if issubclass(kind, base):
            return copier
    return _opaque


_LIBRARIES: tuple[tuple[str, str, Callable[[Any], Snapshot]], ...] = (
    ("pandas", "DataFrame", _pandas_frame),
    ("pandas", "Series", _pandas_series),
    ("polars", "DataFrame", _polars_frame),
    ("polars", "Series", _polars_series),
    ("pandas", "Index", _pandas_values),
    ("pandas.api.extensions", "ExtensionArray", _pandas_values),
    ("pyarrow", "Table", _arrow_table),
    ("pyarrow", "RecordBatch", _arrow_batch),
    ("pyarrow", "Array", _arrow_array),
    ("pyarrow", "ChunkedArray", _arrow_array),
    ("torch", "Tensor", _tensor),
    ("scipy.sparse", "spmatrix", _sparse),
    ("scipy.sparse", "sparray", _sparse),
)
_copiers: dict[type, Callable[[Any], Snapshot]] = {np.ndarray: _array, Named: _named, Unreadable: _unreadable}
