"""Why a saved query found nothing: names that the store does not know, or nothing stored or judged yet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from modelspan.queries.catalog import SavedQuery, hint, listed
from modelspan.queries.result import run

_MOST_NAMES = 1000
_MOST_LISTED = 10

_SEEN = """(
    SELECT service_name, model_name, model_version FROM ml_models
    UNION DISTINCT SELECT service_name, model_name, model_version FROM ml_windows
)"""

_NAMES = {"model": "model_name", "service": "service_name", "version": "model_version"}
"""Columns by parameter."""

_STATE = """
SELECT
    (SELECT count() FROM ml_predictions) AS predictions,
    (SELECT count() FROM ml_windows) AS windows
"""


def reasons(client: Any, query: SavedQuery, parameters: Mapping[str, str]) -> list[str]:
    """Sentences on what the store knows of its emptiness; none where the answer may well be that there is nothing."""
    ((predictions, windows),) = _rows(client, _STATE)
    if predictions == 0:
        return ["no prediction is stored yet."]
    if windows == 0 and "_windows" in query.sql:
        return [
            f"{predictions:,} predictions are stored, but no window of them has been judged yet: that is done soon after a window "
            "has ended (windows.length)."
        ]
    return list(_unknown(client, query, parameters)) or list(_outside(client, query, parameters))


def _unknown(client: Any, query: SavedQuery, parameters: Mapping[str, str]) -> Iterator[str]:
    model = {"model": parameters.get("model", "")}
    for name, column in _NAMES.items():
        of_model = "{model:String} IN ('', model_name)" if name == "version" else "1"
        known = _names(client, f"SELECT DISTINCT {column} FROM {_SEEN} WHERE {of_model}", model)
        if parameters.get(name) and parameters[name] not in known:
            yield f"there is no {name} {parameters[name]!r}{_known(parameters[name], known)}"
            return
    kind, feature = parameters.get("kind", ""), parameters.get("feature")
    judged = "FROM ml_drift WHERE {model:String} IN ('', model_name)"
    kinds = _names(client, f"SELECT DISTINCT toString(series_kind) {judged}", model)
    if kind and kind not in kinds:
        yield f"no series of the kind {kind} was judged{_known(kind, kinds)}"
    elif feature or (feature == "" and kind == "feature"):
        of_kind = f"SELECT DISTINCT series_name {judged} AND {{kind:String}} IN ('', series_kind)"
        known = _names(client, of_kind, {**model, "kind": kind})
        if feature not in known:
            wanted = (
                f"there is no {kind or 'series'} {feature!r}" if feature else "feature=NAME says which feature is meant"
            )
            yield f"{wanted}{_known(feature, known)}"


_PERIODS = (
    ("ml_drift", "window_start", "ml_windows", "window"),
    ("_windows", "window_start", "ml_windows", "window"),
    ("ml_predictions", "time", "ml_predictions", "prediction"),
)
"""The tables that a query reads, and by which time of which table its period is chosen."""


def _outside(client: Any, query: SavedQuery, parameters: Mapping[str, str]) -> Iterator[str]:
    """A period that ends before anything is stored. One that ends later has an end within the store."""
    end = next((name for name in ("until", "at") if parameters.get(name)), None)
    found = next((period for period in _PERIODS if period[0] in query.sql), None)
    if end is None or found is None:
        return
    _, column, table, what = found
    given = {name: parameters.get(name, "") for name in _NAMES} | {"end": parameters[end]}
    chosen = " AND ".join(f"{{{name}:String}} IN ('', {column})" for name, column in _NAMES.items())
    first = f"SELECT toString(min({column})) FROM {table} WHERE {chosen} HAVING count() > 0"
    rows = _rows(client, f"{first} AND min({column}) > {{end:DateTime64(3, 'UTC')}}", given)
    for (since,) in rows:
        yield f"{end}={parameters[end]} is before the first {what}, which is of {since} (UTC)."


def _known(name: str, known: list[str]) -> str:
    more = ", ..." if len(known) > _MOST_LISTED else "."
    return f"{hint(name, known)} The store has {listed(known[:_MOST_LISTED])}{more}" if known else "."


def _names(client: Any, sql: str, parameters: Mapping[str, str]) -> list[str]:
    return [name for (name,) in _rows(client, f"{sql} ORDER BY 1 LIMIT {_MOST_NAMES}", parameters) if name]


def _rows(client: Any, sql: str, parameters: Mapping[str, str] | None = None) -> list[tuple[Any, ...]]:
    with run(client, sql, parameters or {}) as result:
        return list(result.rows)
