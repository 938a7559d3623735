"""What each series looked like in each window: census, counts and moments put together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from modelspan.processor.stats.effective import effective_rows
from modelspan.profile import NumericProfile

from . import baseline
from .census import Counted, WindowCensus
from .keys import ModelKey
from .kinds import FEATURE, KINDS, Kind
from .references import Reference, References, Series
from .rollup import Floats, Rollup, Rows, names_without_reference, roll_up
from .settings import Settings

_NOTHING = Counted(0, 0, 0.0, 0.0)
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Observation:
    """One series in one window. `counts` are weights on the bins of `series`; both are absent without a reference."""

    kind: str
    name: str
    counted: Counted
    reference: Reference | None = None
    series: Series | None = None
    counts: Floats | None = None
    missing: float = 0.0
    mismatched: float = 0.0
    """Part of `missing`: weight of the values that came as text for a numeric series, or as numbers for a categorical one."""
    mean: float | None = None
    stddev: float | None = None
    low: float | None = None
    high: float | None = None
    note: str = ""
    """Why there is no reference."""


Observations = dict[int, list[Observation]]
"""By start of the window."""


def observe(
    client: Any, key: ModelKey, windows: dict[int, WindowCensus], references: References, settings: Settings
) -> Observations:
    """All series of the windows."""
    found: Observations = {start: [] for start in windows}
    for kind in KINDS:
        reference = references.get(kind.name)
        for operation, starts in _by_operation(kind, windows, reference, settings).items():
            compared = [
                start for start in starts if _comparable(windows[start], kind, operation, start, reference, settings)
            ]
            if reference is not None and compared:
                _compare(client, key, kind, operation, compared, windows, reference, settings, found)
            alone = sorted(set(starts) - set(compared))
            if operation and alone:
                _without_reference(client, key, kind, operation, alone, windows, reference, settings, found)
    return found


def _by_operation(
    kind: Kind, windows: dict[int, WindowCensus], reference: Reference | None, settings: Settings
) -> dict[str, list[int]]:
    """Windows by the operation that stands for the kind; empty where none does."""
    grouped: defaultdict[str, list[int]] = defaultdict(list)
    for start, window in windows.items():
        operation = window.operation(kind, reference) or ""
        if not operation and reference is not None and _ends_in(reference, start, settings):
            operation = reference.operation
        grouped[operation].append(start)
    return grouped


def _ends_in(reference: Reference, start: int, settings: Settings) -> bool:
    """Whether the last row of a baseline lies in the window."""
    return reference.is_baseline and start <= reference.valid_from < start + settings.length_ns


def _comparable(
    window: WindowCensus, kind: Kind, operation: str, start: int, reference: Reference | None, settings: Settings
) -> bool:
    """Whether the window may be compared: a baseline says nothing of windows before it, and of its last only if enough is left."""
    if reference is None or not reference.holds_for(start + settings.length_ns):
        return False
    if not _ends_in(reference, start, settings):
        return True
    counted = window.counted[kind.name].get(operation, _NOTHING)
    return effective_rows(counted.weight, counted.weight_squared) >= settings.min_rows


def _compare(
    client: Any,
    key: ModelKey,
    kind: Kind,
    operation: str,
    starts: list[int],
    windows: dict[int, WindowCensus],
    reference: Reference,
    settings: Settings,
    found: Observations,
) -> None:
    after = reference.valid_from if reference.is_baseline else None
    rows = Rows(key, operation, tuple(starts), settings.length_ns, after)
    rollup = roll_up(client, kind, rows, reference, settings.max_unknown_names, settings.query)
    for place, start in enumerate(rollup.starts.tolist()):
        counted = windows[start].counted[kind.name].get(operation, _NOTHING)
        found[start] += _known(kind, counted, rollup, place, reference)
        if kind is FEATURE:
            found[start] += [Observation(kind.name, name, counted) for name in sorted(rollup.unknown.get(start, ()))]


def _known(kind: Kind, counted: Counted, rollup: Rollup, place: int, reference: Reference) -> Iterator[Observation]:
    for base, series in zip(reference.bases, reference.series, strict=True):
        bins = slice(base, base + len(series.counts))
        counts = rollup.weights[place, bins]
        present = float(counts.sum())
        absent = counted.weight - present
        yield Observation(
            kind.name,
            series.name,
            counted,
            reference,
            series,
            counts,
            missing=absent if absent > _ROUNDING * counted.weight else 0.0,
            mismatched=float(rollup.weights[place, bins.stop]),
            **(
                _moments(rollup, place, bins, series, present) if isinstance(series, NumericProfile) and present else {}
            ),
        )


def _moments(
    rollup: Rollup, place: int, bins: slice, series: NumericProfile, present: float
) -> dict[str, float | None]:
    """Mean and standard deviation of the values, none where one of them is infinite; the extremes."""
    shift = float(rollup.first_moment[place, bins].sum()) / present
    variance = float(rollup.second_moment[place, bins].sum()) / present - shift * shift
    is_finite = np.isfinite(shift) and np.isfinite(variance)
    return {
        "mean": (series.mean or 0.0) + shift if is_finite else None,
        "stddev": float(np.sqrt(max(0.0, variance))) if is_finite else None,
        "low": float(rollup.low[place, bins].min()),
        "high": float(rollup.high[place, bins].max()),
    }


def _without_reference(
    client: Any,
    key: ModelKey,
    kind: Kind,
    operation: str,
    starts: list[int],
    windows: dict[int, WindowCensus],
    reference: Reference | None,
    settings: Settings,
    found: Observations,
) -> None:
    notes = dict(zip(starts, _notes(client, key, kind, operation, starts, reference, settings), strict=True))
    rows = Rows(key, operation, tuple(starts), settings.length_ns)
    names = (
        names_without_reference(client, rows, settings.max_unknown_names, settings.query)
        if kind is FEATURE
        else {start: {""} for start in starts}
    )
    for start in starts:
        counted = windows[start].counted[kind.name].get(operation, _NOTHING)
        for name in sorted(names.get(start, ())):
            found[start].append(Observation(kind.name, name, counted, note=notes[start]))


def _notes(
    client: Any,
    key: ModelKey,
    kind: Kind,
    operation: str,
    starts: list[int],
    reference: Reference | None,
    settings: Settings,
) -> list[str]:
    """Why the windows are not compared, in words."""
    size = settings.first_predictions
    if size == 0:
        return ["No reference was set, and first predictions are not used as one."] * len(starts)
    ends = [start + settings.length_ns for start in starts]
    reached = baseline.progress(client, key, kind, operation, ends, settings)
    return [
        f"The first {size} predictions are the reference; they end in this window, and too few rows follow."
        if reference is not None and reference.holds_for(end)
        else f"The first {size} predictions become the reference: being collected, {rows} of {size} rows."
        for end, rows in zip(ends, reached, strict=True)
    ]
