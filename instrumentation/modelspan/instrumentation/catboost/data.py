"""Inputs that only CatBoost knows: a `Pool`, and one object instead of many."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from modelspan.instrumentation.recorder import snapshot as snap
from modelspan.instrumentation.recorder.snapshot import Snapshot

_pool: type | None = None


class Held:
    """A Pool of numbers, with what `measure` and `pick` ask of an array."""

    __slots__ = ("pool", "shape")

    def __init__(self, pool: Any) -> None:
        self.pool = pool
        self.shape = pool.shape

    def __getitem__(self, rows: npt.NDArray[np.int64]) -> Held:
        return Held(self.pool.slice(rows.tolist()))


class Counted:
    """Rows whose features cannot be read."""

    __slots__ = ("shape",)

    def __init__(self, pool: Any) -> None:
        self.shape = pool.shape


def follow(pool: type) -> None:
    """Have pools read that are given to `readable`."""
    global _pool
    _pool = pool
    snap.copied_by(Held, _copy)


def readable(data: Any) -> tuple[bool, Any]:
    """Whether an input is one object, for which CatBoost returns one prediction, and what to record of it."""
    if _pool is not None and isinstance(data, _pool):
        return False, Held(data) if _is_of_numbers(data) else Counted(data)
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


def _is_of_numbers(pool: Any) -> bool:
    return not (
        pool.is_quantized()
        or pool.get_cat_feature_indices()
        or pool.get_text_feature_indices()
        or pool.get_embedding_feature_indices()
    )


def _copy(held: Held) -> Snapshot:
    values = held.pool.get_features()
    names = held.pool.get_feature_names()
    if not any(names):
        return snap.copy(values)
    data = values.tobytes("F")
    return Snapshot(snap.FRAME_ARRAY, values.dtype, len(values), (data, names), len(data))
