"""Counts of stored predictions on the edges of a reference, by window: SQL in, arrays out.

A numeric value finds its bin by an ASOF JOIN with the cut points, each name led by -inf. Bins, categories and texts among numbers
are numbered through ("slots", see `Reference`), so that the engine groups by two integers and no name comes back per row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from . import forms
from .ask import ask
from .keys import KEY_CONDITION, ModelKey, timestamp_sql, window_sql, windows_condition
from .kinds import FEATURE, FEATURE_COLUMNS, LABEL, SCORE, VALUE, Kind
from .references import Reference

Floats = NDArray[np.float64]

MOST_UNSEEN = 5
"""Values that the reference does not list and that are named, for each series of a window."""
_MOST_KEYS = 100_000
_SHOWN_LETTERS = 100

_LAYOUT = """
layout AS (
    SELECT toString(series_name) AS series, series_type = 'numeric' AS is_numeric, cuts, categories,
        if(is_numeric, length(cuts), length(categories)) + 2 AS width,
        sum(width) OVER (ORDER BY series ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) - width AS before,
        toUInt32(before + width) AS last,
        if(isFinite(ifNull(mean, nan)), ifNull(mean, 0.), 0.) AS origin
    FROM {references}
)"""

# A number in a categorical series is one of its categories, or unseen; a text in a numeric one has the slot behind its bins.
_NUMERIC = """
WITH {layout},
edges AS (
    SELECT series, cut, slot, origin FROM layout ARRAY JOIN
        if(is_numeric, arrayConcat([-inf], cuts), [-inf]) AS cut,
        if(is_numeric, arrayMap(i -> toUInt32(before + i), range(1, length(cuts) + 2)), [toUInt32(last - 1)]) AS slot
)
SELECT window, edge.slot AS slot, sum(weight) AS weights,
    sum(weight * (value - edge.origin) AS moment) AS first_moment, sum(moment * (value - edge.origin)) AS second_moment,
    min(value) AS low, max(value) AS high, groupUniqArrayIf({limit})(toString(name), slot = 0) AS names
FROM ({source}) AS observed ASOF LEFT JOIN edges AS edge ON observed.name = edge.series AND observed.value >= edge.cut
GROUP BY window, slot
"""

_NUMBERS_AS_CATEGORIES = """
WITH {layout},
known AS (
    SELECT series, assumeNotNull({number}) AS number, min(slot) AS place FROM layout ARRAY JOIN
        categories AS category, arrayMap(i -> toUInt32(before + i), arrayEnumerate(categories)) AS slot
    WHERE NOT is_numeric AND {number} IS NOT NULL GROUP BY series, number
),
(SELECT groupArray((series, toUInt32(last - 1))) FROM layout WHERE NOT is_numeric) AS unseen
SELECT window, known.place AS slot, transform(toString(name), unseen.1, unseen.2, toUInt32(0)) AS before, sum(weight) AS weights
FROM ({source}) AS observed INNER JOIN known ON observed.name = known.series AND observed.value + 0. = known.number
GROUP BY window, slot, before
"""

_TEXT = """
WITH {layout},
known AS (
    SELECT series, {category} AS key, min(slot) AS place FROM layout ARRAY JOIN
        categories AS category, arrayMap(i -> toUInt32(before + i), arrayEnumerate(categories)) AS slot
    WHERE NOT is_numeric GROUP BY series, key
),
(SELECT groupArray((series, if(is_numeric, last, toUInt32(last - 1)))) FROM layout) AS otherwise
SELECT window, if(known.place > 0, known.place, transform(toString(name), otherwise.1, otherwise.2, toUInt32(0))) AS slot,
    sum(weight) AS weights, groupUniqArrayIf({limit})(toString(name), slot = 0) AS names
FROM ({source}) AS observed LEFT ANY JOIN known ON observed.name = known.series AND {value} = known.key
GROUP BY window, slot
"""

_UNSEEN = """
WITH {layout}
SELECT window, toString(name) AS name, substringUTF8(toString(value), 1, {letters}) AS shown, sum(weight) AS weights
FROM ({source}) AS observed
INNER JOIN (SELECT series, {known} AS listed FROM layout WHERE NOT is_numeric) AS known ON observed.name = known.series
WHERE (window, name) IN ({places}) AND NOT has(known.listed, {key})
GROUP BY window, name, shown ORDER BY window, name, weights DESC, shown LIMIT {most} BY window, name
"""

_NAMES = """
SELECT window, groupUniqArrayArray({limit})(arrayConcat(mapKeys(features_numeric), mapKeys(features_text))) AS names
FROM ({source}) GROUP BY window
"""


@dataclass(frozen=True)
class Rows:
    """Which predictions are counted: those of one operation in some windows of one model."""

    key: ModelKey
    operation: str
    starts: tuple[int, ...]
    length: int
    after: int | None = None
    """Only rows later than this; nanoseconds."""
    feature_columns: frozenset[str] = frozenset(FEATURE_COLUMNS)
    """Those of the two that hold anything: a query on an empty one costs as much as on any other."""

    def select(self, kind: Kind, columns: str) -> str:
        """Subquery with the start of the window, the weight and `columns` of each row."""
        after = "" if self.after is None else f" AND time > {timestamp_sql(self.after)}"
        return (
            f"SELECT {window_sql(self.length)} AS window, weight, {columns} FROM ml_predictions WHERE {KEY_CONDITION}"
            f" AND {windows_condition(self.starts, self.length)} AND operation = {{operation:String}} AND {kind.counted}{after}"
        )

    @property
    def parameters(self) -> dict[str, str]:
        """Parameters of the subquery."""
        return {**self.key._asdict(), "operation": self.operation}


@dataclass
class Rollup:
    """Sums by window and slot: arrays of shape (windows, slots). Moments are those of values less the reference's mean."""

    starts: NDArray[np.int64]
    weights: Floats
    first_moment: Floats
    second_moment: Floats
    low: Floats
    high: Floats
    unknown: dict[int, set[str]] = field(default_factory=dict)
    """Names without a series in the reference, by start of the window."""

    @classmethod
    def empty(cls, starts: Sequence[int], slots: int) -> Rollup:
        """No rows at all."""
        shape = (len(starts), slots)
        infinite = np.full(shape, np.inf)
        return cls(
            np.array(sorted(starts), np.int64), np.zeros(shape), np.zeros(shape), np.zeros(shape), infinite, -infinite
        )

    def add(self, table: pa.Table) -> None:
        """Add the result of a query."""
        columns = {name: table.column(name).to_numpy() for name in table.column_names if name != "names"}
        at = (np.searchsorted(self.starts, columns["window"]), columns["slot"])
        self.weights[at] += columns["weights"]
        if "low" in columns:
            self.first_moment[at] += columns["first_moment"]
            self.second_moment[at] += columns["second_moment"]
            self.low[at] = np.minimum(self.low[at], columns["low"])
            self.high[at] = np.maximum(self.high[at], columns["high"])
        unknown = table.filter(pa.compute.equal(table.column("slot"), 0))
        self.add_names(unknown.column("window").to_pylist(), unknown.column("names").to_pylist())

    def move(self, table: pa.Table) -> None:
        """Count weights in another slot than the one `before`."""
        columns = {name: table.column(name).to_numpy() for name in table.column_names}
        place = np.searchsorted(self.starts, columns["window"])
        np.add.at(self.weights, (place, columns["slot"]), columns["weights"])
        np.subtract.at(self.weights, (place, columns["before"]), columns["weights"])
        self.weights[self.weights < 0] = 0.0  # of rounding

    def add_names(self, starts: list[int], names: list[list[str]]) -> None:
        """Add names that the reference does not know."""
        for start, some in zip(starts, names, strict=True):
            self.unknown.setdefault(start, set()).update(some)


def roll_up(client: Any, kind: Kind, rows: Rows, reference: Reference, limit: int, settings: dict[str, Any]) -> Rollup:
    """Counts of one kind of series on the edges of `reference`; at most `limit` unknown names per window and type."""
    rollup = Rollup.empty(rows.starts, reference.slots)
    name, named = _names(kind, reference)
    parameters = {**rows.parameters, **reference.parameters(), **named}
    expressions = {
        "layout": _layout(reference),
        "limit": limit,
        "number": forms.number_of("category"),
        **_keys(reference),
    }
    for statement, source in _sources(kind, rows, name):
        rollup.add(ask(client, statement.format(source=source, **expressions), parameters, settings))
        if statement is _NUMERIC and reference.has_numbers_as_categories:
            sql = _NUMBERS_AS_CATEGORIES.format(source=source, **expressions)
            rollup.move(ask(client, sql, parameters, settings))
    return rollup


def _layout(reference: Reference) -> str:
    return _LAYOUT.format(references=reference.rows_sql)


def _keys(reference: Reference) -> dict[str, str]:
    """Return the SQL keys by which categories and values are compared."""
    if not reference.has_dates:
        return {"category": "category", "value": "observed.value"}
    return {"category": forms.date_key("category"), "value": forms.date_key("observed.value")}


def names_without_reference(client: Any, rows: Rows, limit: int, settings: dict[str, Any]) -> dict[int, set[str]]:
    """Names of the features in each window, for a model without a reference."""
    sql = _NAMES.format(source=rows.select(FEATURE, "features_numeric, features_text"), limit=limit)
    found = ask(client, sql, rows.parameters, settings)
    return {row["window"]: set(row["names"]) for row in found.to_pylist()}


def unseen_values(
    client: Any,
    kind: Kind,
    rows: Rows,
    reference: Reference,
    places: Sequence[tuple[int, str]],
    settings: dict[str, Any],
) -> dict[tuple[int, str], list[tuple[str, float]]]:
    """The most frequent values that the reference does not list, with their weights, by window and name of the series.

    However many there are, the engine keeps the first `_MOST_KEYS` of them: a frequent one is early among those.
    """
    name, named = _names(kind, reference)
    numbers = {of_series: i for i, of_series in enumerate(dict.fromkeys(of_series for _, of_series in places))}
    series = {f"series_{i}": of_series for of_series, i in numbers.items()}
    chosen = ", ".join(f"(toInt64({start}), {{series_{numbers[of_series]}:String}})" for start, of_series in places)
    limits = {"max_rows_to_group_by": str(_MOST_KEYS), "group_by_overflow_mode": "'any'"}
    found: dict[tuple[int, str], list[tuple[str, float]]] = {}
    for statement, source in _sources(kind, rows, name):
        keys = (
            {"category": forms.number_of("category"), "value": "value"} if statement is _NUMERIC else _keys(reference)
        )
        sql = _UNSEEN.format(
            layout=_layout(reference),
            source=source,
            places=chosen,
            known=f"arrayMap(category -> {keys['category']}, categories)",
            key=keys["value"],
            letters=_SHOWN_LETTERS,
            most=MOST_UNSEEN,
        )
        parameters = {**rows.parameters, **reference.parameters(), **named, **series}
        for row in ask(client, sql, parameters, {**settings, **limits}).to_pylist():
            found.setdefault((row["window"], row["name"]), []).append((row["shown"], row["weights"]))
    return {
        place: sorted(values, key=lambda value: (-value[1], value[0]))[:MOST_UNSEEN] for place, values in found.items()
    }


def _names(kind: Kind, reference: Reference) -> tuple[str, dict[str, str]]:
    """Expression of the name under which the reference knows a feature, and its parameters."""
    return forms.name_of([one.name for one in reference.series]) if kind is FEATURE else ("name", {})


def _sources(kind: Kind, rows: Rows, name: str) -> list[tuple[str, str]]:
    if kind is FEATURE:
        numbers, texts = FEATURE_COLUMNS
        found = [
            (_NUMERIC, _exploded(rows, numbers, name, "NOT isNaN(value)")),
            (_TEXT, _exploded(rows, texts, name, "1")),
        ]
        return [query for query, column in zip(found, FEATURE_COLUMNS, strict=True) if column in rows.feature_columns]
    if kind is LABEL:
        return [(_TEXT, _single(rows, LABEL, "label"))]
    return [(_NUMERIC, _single(rows, kind, {SCORE: "score", VALUE: "value"}[kind]))]


def _exploded(rows: Rows, column: str, known_as: str, condition: str) -> str:
    return (
        f"SELECT window, weight, {known_as} AS name, value FROM"
        f" (SELECT window, weight, mapKeys({column}) AS names, mapValues({column}) AS values FROM ({rows.select(FEATURE, column)}))"
        f" ARRAY JOIN names AS name, values AS value WHERE {condition}"
    )


def _single(rows: Rows, kind: Kind, column: str) -> str:
    selected = rows.select(kind, f"{column} AS output")
    return f"SELECT window, weight, '' AS name, assumeNotNull(output) AS value FROM ({selected} AND {kind.carried})"
