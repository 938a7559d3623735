"""Snapshots of inputs to feature columns."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from modelspan.instrumentation.recorder import columns, tensors
from modelspan.instrumentation.recorder import snapshot as snap
from modelspan.instrumentation.recorder.columns import Column
from modelspan.instrumentation.recorder.kinds import names_of
from modelspan.instrumentation.recorder.redaction import FeaturePolicy
from modelspan.instrumentation.recorder.snapshot import Snapshot
from modelspan.instrumentation.recorder.texts import distinct

TEXT = "text"
"""Name of the one feature of models that read texts."""

Features = dict[str, Column]


EVERYTHING = FeaturePolicy(None, sys.maxsize)


def join_key(one: Snapshot) -> Any:
    """What snapshots must share so that `features` can join them."""
    if one.kind == snap.FRAME_ARRAY:
        return snap.FRAME_ARRAY, one.layout, tuple(one.payload[1])
    if one.kind == snap.ARROW:
        return one.kind, tuple(map(str, one.payload.schema))
    if one.kind in (snap.PANDAS, snap.POLARS):
        return one.kind, one.layout, tuple(one.payload.columns), tuple(map(str, one.payload.dtypes))
    if one.kind == snap.NAMED:
        return one.kind, tuple((name, join_key(part)) for name, part in one.payload.items())
    keyed = _KEYS.get(one.kind)
    return one.kind, one.layout if keyed is None else keyed(one)


def features(parts: Sequence[Snapshot], model: Any, policy: FeaturePolicy) -> Features:
    """Feature columns of snapshots that share a `join_key`, one below the other, as they may leave the process. Empty where nothing
    is known of them. What is withheld is noted in the policy.
    """
    return policy.apply(_READERS[parts[0].kind](parts, model, policy))


def _nothing(parts: Sequence[Snapshot], model: Any, policy: FeaturePolicy) -> Features:
    return {}


def _from_bytes(parts: Sequence[Snapshot], model: Any, policy: FeaturePolicy) -> Features:
    dtype, row_shape = parts[0].layout
    if dtype.names:
        return {}
    flat = np.frombuffer(b"".join([part.payload for part in parts]), dtype=dtype)
    if not row_shape:
        return _one(columns.from_array(flat), model, policy)
    width = int(np.prod(row_shape))
    names = names_of(model, width)
    kept = policy.choose(names)
    matrix = flat.reshape(-1, width) if width else flat.reshape(0, 0)
    by_column = np.ascontiguousarray(matrix.T if len(kept) == len(names) else matrix[:, kept].T)
    return {names[i]: columns.from_array(values) for i, values in zip(kept, by_column, strict=True)}


def _from_frame_bytes(parts: Sequence[Snapshot], model: Any, policy: FeaturePolicy) -> Features:
    names = distinct(parts[0].payload[1])
    by_column = snap.by_column(parts[0].layout, len(names), [part.payload[0] for part in parts])
    return {names[i]: columns.from_array(by_column[i]) for i in policy.choose(names)}


def _from_objects(parts: Sequence[Snapshot], model: Any, policy: FeaturePolicy) -> Features:
    joined = np.concatenate([part.payload for part in parts])
    if joined.ndim == 1:
        return _one(columns.from_objects(joined.tolist()), model, policy)
    matrix = joined.reshape(len(joined), -1)
    names = names_of(model, matrix.shape[1])
    return {names[i]: columns.from_objects(matrix[:, i].tolist()) for i in policy.choose(names)}


def _one(column: Column, model: Any, policy: FeaturePolicy) -> Features:
    name = TEXT if column.type == columns.UTF8 else names_of(model, 1)[0]
    return {name: column} if policy.choose([name]) else {}


def _from_pandas(parts: Sequence[Snapshot], model: Any, policy: FeaturePolicy) -> Features:
    if parts[0].layout == snap.UNNAMED:
        return _one(columns.join([_pandas_column(part.payload.iloc[:, 0]) for part in parts]), model, policy)
    names = distinct(parts[0].payload.columns)
    kept = policy.choose(names)
    return {names[i]: columns.join([_pandas_column(part.payload.iloc[:, i]) for part in parts]) for i in kept}


def _pandas_column(series: Any) -> Column:
    values = series.to_numpy()
    if values.dtype.kind == "O":
        return columns.from_objects(values.tolist())
    return columns.from_array(values)


def _from_polars(parts: Sequence[Snapshot], model: Any, policy: FeaturePolicy) -> Features:
    if parts[0].layout == snap.UNNAMED:
        return _one(columns.join([_polars_column(part.payload.to_series(0)) for part in parts]), model, policy)
    names = list(parts[0].payload.columns)
    kept = policy.choose(names)
    return {names[i]: columns.join([_polars_column(part.payload.to_series(i)) for part in parts]) for i in kept}


def _polars_column(series: Any) -> Column:
    is_plain = series.dtype.is_temporal() or (series.dtype.is_numeric() and not str(series.dtype).endswith("Int128"))
    if is_plain and series.null_count() == 0:
        return columns.from_array(series.to_numpy())
    return columns.from_objects(series.to_list())


def _from_arrow(parts: Sequence[Snapshot], model: Any, policy: FeaturePolicy) -> Features:
    names = distinct(parts[0].payload.column_names)
    kept = policy.choose(names)
    return {names[i]: columns.join([_arrow_column(part.payload.column(i)) for part in parts]) for i in kept}


def _arrow_column(values: Any) -> Column:
    if values.null_count == 0 and str(values.type) in _NUMBERS_OF_ARROW:
        return columns.from_array(values.to_numpy())
    return columns.from_objects(values.to_pylist())


_NUMBERS_OF_ARROW = {
    "double",
    "float",
    "halffloat",
    *[f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)],
}


def _from_sparse(parts: Sequence[Snapshot], model: Any, policy: FeaturePolicy) -> Features:
    """Columns that hold a value other than zero in any of the rows. What is absent is zero."""
    width = int(parts[0].payload.shape[1])
    names = names_of(model, width)
    matrices = [part.payload.tocsc() for part in parts]
    used = sorted({int(i) for matrix in matrices for i in np.flatnonzero(np.diff(matrix.indptr))})
    kept = [used[i] for i in policy.choose([names[i] for i in used])]
    return {
        names[i]: columns.from_array(np.concatenate([m[:, [i]].toarray().reshape(-1) for m in matrices])) for i in kept
    }


def _from_sequence(parts: Sequence[Snapshot], model: Any, policy: FeaturePolicy) -> Features:
    rows = [row for part in parts for row in part.payload]
    if rows and all(isinstance(row, dict) for row in rows):
        keys = list(dict.fromkeys(key for row in rows for key in row))
        names = distinct(keys)
        return {names[i]: columns.from_objects([row.get(keys[i]) for row in rows]) for i in policy.choose(names)}
    if rows and all(isinstance(row, list) for row in rows):
        width = min(len(row) for row in rows)
        found = names_of(model, width)
        return {found[i]: columns.from_objects([row[i] for row in rows]) for i in policy.choose(found)}
    return _one(columns.from_objects(rows), model, policy) if rows else {}


def _from_named(parts: Sequence[Snapshot], model: Any, policy: FeaturePolicy) -> Features:
    """The columns of each input, by the name of the input where it is one column; of several, with its own name behind, which
    those of a tensor's summary have already.
    """
    found: Features = {}
    for name, first in parts[0].payload.items():
        columns_of_part = features([part.payload[name] for part in parts], None, EVERYTHING)
        if len(columns_of_part) == 1:
            found[name] = next(iter(columns_of_part.values()))
        elif first.kind == snap.TENSORS and f"{name}.shape" in columns_of_part:
            found |= columns_of_part
        else:
            found |= {f"{name}.{inner.removeprefix('x')}": one for inner, one in columns_of_part.items()}
    names = list(found)
    return {names[i]: found[names[i]] for i in policy.choose(names)}


Reader = Callable[[Sequence[Snapshot], Any, FeaturePolicy], Features]


def read_by(kind: str, reader: Reader, key: Callable[[Snapshot], Any] | None = None) -> None:
    """Have snapshots of a kind that a library has made read by `reader`, given snapshots that share a `join_key`, which is the kind
    and what `key` gives, or the layout.
    """
    _READERS[kind] = reader
    if key is not None:
        _KEYS[kind] = key


_KEYS: dict[str, Callable[[Snapshot], Any]] = {}
_READERS: dict[str, Reader] = {
    snap.ARRAY: _from_bytes,
    snap.OBJECTS: _from_objects,
    snap.FRAME_ARRAY: _from_frame_bytes,
    snap.PANDAS: _from_pandas,
    snap.POLARS: _from_polars,
    snap.ARROW: _from_arrow,
    snap.SPARSE: _from_sparse,
    snap.SEQUENCE: _from_sequence,
    snap.NAMED: _from_named,
    snap.SEVERAL: _nothing,
    snap.TENSORS: tensors.features,
    snap.OPAQUE: _nothing,
}
