"""Decisions from counts: pure functions on arrays, no I/O, no clock, no global random numbers.

results = [compare_series(profile, counts, missing, rows=n, weight=w, weight_squared=w2, seed=seed), compare_missing(...), ...]
verdict = decide_window(results)
"""

from __future__ import annotations

from modelspan.processor.stats.decide import SeriesVerdict, WindowVerdict, decide_window, series_label
from modelspan.processor.stats.series import SeriesResult, compare_missing, compare_series, compare_text, no_reference

__all__ = [
    "SeriesResult",
    "SeriesVerdict",
    "WindowVerdict",
    "compare_missing",
    "compare_series",
    "compare_text",
    "decide_window",
    "no_reference",
    "series_label",
]
