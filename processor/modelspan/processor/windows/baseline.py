"""The reference of a model that was given none: its first predictions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import xxhash
from numpy.typing import NDArray

from modelspan.profile import CategoricalProfile, NumericProfile, categorical_profile, mixed_profile, numeric_profile

from .ask import ask
from .keys import KEY_CONDITION, ModelKey, before_sql, window_sql
from .kinds import FEATURE, LABEL, Kind
from .references import Series
from .settings import Settings

Insert = Callable[[str, pa.Table, str], None]
Floats = NDArray[np.float64]

_REACHED = """
SELECT toString(operation) AS called, toUnixTimestamp64Nano(time) AS reached FROM ml_predictions
WHERE {rows} AND {carried} ORDER BY time LIMIT 1 OFFSET {before} BY called
"""

_FIRST = """
SELECT toUnixTimestamp64Nano(time) AS at, prediction_id, weight, {columns} FROM ml_predictions
WHERE {rows} AND operation = {{operation:String}} ORDER BY time, prediction_id LIMIT {size}
"""

_PROGRESS = """
SELECT {window} AS window, count() AS rows FROM ml_predictions
WHERE {rows} AND {carried} AND operation = {{operation:String}} GROUP BY window ORDER BY window
"""


def build(
    client: Any, insert: Insert, key: ModelKey, kind: Kind, source: str, until: int, now: float, settings: Settings
) -> str | None:
    """Store a baseline of one kind of series, once enough rows before `until` (nanoseconds) are there; its id, or None.

    `source` is one of `BASELINES`. It is made of the first rows, by event time and then by id, of the operation that was first to
    reach as many as that wants. The same rows give the same id, so two services that build at once store the same baseline.
    """
    size = settings.baseline_rows(source)
    rows = f"{KEY_CONDITION} AND {before_sql(until)} AND {kind.counted}"
    parameters = key._asdict()
    sql = _REACHED.format(rows=rows, carried=kind.carried, before=size - 1)
    reached = ask(client, sql, parameters, settings.query).to_pylist()
    if not reached:
        return None
    last, operation = min((row["reached"], row["called"]) for row in reached)
    rows += f" AND {before_sql(last + 1)}"  # spares the engine from sorting the ids of a long history
    columns = "features_numeric, features_text" if kind is FEATURE else kind.name
    sql = _FIRST.format(rows=rows, columns=columns, size=size)
    parameters = {**parameters, "operation": operation}
    first = ask(client, sql, parameters, settings.query).combine_chunks()
    series = list(_profiles(kind, first, settings.bins))
    if not series:
        return None
    reference_id = _reference_id(key, kind, source, operation, first, settings.bins)
    table = _reference_rows(key, kind, source, reference_id, operation, int(first["at"][-1].as_py()), series, now)
    insert("ml_references", table, reference_id)
    return reference_id


def progress(
    client: Any, key: ModelKey, kind: Kind, operation: str, ends: Sequence[int], settings: Settings
) -> list[int]:
    """Rows towards the baseline at the end of each window."""
    rows = f"{KEY_CONDITION} AND {before_sql(max(ends))} AND {kind.counted}"
    sql = _PROGRESS.format(window=window_sql(settings.length_ns), rows=rows, carried=kind.carried)
    parameters = {**key._asdict(), "operation": operation}
    found = ask(client, sql, parameters, settings.query)
    cumulative = np.concatenate([[0], np.cumsum(found["rows"].to_numpy())])
    reached = cumulative[np.searchsorted(found["window"].to_numpy(), np.asarray(ends), side="left")]
    return [int(count) for count in reached]


def _profiles(kind: Kind, first: pa.Table, bins: int) -> Iterator[Series]:
    given = first["weight"].to_numpy()
    weights = None if (given == given[0]).all() else given
    if kind is FEATURE:
        yield from _feature_profiles(first, weights, bins)
    elif kind is LABEL:
        yield categorical_profile(first["label"].to_pylist(), kind=kind.name, name="", weights=weights)
    else:
        values = first[kind.name].to_numpy().astype(np.float64)
        yield numeric_profile(values, kind=kind.name, name="", weights=weights, bins=bins)


def _feature_profiles(first: pa.Table, weights: Floats | None, bins: int) -> Iterator[Series]:
    """One profile for each feature."""
    numbers, texts = _by_name(first["features_numeric"]), _by_name(first["features_text"])
    for name in sorted(numbers.keys() | texts.keys()):
        rows, values = numbers.get(name, _NONE)
        text_rows, text_values = texts.get(name, _NONE)
        column = np.full(first.num_rows, np.nan)
        column[rows] = values.to_numpy(zero_copy_only=False)
        given = dict(zip(text_rows.tolist(), text_values.to_pylist(), strict=True))
        texts_of_rows = [given.get(row) for row in range(first.num_rows)]
        yield mixed_profile(column, texts_of_rows, kind=FEATURE.name, name=name, weights=weights, bins=bins)


_NONE = (np.empty(0, np.int64), pa.array([], pa.float64()))


def _by_name(column: pa.ChunkedArray) -> dict[str, tuple[NDArray[np.int64], pa.Array]]:
    """Rows and values of each key of a column of maps."""
    maps = pa.concat_arrays(column.chunks)
    rows = np.repeat(np.arange(len(maps)), np.diff(maps.offsets.to_numpy()))
    keys = maps.keys.cast(pa.string()).dictionary_encode()
    codes = keys.indices.to_numpy()
    order = np.argsort(codes, kind="stable")
    limits = np.searchsorted(codes[order], np.arange(len(keys.dictionary) + 1))
    by_name = {}
    for code, name in enumerate(keys.dictionary.to_pylist()):
        chosen = order[limits[code] : limits[code + 1]]
        by_name[name] = (rows[chosen], maps.items.take(pa.array(chosen)))
    return by_name


def _reference_id(key: ModelKey, kind: Kind, source: str, operation: str, first: pa.Table, bins: int) -> str:
    digest = xxhash.xxh3_64(repr((*key, kind.name, operation, bins)).encode())
    for name, at in zip(first["prediction_id"].to_pylist(), first["at"].to_pylist(), strict=True):
        digest.update(f"{at} {name}\n".encode())
    return f"{source}-{kind.name}-{digest.hexdigest()}"


def _reference_rows(
    key: ModelKey,
    kind: Kind,
    source: str,
    reference_id: str,
    operation: str,
    valid_from: int,
    series: list[Series],
    now: float,
) -> pa.Table:
    size = len(series)
    numeric = [one if isinstance(one, NumericProfile) else None for one in series]
    categories = [list(one.categories) if isinstance(one, CategoricalProfile) else [] for one in series]

    def moments(name: str) -> pa.Array:
        return pa.array([None if one is None else getattr(one, name) for one in numeric], pa.float64())

    constants = {**key._asdict(), "reference_id": reference_id, "source": source, "operation": operation}
    return pa.table(
        {
            **{name: pa.array([value] * size, pa.string()) for name, value in constants.items()},
            "series_kind": [kind.name] * size,
            "series_name": [one.name for one in series],
            "series_type": ["categorical" if one is None else "numeric" for one in numeric],
            "rows": [one.rows for one in series],
            "missing": [one.missing for one in series],
            "text": [0.0 if one is None else one.text for one in numeric],
            "cuts": pa.array([[] if one is None else one.cuts.tolist() for one in numeric], pa.list_(pa.float64())),
            "categories": pa.array(categories, pa.list_(pa.string())),
            "counts": pa.array([one.counts.tolist() for one in series], pa.list_(pa.float64())),
            **{name: moments(name) for name in ("mean", "stddev", "min", "max")},
            "valid_from": pa.array([valid_from] * size, pa.timestamp("ns", "UTC")),
            "created_at": pa.array([int(now * 1000)] * size, pa.timestamp("ms", "UTC")),
        }
    )
