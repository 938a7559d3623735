"""Verdicts as rows of `ml_feature_windows`, `ml_drift` and `ml_windows`, and what is already stored of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

import pyarrow as pa

from modelspan.processor.stats import SeriesVerdict
from modelspan.processor.stats.decide import NO_REFERENCE
from modelspan.processor.stats.series import MISSING, TEXT

from .ask import ask
from .basis import Basis
from .keys import KEY_CONDITION, MILLISECOND, ModelKey, stored_windows_condition
from .observe import Observation
from .settings import SECOND
from .verdicts import Judged

FEATURE_WINDOWS: Final = "ml_feature_windows"
DRIFT: Final = "ml_drift"
REPLACED: Final = "ml_replaced_verdicts"
WINDOWS: Final = "ml_windows"
SHARES: Final = (MISSING, TEXT)
"""Kinds of series that have no counts of their own."""

_s, _f64, _u32, _u64, _ms = pa.string(), pa.float64(), pa.uint32(), pa.uint64(), pa.timestamp("ms", "UTC")
_WINDOW = [
    *((name, _s) for name in (*ModelKey._fields, "segment")),
    ("window_start", _ms),
    ("window_end", _ms),
    ("computed_at", _ms),
]
_SERIES = [("series_kind", _s), ("series_name", _s), ("reference_id", _s), ("rows", _u64)]

SCHEMAS: Final = {
    REPLACED: pa.schema(
        [
            *_WINDOW,
            ("replaced_at", _ms),
            ("rows", _u64),
            *((name, _s) for name in ("replaced_because", "reference_id", "reference_origins", "status", "reason")),
            ("tests", _u32),
            ("alpha", _f64),
            ("drifted", pa.list_(_s)),
        ]
    ),
    FEATURE_WINDOWS: pa.schema(
        [
            *_WINDOW,
            *_SERIES,
            *((name, _f64) for name in ("weight", "weight_squared", "missing", "text")),
            ("counts", pa.list_(_f64)),
            ("unseen", pa.map_(_s, _f64)),
            *((name, _f64) for name in ("mean", "stddev", "min", "max")),
        ]
    ),
    DRIFT: pa.schema(
        [
            *_WINDOW,
            *_SERIES,
            *((name, _s) for name in ("reference_source", "method", "status", "severity", "reason")),
            *((name, _f64) for name in ("statistic", "effect", "p_value", "threshold", "tolerance")),
            *((name, _f64) for name in ("smallest_effect", "psi", "js", "wasserstein")),
            *((name, _f64) for name in ("effective_rows", "reference_rows")),
        ]
    ),
    WINDOWS: pa.schema(
        [
            *_WINDOW,
            ("rows", _u64),
            *((name, _s) for name in ("reference_id", "reference_origins", "status", "reason")),
            ("tests", _u32),
            ("alpha", _f64),
            ("drifted", pa.list_(_s)),
        ]
    ),
}

_STORED = """
SELECT toUnixTimestamp64Milli(window_start) AS start, rows, reference_id, reference_origins,
    dateDiff('second', window_start, window_end) AS length, toUnixTimestamp64Milli(computed_at) AS computed_at, toString(status) AS status, tests, alpha, drifted, reason
FROM ml_windows FINAL WHERE {condition}
"""

_SERIES_STORED = """
SELECT toUnixTimestamp64Milli(window_start) AS start, toString(series_kind) AS kind, toString(series_name) AS name
FROM ml_drift FINAL WHERE {condition}
"""


class StoredWindow(NamedTuple):
    """The newest verdict of a window, and what it has seen."""

    rows: int
    reference_id: str
    reference_origins: str
    """Empty: unknown."""
    length: int
    """Seconds."""
    computed_at: int
    """Milliseconds since the epoch."""
    status: str
    tests: int
    alpha: float
    drifted: list[str]
    reason: str

    @property
    def basis(self) -> Basis:
        """Rows, length and references that the verdict rests on."""
        return Basis(self.rows, self.length, self.reference_id, self.reference_origins)


@dataclass(frozen=True)
class Frame:
    """What all rows of one window share."""

    key: ModelKey
    start: int
    length: int
    computed_at: int

    def row(self) -> dict[str, Any]:
        """Its columns."""
        return {
            **self.key._asdict(),
            "segment": "",
            "window_start": self.start // MILLISECOND,
            "window_end": (self.start + self.length) // MILLISECOND,
            "computed_at": self.computed_at,
        }


def stored_windows(
    client: Any, key: ModelKey, starts: Sequence[int], settings: Mapping[str, Any]
) -> dict[int, StoredWindow]:
    """Newest verdicts of the windows, by start."""
    found = _read(client, _STORED, key, starts, settings)
    return {row.pop("start") * MILLISECOND: StoredWindow(**row) for row in found}


def stored_series(
    client: Any, key: ModelKey, starts: Sequence[int], settings: Mapping[str, Any]
) -> dict[int, set[tuple[str, str]]]:
    """Kind and name of the series that have a verdict, by start of the window."""
    series: dict[int, set[tuple[str, str]]] = {}
    for row in _read(client, _SERIES_STORED, key, starts, settings) if starts else ():
        series.setdefault(row["start"] * MILLISECOND, set()).add((row["kind"], row["name"]))
    return series


def _read(
    client: Any, statement: str, key: ModelKey, starts: Sequence[int], settings: Mapping[str, Any]
) -> list[dict[str, Any]]:
    sql = statement.format(condition=f"{KEY_CONDITION} AND segment = '' AND {stored_windows_condition(starts)}")
    rows: list[dict[str, Any]] = ask(client, sql, key._asdict(), settings).to_pylist()
    return rows


class VerdictRows:
    """Collects the rows of several windows."""

    def __init__(self) -> None:
        self._rows: dict[str, list[dict[str, Any]]] = {table: [] for table in SCHEMAS}

    def add(self, frame: Frame, basis: Basis, judged: Judged, stored: Iterable[tuple[str, str]]) -> None:
        """Add a window. Of `stored` series, those that it no longer has get a row that says so."""
        shared, verdict = frame.row(), judged.verdict
        self._rows[WINDOWS].append(
            {
                **shared,
                "rows": basis.rows,
                "reference_id": basis.reference_id,
                "reference_origins": basis.reference_origins,
                "status": verdict.status,
                "tests": verdict.tests,
                "alpha": verdict.alpha,
                "drifted": list(verdict.drifted),
                "reason": verdict.reason,
            }
        )
        gone = set(stored)
        for series, observed in zip(verdict.series, judged.observations, strict=True):
            self._rows[DRIFT].append({**shared, **_drift(series, observed)})
            gone.discard((series.result.kind, series.result.name))
            if observed.series is not None and series.result.kind not in SHARES:
                self._rows[FEATURE_WINDOWS].append({**shared, **_feature_window(observed)})
        for kind, name in sorted(gone):
            self._rows[DRIFT].append({**shared, **_gone(kind, name)})
            if kind not in SHARES:
                self._rows[FEATURE_WINDOWS].append({**shared, **_empty(kind, name)})

    def replaced(self, frame: Frame, basis: Basis, old: StoredWindow) -> None:
        """Keep the verdict that the one of `frame` replaces, with why."""
        self._rows[REPLACED].append(
            {
                **replace(frame, length=old.length * SECOND).row(),
                **old._asdict(),
                "replaced_at": frame.computed_at,
                "replaced_because": old.basis.why_stale(basis),
            }
        )

    def tables(self) -> Iterable[tuple[str, pa.Table]]:
        """Tables in the order in which they are to be stored: the row of the window last, because it says that all is there."""
        return [(name, pa.Table.from_pylist(self._rows[name], schema=schema)) for name, schema in SCHEMAS.items()]


def _drift(verdict: SeriesVerdict, observed: Observation) -> dict[str, Any]:
    result, reference = verdict.result, observed.reference
    return {
        "series_kind": result.kind,
        "series_name": result.name,
        "reference_id": reference.reference_id if reference else "",
        "reference_source": reference.source if reference else "",
        "method": result.method,
        "status": verdict.status,
        "statistic": result.statistic,
        "effect": result.effect,
        "p_value": result.p_value,
        "threshold": verdict.threshold,
        "tolerance": verdict.tolerance,
        "smallest_effect": verdict.smallest_effect,
        "psi": result.psi,
        "js": result.js,
        "wasserstein": result.wasserstein,
        "severity": result.severity,
        "rows": result.rows,
        "effective_rows": result.effective_rows,
        "reference_rows": result.reference_rows,
        "reason": verdict.reason,
    }


def _feature_window(observed: Observation) -> dict[str, Any]:
    assert observed.reference is not None
    assert observed.counts is not None
    return {
        "series_kind": observed.kind,
        "series_name": observed.name,
        "reference_id": observed.reference.reference_id,
        "rows": observed.counted.rows,
        "weight": observed.counted.weight,
        "weight_squared": observed.counted.weight_squared,
        "missing": observed.missing,
        "text": observed.text,
        "counts": observed.counts,
        "unseen": list(observed.unseen),
        "mean": observed.mean,
        "stddev": observed.stddev,
        "min": observed.low,
        "max": observed.high,
    }


_GONE = "The present reference does not have this series."


def _gone(kind: str, name: str) -> dict[str, Any]:
    texts = {"series_kind": kind, "series_name": name, "status": NO_REFERENCE, "severity": "none", "reason": _GONE}
    numbers = dict.fromkeys(("tolerance", "effective_rows", "reference_rows"), 0.0)
    return {**dict.fromkeys(("reference_id", "reference_source", "method"), ""), **texts, **numbers, "rows": 0}


def _empty(kind: str, name: str) -> dict[str, Any]:
    numbers = dict.fromkeys(("weight", "weight_squared", "missing", "text"), 0.0)
    return {
        "series_kind": kind,
        "series_name": name,
        "reference_id": "",
        "rows": 0,
        "counts": [],
        "unseen": [],
        **numbers,
    }
