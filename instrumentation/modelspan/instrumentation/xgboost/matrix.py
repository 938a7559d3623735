"""Reading the features back from a `DMatrix`.

Its contents never change, so the caller only holds it; reading takes 80 µs and more, and is left to the background thread.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import numpy as np
import numpy.typing as npt

from modelspan.instrumentation.failure import failed
from modelspan.instrumentation.patching.patches import Patches
from modelspan.instrumentation.patching.signatures import wraps
from modelspan.instrumentation.recorder import columns
from modelspan.instrumentation.recorder import snapshot as snap
from modelspan.instrumentation.recorder.columns import Column
from modelspan.instrumentation.recorder.features import Features, chosen_columns, read_by
from modelspan.instrumentation.recorder.snapshot import Snapshot, Taken, Unreadable
from modelspan.instrumentation.xgboost.values import compressed
from modelspan.semconv.attributes import MlCaptureUnreadableValues as Reason

if TYPE_CHECKING:
    from modelspan.instrumentation.recorder.redaction import FeaturePolicy

DMATRIX = "xgboost.DMatrix"
"""Kind of snapshot. payload: DMatrix, and the positions of the rows that are kept of it, None of all; layout: None."""
_BYTES_OF_VALUE = 8
"""A DMatrix holds the index of the column with each value."""
_BYTES_OF_ROW = 1000
"""Assumed of a matrix of one."""
_READ_WHOLE = 1_000_000
"""Values up to which a DMatrix is read whole, by the background thread: to take rows out of it, as the caller does with more, takes 0.1 ms."""
_CATEGORICAL = "c"

_streamed: WeakSet[Any] = WeakSet()
"""Those made from an iterator, which may be read from a disk, by one thread at a time."""
_any_streamed = False
"""Whether there was one: asking for it by itself takes a tenth of what recording a row does."""
_opaque: tuple[type, ...] = ()
"""Types that hold the bins of values. `get_data` gives a bound of each, which would be compared with a reference made of values."""


class Held:
    """A DMatrix, or some of its rows, with what `measure` and `pick` ask of an array."""

    __slots__ = ("_shape", "matrix", "rows")

    def __init__(self, matrix: Any, rows: npt.NDArray[np.int64] | None = None) -> None:
        self.matrix = matrix
        self.rows = rows
        self._shape: tuple[int, int] | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Asked for when it is needed: two calls of C."""
        if self._shape is None:
            self._shape = self.matrix.num_row() if self.rows is None else len(self.rows), self.matrix.num_col()
        return self._shape

    @property
    def columns(self) -> Any:
        """Names of the columns; None where they have none."""
        return self.matrix.feature_names

    def __getitem__(self, rows: npt.NDArray[np.int64]) -> Held:
        kept = rows if self.rows is None else self.rows[rows]
        if self.shape[0] * self.shape[1] <= _READ_WHOLE:
            return Held(self.matrix, kept)
        return Held(self.matrix.slice(kept.astype(np.int32), allow_groups=True))


def know(core: Any) -> None:
    """Have matrices read that are given to `readable`."""
    global _opaque
    names = ("QuantileDMatrix", "ExtMemQuantileDMatrix")
    _opaque = tuple(getattr(core, name) for name in names if hasattr(core, name))
    snap.copied_by(Held, _hold)
    read_by(DMATRIX, _features, lambda one: one.payload[0].num_col())


def follow(patches: Patches, core: Any) -> None:
    """Have matrices read that are given to `readable`, and see what they are made from."""
    know(core)
    patches.wrap(core, "DMatrix._init_from_iter", _noted)


def readable(matrix: Any) -> Any:
    """What to record of a DMatrix as the input of a prediction. Of anything else, that itself."""
    if not hasattr(matrix, "num_row"):
        return matrix
    reason = Reason.QUANTIZED if isinstance(matrix, _opaque) else Reason.STREAMED if matrix in _streamed else None
    return Held(matrix) if reason is None else Unreadable(reason, (matrix.num_row(),))


def _noted(original: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    def init_from_iter(self: Any, *args: Any, **kwargs: Any) -> Any:
        global _any_streamed
        try:
            _streamed.add(self)
            _any_streamed = True
        except Exception as problem:
            failed("see what a DMatrix is made from", problem)
        return original(self, *args, **kwargs)

    return init_from_iter


def _hold(held: Held) -> Snapshot:
    rows, width = held.shape
    return Snapshot(DMATRIX, None, rows, (held.matrix, held.rows), rows * width * _BYTES_OF_VALUE)


def one_row(matrix: Any) -> Taken:
    """A DMatrix that has one, which is not asked for its width."""
    if _any_streamed and matrix in _streamed:
        return Taken(snap.copy(readable(matrix)), None)
    return Taken(Snapshot(DMATRIX, None, 1, (matrix, None), _BYTES_OF_ROW), None)


def _features(parts: Sequence[Snapshot], model: Any, policy: FeaturePolicy) -> Features:
    first = parts[0].payload[0]
    names, kept = chosen_columns(first.feature_names, first.num_col(), model, policy)
    table = np.concatenate([_dense(part.payload[0], part.payload[1], kept) for part in parts])
    types = first.feature_types or []
    return {
        names[i]: _categories(parts, table[:, place], i)
        if i < len(types) and types[i] == _CATEGORICAL
        else columns.from_array(np.ascontiguousarray(table[:, place]))
        for place, i in enumerate(kept)
    }


def _dense(matrix: Any, some: npt.NDArray[np.int64] | None, kept: Sequence[int]) -> npt.NDArray[np.float32]:
    """The values of all or some rows, of some columns; NaN where a DMatrix holds none."""
    data = compressed(matrix)
    rows, width = data.shape
    if data.nnz == rows * width:
        whole: npt.NDArray[np.float32] = data.data.reshape(rows, width)
        return whole[:, kept] if some is None else whole[some][:, kept]
    place = np.full(width, -1)
    place[kept] = np.arange(len(kept))
    to = place[data.indices]
    found = to >= 0
    row = np.repeat(np.arange(rows), np.diff(data.indptr).astype(np.int64))
    table = np.full((rows, len(kept)), np.nan, dtype=np.float32)
    table[row[found], to[found]] = data.data[found]
    return table if some is None else table[some]


def _categories(parts: Sequence[Snapshot], codes: npt.NDArray[np.float32], column: int) -> Column:
    """Categories, each matrix having its own order of them; their codes where they are not known."""
    found: list[Any] = []
    start = 0
    for part in parts:
        known = _category_names(part.payload[0], column) or ()
        for code in codes[start : start + part.rows].tolist():
            is_known = code == code and int(code) < len(known)
            found.append(known[int(code)] if is_known else None if code != code else str(int(code)))
        start += part.rows
    return columns.from_objects(found)


def _category_names(matrix: Any, column: int) -> list[Any] | None:
    try:
        names = matrix.get_categories(export_to_arrow=True).to_arrow()[column][1]
    except Exception:  # before XGBoost 3.1, without pyarrow, or of a matrix that was not made from a frame
        return None
    return None if names is None else list(names.to_pylist())
