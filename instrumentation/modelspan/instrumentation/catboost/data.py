"""Inputs that only CatBoost knows: a `Pool`, and one object instead of many.

The values of a Pool never change, so the caller only holds it; reading 10,000 rows of 20 numbers takes longer than predicting
them, and is left to the background thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from modelspan.instrumentation.recorder import columns
from modelspan.instrumentation.recorder import snapshot as snap
from modelspan.instrumentation.recorder.features import Features, chosen_columns, read_by
from modelspan.instrumentation.recorder.snapshot import Snapshot, Unreadable
from modelspan.semconv.attributes import MlCaptureUnreadableValues as Reason

if TYPE_CHECKING:
    from modelspan.instrumentation.recorder.redaction import FeaturePolicy

POOL = "catboost.Pool"
"""Kind of snapshot. payload: Pool of numbers; layout: names of its columns."""
_BYTES_OF_VALUE = 4

_pool: type | None = None


class Held:
    """A Pool of numbers, with what `measure` and `pick` ask of an array."""

    __slots__ = ("pool", "shape")

    def __init__(self, pool: Any) -> None:
        self.pool = pool
        self.shape = pool.shape

    @property
    def columns(self) -> Any:
        """Names of the columns; their positions where they have none."""
        return self.pool.get_feature_names()

    def __getitem__(self, rows: npt.NDArray[np.int64]) -> Held:
        return Held(self.pool.slice(rows.tolist()))


def follow(pool: type) -> None:
    """Have pools read that are given to `readable`."""
    global _pool
    _pool = pool
    snap.copied_by(Held, _hold)
    read_by(POOL, _features)


def readable(data: Any) -> tuple[bool, Any]:
    """Whether an input is one object, for which CatBoost returns one prediction, and what to record of it."""
    pool = readable_pool(data)
    if pool is not data:
        return False, pool
    if isinstance(data, np.ndarray):
        return (True, data[np.newaxis]) if data.ndim == 1 else (False, data)
    if isinstance(data, list):
        is_single = not data or isinstance(data[0], str) or not hasattr(data[0], "__len__")
        return is_single, [data] if is_single else data
    if len(getattr(data, "shape", ())) == 1:
        return True, [_row(data)]
    return False, data


def _row(series: Any) -> Any:
    """A row of a frame, by the names of its columns, or else a list."""
    named = hasattr(series, "index") and all(isinstance(name, str) for name in series.index)
    return series.to_dict() if named else series.to_list()


def readable_pool(data: Any) -> Any:
    """The part of a Pool to record; anything else itself."""
    return _of_pool(data) if _pool is not None and isinstance(data, _pool) else data


def _of_pool(pool: Any) -> Held | Unreadable:
    if pool.is_quantized():
        return Unreadable(Reason.QUANTIZED, pool.shape)
    others = pool.get_cat_feature_indices() or pool.get_text_feature_indices() or pool.get_embedding_feature_indices()
    return Unreadable(Reason.CATEGORICAL, pool.shape) if others else Held(pool)


def _hold(held: Held) -> Snapshot:
    rows, width = held.shape
    return Snapshot(POOL, tuple(held.pool.get_feature_names()), rows, held.pool, rows * width * _BYTES_OF_VALUE)


def _features(parts: Sequence[Snapshot], model: Any, policy: FeaturePolicy) -> Features:
    own = parts[0].layout
    names, kept = chosen_columns(own if any(own) else None, len(own), model, policy)
    table = np.concatenate([part.payload.get_features() for part in parts])
    return {names[i]: columns.from_array(np.ascontiguousarray(table[:, i])) for i in kept}
