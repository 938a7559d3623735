"""From what was observed in a window to its verdict. Pure: the same observations give the same verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import xxhash

from modelspan.processor.stats import (
    SeriesResult,
    SeriesVerdict,
    WindowVerdict,
    compare_missing,
    compare_series,
    compare_text,
    decide_window,
    no_reference,
)
from modelspan.processor.stats.decide import NO_REFERENCE
from modelspan.profile import NumericProfile

from .keys import ModelKey
from .kinds import FEATURE
from .observe import Observation
from .settings import Settings


@dataclass(frozen=True)
class Judged:
    """Verdict of a window; `observations[i]` is what `verdict.series[i]` was decided on."""

    verdict: WindowVerdict
    observations: tuple[Observation, ...]


def judge(key: ModelKey, start: int, observations: Sequence[Observation], settings: Settings) -> Judged:
    """Test every series that has a reference, and decide over all of them together."""
    resolution = settings.alpha / max(1, sum(1 + _is_numeric_feature(one) for one in observations))
    tests = [(one, result) for one in observations for result in _results(key, start, one, resolution)]
    verdict = decide_window(
        [result for _, result in tests],
        alpha=settings.alpha,
        tolerance=settings.tolerance,
        min_rows=settings.min_rows,
    )
    series = tuple(_explained(of_series, one) for of_series, (one, _) in zip(verdict.series, tests, strict=True))
    note = next((one.note for one in observations if one.note), "")
    reason = note if verdict.status == NO_REFERENCE and note else verdict.reason
    reason += _provisional(observations)
    return Judged(replace(verdict, series=series, reason=reason), tuple(one for one, _ in tests))


def _provisional(observations: Sequence[Observation]) -> str:
    """Of which series the reference is provisional."""
    caveats = {"features" if one.kind == FEATURE.name else one.kind: one.caveat for one in observations if one.caveat}
    if not caveats:
        return ""
    is_given = any(one.reference is not None and not one.reference.is_baseline for one in observations)
    but = ", which the given reference does not have" if is_given else ""
    return f" Provisional for {', '.join(caveats)}{but}: {next(iter(caveats.values()))}"


def seed_of(key: ModelKey, start: int, kind: str, name: str) -> int:
    """A number that is always the same for a series of a window, so that its test draws the same numbers again."""
    return xxhash.xxh3_64_intdigest(repr((*key, start, kind, name)).encode())


def _is_numeric_feature(one: Observation) -> bool:
    """Missing values of a categorical series are one of its categories; outputs have none worth a test."""
    return isinstance(one.series, NumericProfile) and one.kind == FEATURE.name


def _results(key: ModelKey, start: int, one: Observation, resolution: float) -> list[SeriesResult]:
    counted = one.counted
    sizes: Any = {"rows": counted.rows, "weight": counted.weight, "weight_squared": counted.weight_squared}
    if one.series is None or one.counts is None:
        return [no_reference(one.kind, one.name, **sizes)]
    seed = seed_of(key, start, one.kind, one.name)
    compared = compare_series(
        one.series,
        one.counts,
        one.missing,
        text=one.text,
        seed=seed,
        resolution=resolution,
        unseen=one.unseen,
        **sizes,
    )
    if not (_is_numeric_feature(one) and isinstance(one.series, NumericProfile)):
        return [compared]
    results = [compared, compare_missing(one.series, one.missing, **sizes)]
    if one.series.text or one.text:  # a test of texts where there are none could find nothing
        results.append(compare_text(one.series, one.text, **sizes))
    return results


def _explained(verdict: SeriesVerdict, one: Observation) -> SeriesVerdict:
    reason = one.note or verdict.reason + (f" Provisional: {one.caveat}" if one.caveat else "")
    return replace(verdict, reason=reason)
