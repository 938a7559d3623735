"""What each series looked like in each window: census, counts and moments put together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from modelspan.processor.stats.effective import effective_rows
from modelspan.processor.stats.series import CHI2
from modelspan.profile import CategoricalProfile, NumericProfile

from . import baseline
from .census import Counted, WindowCensus
from .keys import ModelKey
from .kinds import FEATURE, KINDS, Kind
from .references import FIRST_PREDICTIONS, PROVISIONAL, Reference, References, Series, Source
from .rollup import Floats, Rollup, Rows, names_without_reference, roll_up, unseen_values
from .settings import Settings

_NOTHING = Counted(0, 0, 0.0, 0.0)
_ROUNDING = 1e-9
MOST_NAMED = 20
"""Series of a window of which values are named that the reference does not list: those with most of them."""


@dataclass(frozen=True)
class Observation:
    """One series in one window. `counts` are weights on the bins of `series`; both are absent without a reference."""

    kind: str
    name: str
    counted: Counted
    reference: Source | None = None
    series: Series | None = None
    counts: Floats | None = None
    missing: float = 0.0
    text: float = 0.0
    """Weight of the values of a numeric series that are texts."""
    mean: float | None = None
    stddev: float | None = None
    low: float | None = None
    high: float | None = None
    note: str = ""
    """Why there is no reference."""
    unseen: tuple[tuple[str, float], ...] = ()
    """Most frequent values that the reference does not list, with their weights; only where they became more frequent."""
    caveat: str = ""
    """Note for people on a provisional reference, with the progress of the full one."""


Observations = dict[int, list[Observation]]
"""By start of the window."""


def observe(
    client: Any, key: ModelKey, windows: dict[int, WindowCensus], references: References, settings: Settings
) -> Observations:
    """All series of the windows."""
    found: Observations = {start: [] for start in windows}
    for kind in KINDS:
        observer = _Observer(client, key, kind, windows, references.get(kind.name), settings)
        for start, observations in observer.observe():
            found[start] += observations
    return found


@dataclass(frozen=True)
class _Observer:
    """Looks at one kind of series."""

    client: Any
    key: ModelKey
    kind: Kind
    windows: dict[int, WindowCensus]
    reference: Reference | None
    settings: Settings

    def observe(self) -> Iterator[tuple[int, list[Observation]]]:
        """Starts of windows and what was seen in them."""
        for operation, starts in self._by_operation().items():
            compared = [start for start in starts if self._is_comparable(start, operation)]
            if self.reference is not None and compared:
                yield from self._compare(self.reference, operation or "", compared)
            alone = [start for start in starts if start not in compared]
            if operation is not None and alone:
                yield from self._without_reference(operation, alone)

    def _by_operation(self) -> dict[str | None, list[int]]:
        """Windows by the operation that stands for the kind; None where none does."""
        grouped: defaultdict[str | None, list[int]] = defaultdict(list)
        for start, window in sorted(self.windows.items()):
            operation = window.operation(self.kind, self.reference)
            if operation is None and self.reference is not None and self._is_last_of_baseline(start):
                operation = self.reference.operation
            grouped[operation].append(start)
        return grouped

    def _is_comparable(self, start: int, operation: str | None) -> bool:
        """A baseline says nothing of windows before it, and of the window in which it ends only if enough rows follow."""
        if self.reference is None:
            return False
        if not self._is_last_of_baseline(start):
            return True
        counted = self._counted(start, operation or "")
        return effective_rows(counted.weight, counted.weight_squared) >= self.settings.min_rows

    def _is_last_of_baseline(self, start: int) -> bool:
        baseline = self._baseline
        return baseline is not None and 0 <= baseline.valid_from - start < self.settings.length_ns

    @property
    def _baseline(self) -> Source | None:
        return None if self.reference is None else self.reference.baseline

    def _counted(self, start: int, operation: str) -> Counted:
        return self.windows[start].counted[self.kind.name].get(operation, _NOTHING)

    def _compare(
        self, reference: Reference, operation: str, starts: list[int]
    ) -> Iterator[tuple[int, list[Observation]]]:
        after = reference.baseline.valid_from if reference.baseline else None
        carried = frozenset().union(*(self.windows[start].feature_columns for start in starts))
        rows = Rows(self.key, operation, tuple(starts), self.settings.length_ns, after, carried)
        limit = self.settings.max_unknown_names
        rollup = roll_up(self.client, self.kind, rows, reference, limit, self.settings.query)
        caveats = self._caveats(reference, operation, rollup.starts.tolist())
        unseen = self._unseen(reference, rows, rollup)
        for place, start in enumerate(rollup.starts.tolist()):
            counted = self._counted(start, operation)
            known = [
                replace(one, caveat=_caveat(one, caveats[place]), unseen=tuple(unseen.get((start, one.name), ())))
                for one in _known(self.kind, counted, rollup, place, reference)
            ]
            if self.kind is FEATURE:
                unknown = sorted(rollup.unknown.get(start, ()))[:limit]
                known += [Observation(self.kind.name, name, counted) for name in unknown]
            yield start, known

    def _unseen(
        self, reference: Reference, rows: Rows, rollup: Rollup
    ) -> dict[tuple[int, str], list[tuple[str, float]]]:
        """Names for what the reference does not list, where there is more of it than tolerated and than chance brings."""
        more: defaultdict[int, list[tuple[float, str]]] = defaultdict(list)
        tolerated = self.settings.tolerance.get(CHI2, 0.0)
        for base, series in zip(reference.bases, reference.series, strict=True):
            if isinstance(series, CategoricalProfile) and series.categories and series.rows > 0:
                bins = rollup.weights[:, base : base + len(series.counts)]
                present = np.maximum(bins.sum(axis=1), 1e-300)
                before = min(1.0, float(series.counts[-1]) / series.rows)
                excess = bins[:, -1] / present - before - tolerated - 3 * np.sqrt(before * (1 - before) / present)
                for start, of_window in zip(rollup.starts[excess > 0].tolist(), excess[excess > 0], strict=True):
                    more[start].append((-float(of_window), series.name))
        places = [(start, name) for start, some in more.items() for _, name in sorted(some)[:MOST_NAMED]]
        if not places:
            return {}
        return unseen_values(self.client, self.kind, rows, reference, places, self.settings.query)

    def _without_reference(self, operation: str, starts: list[int]) -> Iterator[tuple[int, list[Observation]]]:
        names = {start: {""} for start in starts}
        if self.kind is FEATURE:
            rows = Rows(self.key, operation, tuple(starts), self.settings.length_ns)
            names = names_without_reference(self.client, rows, self.settings.max_unknown_names, self.settings.query)
        for start, note in zip(starts, self._notes(operation, starts), strict=True):
            counted = self._counted(start, operation)
            given = sorted(names.get(start, ()))
            yield start, [Observation(self.kind.name, name, counted, note=note) for name in given]

    def _notes(self, operation: str, starts: list[int]) -> list[str]:
        """Why the windows are not compared, in words."""
        if self.settings.first_predictions == 0:
            return [
                "No reference was set, and drift.first_predictions is 0: first predictions are not used as one."
            ] * len(starts)
        source, size = self._next_baseline()
        reference = "provisional reference" if source == PROVISIONAL else "reference"
        return [
            f"The first {size:,} predictions, which are the {reference}, end in this window: too few follow to be compared."
            if self._is_last_of_baseline(start)
            else f"The first {size:,} predictions become the {reference}: {rows:,} of {size:,} so far."
            for start, rows in zip(starts, self._collected(operation, starts, size), strict=True)
        ]

    def _caveats(self, reference: Reference, operation: str, starts: list[int]) -> list[str]:
        if reference.baseline is None or not reference.baseline.is_provisional:
            return [""] * len(starts)
        few, all_ = self.settings.provisional_predictions, self.settings.first_predictions
        return [
            f"compared with the first {few:,} predictions until the full reference is there: {rows:,} of {all_:,} rows so far."
            for rows in self._collected(operation, starts, all_)
        ]

    def _next_baseline(self) -> tuple[str, int]:
        """Source and rows of the baseline that comes next, or that ends in the window."""
        is_full = self._baseline is not None and self._baseline.source == FIRST_PREDICTIONS
        source = PROVISIONAL if self.settings.is_provisional_wanted and not is_full else FIRST_PREDICTIONS
        return source, self.settings.baseline_rows(source)

    def _collected(self, operation: str, starts: list[int], most: int) -> list[int]:
        ends = [start + self.settings.length_ns for start in starts]
        reached = baseline.progress(self.client, self.key, self.kind, operation, ends, self.settings)
        return [min(rows, most) for rows in reached]


def _caveat(one: Observation, caveat: str) -> str:
    return caveat if one.reference is not None and one.reference.is_provisional else ""


def _known(kind: Kind, counted: Counted, rollup: Rollup, place: int, reference: Reference) -> Iterator[Observation]:
    for base, series, source in zip(reference.bases, reference.series, reference.sources_of, strict=True):
        bins = slice(base, base + len(series.counts))
        counts = rollup.weights[place, bins]
        text = float(rollup.weights[place, bins.stop])
        if source is not reference.sources[0] and not text and not counts.any():
            continue  # the model no longer takes it, says the newer source
        absent = counted.weight - float(counts.sum()) - text
        mean, stddev, low, high = _moments(rollup, place, bins, series)
        yield Observation(
            kind.name,
            series.name,
            counted,
            source,
            series,
            counts,
            missing=absent if absent > _ROUNDING * counted.weight else 0.0,
            text=text,
            mean=mean,
            stddev=stddev,
            low=low,
            high=high,
        )


def _moments(rollup: Rollup, place: int, bins: slice, series: Series) -> tuple[float | None, ...]:
    """Mean and standard deviation of the values, none where one of them is infinite; the extremes."""
    present = float(rollup.weights[place, bins].sum())
    if not isinstance(series, NumericProfile) or present <= 0:
        return None, None, None, None
    with np.errstate(invalid="ignore"):  # infinities of both signs
        shift = float(rollup.first_moment[place, bins].sum()) / present
        variance = float(rollup.second_moment[place, bins].sum()) / present - shift * shift
    low, high = float(rollup.low[place, bins].min()), float(rollup.high[place, bins].max())
    if not (np.isfinite(shift) and np.isfinite(variance)):
        return None, None, low, high
    return (series.mean or 0.0) + shift, float(np.sqrt(max(0.0, variance))), low, high
