"""Snapshots of inputs to feature columns."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from modelspan.instrumentation.recorder import columns, series, tensors
from modelspan.instrumentation.recorder import snapshot as snap
from modelspan.instrumentation.recorder.columns import Column
from modelspan.instrumentation.recorder.feature_names import names_of, order_of, used_names
from modelspan.instrumentation.recorder.identity import identities
from modelspan.instrumentation.recorder.kinds import missing_of
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
        return one.kind, one.layout, tuple(map(str, one.payload.schema))
    if one.kind in (snap.PANDAS, snap.POLARS):
        return one.kind, one.layout, tuple(one.payload.columns), tuple(map(str, one.payload.dtypes))
    if one.kind == snap.NAMED:
        return one.kind, tuple((name, join_key(part)) for name, part in one.payload.items())
    if one.kind == snap.SEQUENCE:
        return one.kind, _shape_of(one.payload)
    keyed = _KEYS.get(one.kind)
    return one.kind, one.layout if keyed is None else keyed(one)


def _shape_of(rows: Sequence[Any]) -> type | int | None:
    """Return the shape of the rows of a sequence: `dict`, the greatest length of lists, or None for single values."""
    if rows and all(isinstance(row, dict) for row in rows):
        return dict
    return max(map(len, rows)) if rows and all(isinstance(row, list) for row in rows) else None


def features(parts: Sequence[Snapshot], model: Any, policy: FeaturePolicy) -> Features:
    """Feature columns of snapshots that share a `join_key`, one below the other, as they may leave the process. Empty where nothing
    is known of them. What is withheld is noted in the policy.
    """
    found = _READERS[parts[0].kind](parts, model, policy)
    missing = missing_of(model)
    if missing is not None and missing == missing:
        found = {name: columns.without(column, missing) for name, column in found.items()}
    return policy.apply(found)


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
    names, kept = chosen_columns(None, width, model, policy)
    matrix = flat.reshape(-1, width) if width else flat.reshape(0, 0)
    by_column = np.ascontiguousarray(matrix.T if len(kept) == len(names) else matrix[:, kept].T)
    return {names[i]: columns.from_array(values) for i, values in zip(kept, by_column, strict=True)}


def _from_frame_bytes(parts: Sequence[Snapshot], model: Any, policy: FeaturePolicy) -> Features:
    own = parts[0].payload[1]
    names, kept = chosen_columns(own, len(own), model, policy)
    by_column = snap.by_column(parts[0].layout, len(names), [part.payload[0] for part in parts])
    return {names[i]: columns.from_array(by_column[i]) for i in kept}


def _from_objects(parts: Sequence[Snapshot], model: Any, policy: FeaturePolicy) -> Features:
    joined = np.concatenate([part.payload for part in parts])
    if joined.ndim == 1:
        return _one(columns.from_objects(joined.tolist()), model, policy)
    matrix = joined.reshape(len(joined), -1)
    names, kept = chosen_columns(None, matrix.shape[1], model, policy)
    return {names[i]: columns.from_objects(matrix[:, i].tolist()) for i in kept}


def chosen_columns(
    own: Sequence[Any] | None, width: int, model: Any, policy: FeaturePolicy
) -> tuple[Sequence[str], Sequence[int]]:
    """Names of the columns of an input, which calls them `own`, and positions of those to keep: of too many, always the same."""
    names = names_of(model, width, own)
    if own is not None and policy.withholds and (called := distinct(own)) != names:
        policy.also_called(dict(zip(names, called, strict=True)))
    order = order_of(model, names) if own is not None and width > policy.most else range(width)
    used = used_names(model)
    if used is not None:
        policy.see(names)
        order = [i for i in order if names[i] in used]
    return names, sorted(order[i] for i in policy.choose([names[i] for i in order]))


def _one(column: Column, model: Any, policy: FeaturePolicy, own: Any = "") -> Features:
    """An input of one dimension, called `own` by the program: its texts are one feature, its numbers another."""
    texts = column if column.type == columns.UTF8 else column.texts
    found = {} if texts is None else {TEXT: texts}
    if column.type != columns.UTF8:
        found[names_of(model, 1)[0]] = column.numbers()
    names = list(found)
    if own != "":
        policy.also_called(dict.fromkeys(names, str(own)))
    return {names[i]: found[names[i]] for i in policy.choose(names)}


def _from_table(parts: Sequence[Snapshot], model: Any, policy: FeaturePolicy) -> Features:
    own = list(parts[0].payload.columns if parts[0].kind != snap.ARROW else parts[0].payload.column_names)

    def read(place: int) -> Column:
        return columns.join([columns.from_array(series.column(part, place)) for part in parts])

    if parts[0].layout == snap.ONE_DIMENSION:
        return _one(read(0), model, policy, own[0])
    names, kept = chosen_columns(own, len(own), model, policy)
    return {names[i]: read(i) for i in kept}


def _from_sparse(parts: Sequence[Snapshot], model: Any, policy: FeaturePolicy) -> Features:
    """The columns that an array of the same width would have. What is absent is zero, or missing where the model takes it for that."""
    from scipy.sparse import vstack  # which the program has imported

    names, kept = chosen_columns(None, int(parts[0].payload.shape[1]), model, policy)
    rows = vstack([part.payload for part in parts], format="csr")
    rows = rows if len(kept) == len(names) else rows[:, kept]
    table = np.ascontiguousarray((rows.toarray() if missing_of(model) is None else _with_gaps(rows)).T)
    return {names[i]: columns.from_array(values) for i, values in zip(kept, table, strict=True)}


def _with_gaps(rows: Any) -> npt.NDArray[Any]:
    """The values of a matrix of compressed rows, NaN where it holds none."""
    held = rows.astype(bool)
    held.data[:] = True
    return np.where(held.toarray(), rows.toarray(), np.nan)


def _from_sequence(parts: Sequence[Snapshot], model: Any, policy: FeaturePolicy) -> Features:
    rows = [row for part in parts for row in part.payload]
    shape = _shape_of(rows)
    if shape is dict:
        keys = list(dict.fromkeys(key for row in rows for key in row))
        names = distinct(keys)
        return {names[i]: columns.from_objects([row.get(keys[i]) for row in rows]) for i in _keys(names, model, policy)}
    if isinstance(shape, int):
        found, kept = chosen_columns(None, shape, model, policy)
        return {found[i]: columns.from_objects([row[i] if i < len(row) else None for row in rows]) for i in kept}
    return _one(columns.from_objects(rows), model, policy) if rows else {}


def _keys(names: Sequence[str], model: Any, policy: FeaturePolicy) -> Sequence[int]:
    """Positions of the keys of dicts to keep: of too many for one model its first ones, not those that a batch happens to have."""
    identity = None if model is None else identities.known(model)
    known = frozenset[str]() if identity is None else identity.keys
    if not known.issuperset(names):
        seen = list({*known, *names})
        ordered = [seen[i] for i in order_of(model, seen)] if len(seen) > policy.most else seen
        known = frozenset(ordered[i] for i in policy.choose(ordered))
        if identity is not None:
            identity.keys = known
    return [i for i, name in enumerate(names) if name in known]


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
    snap.PANDAS: _from_table,
    snap.POLARS: _from_table,
    snap.ARROW: _from_table,
    snap.SPARSE: _from_sparse,
    snap.SEQUENCE: _from_sequence,
    snap.NAMED: _from_named,
    snap.SEVERAL: _nothing,
    snap.TENSORS: tensors.features,
    snap.OPAQUE: _nothing,
}
