"""From the results of all series of a window to its verdict."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from modelspan.processor.stats import power
from modelspan.processor.stats.effective import pooled_rows
from modelspan.processor.stats.family import Family, family
from modelspan.processor.stats.series import CHI2, KS, MISSING, PROPORTION, TEXT, SeriesResult
from modelspan.processor.stats.words import percent, percents, shortened

OK = "ok"
DRIFTED = "drifted"
INSUFFICIENT_DATA = "insufficient_data"
NO_REFERENCE = "no_reference"
NONE = "none"
"""Severity of what did not drift."""
MINOR = "minor"
"""Severity of what drifted and has a PSI below all bands: sure, and small."""

ALPHA = 0.05
MIN_ROWS = 100.0
TOLERANCE: Mapping[str, float] = MappingProxyType({KS: 0.01, CHI2: 0.0025, PROPORTION: 0.0025})
"""Changes below these shares of the rows are trivia. They are half of the smallest faults that the benchmark injects (a mean
moved by 0.05 standard deviations is a KS distance of 0.02; one row in 200 with an unseen category)."""


@dataclass(frozen=True)
class SeriesVerdict:
    """Status of one series, and why. `threshold` and `smallest_effect` are None where nothing was tested."""

    result: SeriesResult
    status: str
    tolerance: float
    threshold: float | None
    smallest_effect: float | None
    reason: str


@dataclass(frozen=True)
class WindowVerdict:
    """Status of a window. `tests` could find drift and share `alpha`; `drifted` names the series that drifted, by falling severity."""

    status: str
    tests: int
    alpha: float
    drifted: tuple[str, ...]
    reason: str
    series: tuple[SeriesVerdict, ...]


def decide_window(
    results: Sequence[SeriesResult],
    *,
    alpha: float = ALPHA,
    tolerance: Mapping[str, float] = TOLERANCE,
    min_rows: float = MIN_ROWS,
) -> WindowVerdict:
    """Verdict over all series, with at most `alpha` false alarms among unchanged windows.

    A series drifted when its p is at or below the threshold of the family and its effect is at least the tolerance of its method. It
    has insufficient data when fewer than `min_rows` effective rows of the window or of the reference entered its test.
    """
    attainable = [r.attainable_p if _is_tested(r, min_rows) else 1.0 for r in results]
    decided = family([_p(r) for r in results], attainable, alpha)
    series = tuple(
        _series_verdict(result, decided, adjusted, tolerance, min_rows)
        for result, adjusted in zip(results, decided.adjusted, strict=True)
    )
    status = _window_status(series)
    drifted = sorted((v.result for v in series if v.status == DRIFTED), key=lambda r: -(r.psi or 0.0))
    names = tuple(series_label(result) for result in drifted)
    return WindowVerdict(
        status, decided.tests, alpha, names, _window_reason(status, series, names, decided.tests), series
    )


def series_label(result: SeriesResult) -> str:
    """What people call a series: the name of the feature, or what the model put out."""
    if result.kind in (MISSING, TEXT):
        return f"{result.name} ({result.kind})" if result.name else result.kind
    if result.kind == "feature":
        return result.name
    return f"{result.kind} {result.name}".rstrip()


def _named(result: SeriesResult) -> str:
    """Its label within a sentence."""
    return shortened(series_label(result)) or "''"


def _p(result: SeriesResult) -> float:
    return 1.0 if result.p_value is None else result.p_value


def _is_tested(result: SeriesResult, min_rows: float) -> bool:
    return result.p_value is not None and min(result.effective_rows, result.reference_rows) >= min_rows


def _series_verdict(
    result: SeriesResult, decided: Family, adjusted: float, tolerance: Mapping[str, float], min_rows: float
) -> SeriesVerdict:
    tolerated = tolerance.get(result.method, 0.0)
    label = _named(result)
    p_value, effect = result.p_value, result.effect or 0.0
    harmless = replace(result, severity=NONE)
    if p_value is None:
        return SeriesVerdict(harmless, NO_REFERENCE, tolerated, None, None, f"There is no reference for {label}.")
    if not _is_tested(result, min_rows):
        return SeriesVerdict(harmless, INSUFFICIENT_DATA, tolerated, None, None, _too_few(result, min_rows))
    smallest = max(tolerated, _smallest_effect(result, decided.threshold))
    if p_value > decided.threshold:
        reason = f"{label} shows no drift{_found_nothing(result, decided.threshold, smallest)}."
        return SeriesVerdict(harmless, OK, tolerated, decided.threshold, smallest, reason)
    if effect < tolerated:
        changed, allowed = percents(effect, tolerated, 2)
        reason = f"{label} changed by {changed} of the rows, less than the tolerated {allowed}."
        return SeriesVerdict(harmless, OK, tolerated, decided.threshold, smallest, reason)
    drifted = replace(result, severity=MINOR) if result.severity == NONE else result
    reason = f"{label} drifted: {result.finding}; {_by_chance(adjusted, decided.tests)}."
    return SeriesVerdict(drifted, DRIFTED, tolerated, decided.threshold, smallest, reason)


def _smallest_effect(result: SeriesResult, threshold: float) -> float:
    effective = pooled_rows(result.reference_rows, result.effective_rows)
    if result.method == KS:
        return power.smallest_ks_distance(threshold, effective)
    if result.method == CHI2:
        return power.smallest_total_variation(threshold, result.bins, effective)
    return power.smallest_share_difference(threshold, result.reference_share, effective)


def _found_nothing(result: SeriesResult, threshold: float, smallest: float) -> str:
    """Return how small a change would have been found, or why none could be."""
    if result.sameness:
        return f": {result.sameness}"
    if result.attainable_p > threshold:
        return ", but too few of its rows differ for a test to find any"
    if smallest < 1:
        return f"; a change of {percent(smallest, 2)} of the rows would have been found in 4 of 5 cases"
    if result.method == CHI2 and result.bins > 2:
        return f", but with {result.bins:,} different values in so few rows even a complete change could be missed"
    return ", but with so few rows even a complete change could be missed"


def _by_chance(adjusted: float, tests: int) -> str:
    """How rare as much is among unchanged windows, over all tests of a window together."""
    if adjusted < 1e-9:
        return "chance alone does not do that"
    anywhere = f" in any of its {tests:,} tests" if tests > 1 else ""
    windows = int((1 + 1e-9) / adjusted)
    windows -= windows % 10 ** max(0, len(str(windows)) - 2)
    return f"by chance, at most one unchanged window in {windows:,} shows as much{anywhere}"


def _too_few(result: SeriesResult, min_rows: float) -> str:
    side, rows = ("the window", result.effective_rows)
    if result.effective_rows >= min_rows:
        side, rows = ("the reference", result.reference_rows)
    what = "rows with a value" if result.method == KS else "rows"
    if math.floor(rows) == 1:
        what = what.replace("rows", "row")
    return f"{_named(result)} has {math.floor(rows):,} {what} in {side}; {math.ceil(min_rows):,} are needed."


def _nothing_found(tests: int, unable: int, untested: int) -> str:
    """`unable`: tests that no data of these margins could make reject, such as that of values that are never missing."""
    told = [f"{tests:,} test{'s' if tests > 1 else ''} found no drift."] if tests else []
    if unable:
        told.append(
            f"{unable:,} series {'were' if unable > 1 else 'was'} not tested: {'their' if unable > 1 else 'its'} values hardly"
            " ever vary, as where nothing is missing, or are all different."
        )
    if untested:
        told.append(f"{untested:,} had too few rows or no reference.")
    return " ".join(told)


def _window_status(series: Sequence[SeriesVerdict]) -> str:
    statuses = {verdict.status for verdict in series}
    for status in (DRIFTED, OK, INSUFFICIENT_DATA):
        if status in statuses:
            return status
    return NO_REFERENCE


def _window_reason(status: str, series: Sequence[SeriesVerdict], drifted: tuple[str, ...], tests: int) -> str:
    if status == DRIFTED:
        worst = next(v for v in series if v.status == DRIFTED and series_label(v.result) == drifted[0])
        name = _named(worst.result)
        told = worst.reason.removeprefix(f"{name} drifted")
        return worst.reason if len(drifted) == 1 else f"{len(drifted):,} series drifted, most of all {name}{told}"
    if status == OK:
        able = sum(verdict.status == OK for verdict in series)
        return _nothing_found(tests, able - tests, len(series) - able)
    if status == INSUFFICIENT_DATA:
        return next(verdict.reason for verdict in series if verdict.status == INSUFFICIENT_DATA)
    return "There is no reference to compare with."
