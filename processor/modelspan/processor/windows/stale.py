"""Windows whose stored verdict no longer says what the store holds: found by looking, at start and when a reference changes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from . import references
from .ask import ask
from .basis import Basis
from .keys import KEY_COLUMNS, KEY_CONDITION, MILLISECOND, ModelKey, before_sql, timestamp_sql, window_sql
from .settings import Settings

_MODELS = f"""
SELECT {KEY_COLUMNS}, toUnixTimestamp64Nano(min(time)) AS first, toUnixTimestamp64Nano(max(time)) AS last
FROM ml_predictions WHERE inserted_at >= {{since}} AND {{which}} GROUP BY {KEY_COLUMNS} ORDER BY {KEY_COLUMNS}
"""

_WINDOWS = """
SELECT {window} AS window, count() AS rows, toUnixTimestamp64Milli(min(inserted_at)) AS stored FROM ml_predictions
WHERE {key} AND time >= {first} AND {until}
GROUP BY window HAVING max(inserted_at) >= {since} ORDER BY window
"""

_OF_REFERENCE = f"""
(model_name = {{name:String}} AND (model_version = {{version:String}} OR {{version:String}} = '')
OR ({KEY_COLUMNS}) IN
(
    SELECT {KEY_COLUMNS} FROM ml_models FINAL WHERE model_digest IN
    (
        SELECT model_digest FROM ml_references
        WHERE model_name = {{name:String}} AND (model_version = {{version:String}} OR {{version:String}} = '')
            AND model_digest != ''
    )
))
"""

_VERDICTS = f"""
SELECT toUnixTimestamp64Milli(window_start) AS start, rows, reference_id, reference_origins,
    dateDiff('second', window_start, window_end) AS length FROM ml_windows FINAL
WHERE {KEY_CONDITION} AND segment = ''
    AND toUnixTimestamp64Milli(window_start) BETWEEN {{first:Int64}} AND {{last:Int64}}
"""


def stale_windows(
    client: Any, settings: Settings, now: float, model: tuple[str, str] | None = None
) -> Iterator[tuple[ModelKey, list[int], int]]:
    """Model, starts of its stale windows, and its newest event time (nanoseconds), model by model.

    A window is stale when its verdict has seen another number of rows, other references, or another length than there are now. Only windows
    that got rows within `recover_within` are looked at. `model` is the name and version of a reference: its windows are those of
    that version (empty: of every one), and of the same fitted model under other names.
    """
    since = f"fromUnixTimestamp64Milli(toInt64({int((now - settings.recover_within) * 1000)}), 'UTC')"
    which, parameters = _which(model)
    sql = _MODELS.format(since=since, which=which)
    for row in ask(client, sql, parameters, settings.query).to_pylist():
        key = ModelKey(*(row[name] for name in ModelKey._fields))
        starts = _of_model(client, key, row["first"], row["last"], since, settings)
        if starts:
            yield key, starts, row["last"]


def _which(model: tuple[str, str] | None) -> tuple[str, dict[str, str]]:
    if model is None:
        return "1", {}
    name, version = model
    return _OF_REFERENCE, {"name": name, "version": version}


def _of_model(client: Any, key: ModelKey, first: int, last: int, since: str, settings: Settings) -> list[int]:
    length = settings.length_ns
    first -= first % length
    sql = _WINDOWS.format(
        window=window_sql(length),
        key=KEY_CONDITION,
        first=timestamp_sql(first),
        until=before_sql(last - last % length + length),
        since=since,
    )
    held = ask(client, sql, key._asdict(), settings.query)
    limits = {"first": first // MILLISECOND, "last": last // MILLISECOND}
    judged = ask(client, _VERDICTS, {**key._asdict(), **limits}, settings.query).to_pylist()
    verdicts = {row.pop("start") * MILLISECOND: Basis(**row) for row in judged}
    candidates = references.load(client, key, settings.query, settings.min_rows)
    columns = (np.asarray(held[name]).tolist() for name in ("window", "rows", "stored"))
    bases = {
        start: Basis.of(rows, settings.length, candidates.chosen(stored, start, start + length))
        for start, rows, stored in zip(*columns, strict=True)
    }
    return [start for start, basis in bases.items() if start not in verdicts or verdicts[start].is_stale(basis)]
