"""How many predictions each window holds, by operation and kind: what is known before any value is looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from .ask import ask
from .keys import KEY_CONDITION, ModelKey, timestamp_sql, window_sql, windows_condition
from .kinds import FEATURE_COLUMNS, KINDS, Kind
from .references import Reference, References


class Counted(NamedTuple):
    """Rows that count for a kind of series."""

    rows: int
    carrying: int
    """Rows with a value of that kind."""
    weight: float
    weight_squared: float


@dataclass
class WindowCensus:
    """Rows of one window."""

    rows: int = 0
    """All of them, also those that count for nothing."""
    feature_columns: set[str] = field(default_factory=set)
    """Those of the two that hold anything."""
    counted: dict[str, dict[str, Counted]] = field(default_factory=lambda: {kind.name: {} for kind in KINDS})
    """By kind, then by operation."""

    def operation(self, kind: Kind, reference: Reference | None) -> str | None:
        """Operation whose rows stand for this kind: that of the reference, else the one with most values; None without any."""
        operations = {name: one for name, one in self.counted[kind.name].items() if one.carrying}
        if reference is not None and reference.operation and kind.name != "feature":
            return reference.operation if reference.operation in operations else None
        return min(operations, key=lambda name: (-operations[name].carrying, name), default=None)


def stored_since(
    client: Any, key: ModelKey, starts: Sequence[int], length: int, settings: Mapping[str, Any]
) -> dict[int, int]:
    """Time at which the first prediction of each window was stored (milliseconds), by start of the window."""
    sql = (
        f"SELECT {window_sql(length)} AS window, toUnixTimestamp64Milli(min(inserted_at)) AS since FROM ml_predictions"
        f" WHERE {KEY_CONDITION} AND {windows_condition(starts, length)} GROUP BY window"
    )
    return {row["window"]: row["since"] for row in ask(client, sql, key._asdict(), settings).to_pylist()}


def take(
    client: Any,
    key: ModelKey,
    starts: Sequence[int],
    length: int,
    references: References,
    settings: Mapping[str, Any],
) -> dict[int, WindowCensus]:
    """Census of the windows that hold rows. In the window in which a baseline ends, only rows behind it count for its kind."""
    sums = ", ".join(_sums(kind, references.get(kind.name), length) for kind in KINDS)
    carried = ", ".join(f"max(notEmpty({column})) AS {column}_carried" for column in FEATURE_COLUMNS)
    sql = (
        f"SELECT {window_sql(length)} AS window, toString(operation) AS called, count() AS rows, {carried}, {sums}"
        " FROM ml_predictions"
        f" WHERE {KEY_CONDITION} AND {windows_condition(starts, length)} GROUP BY window, called ORDER BY window, called"
    )
    found: dict[int, WindowCensus] = {}
    for row in ask(client, sql, key._asdict(), settings).to_pylist():
        window = found.setdefault(row["window"], WindowCensus())
        window.rows += row["rows"]
        window.feature_columns.update(column for column in FEATURE_COLUMNS if row[f"{column}_carried"])
        for kind in KINDS:
            window.counted[kind.name][row["called"]] = Counted(
                *(row[f"{kind.name}_{part}"] for part in Counted._fields)
            )
    return found


def _sums(kind: Kind, reference: Reference | None, length: int) -> str:
    counted = kind.counted
    if reference is not None and reference.baseline is not None:
        last = reference.baseline.valid_from
        counted += f" AND (time > {timestamp_sql(last)} OR time < {timestamp_sql(last // length * length)})"
    return (
        f"countIf({counted}) AS {kind.name}_rows, countIf({counted} AND {kind.carried}) AS {kind.name}_carrying,"
        f" sumIf(weight, {counted}) AS {kind.name}_weight,"
        f" sumIf(weight * weight, {counted}) AS {kind.name}_weight_squared"
    )
