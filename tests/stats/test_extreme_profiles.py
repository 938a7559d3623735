"""Profiles at the edges of what is taken: each is refused, or compared without an error and with p-values that are some."""

from __future__ import annotations

import json
import random
from typing import Any

import numpy as np
import pytest

from modelspan.processor.stats import compare_missing, compare_series, decide_window
from modelspan.profile import InvalidProfile, NumericProfile
from modelspan.profile.wire import from_json

COUNTS = [0, 1, 2, 100, 1e3, 1e6, 1e12, 1e15, 1e300, 1.7e308, 5e-324, 1e-300, 1e-9, 0.5, 1e-6]
CUTS = [-1.7e308, -1e300, -1, -5e-324, 0.0, 5e-324, 1e-300, 1, 1 + 2**-52, 2, 1e300, 1.7e308]


def entry(chance: random.Random) -> dict[str, Any]:
    cuts = chance.choice([0, 1, 1, 2, 3, 5])
    ordinary = chance.random() < 0.7
    counts = [chance.randint(0, 100) if ordinary else chance.choice(COUNTS) for _ in range(cuts + 1)]
    missing = chance.choice(COUNTS if chance.random() < 0.3 else [0, 0, 1, 5])
    made = {"kind": "feature", "name": "x", "rows": sum(counts) + missing, "missing": missing, "counts": counts}
    if chance.random() < 0.5:
        return {**made, "type": "categorical", "categories": [str(i) for i in range(cuts)]}
    moments = {name: chance.choice([None, 0.0, *CUTS]) for name in ("mean", "stddev", "min", "max")}
    return {**made, "type": "numeric", "cuts": sorted(chance.sample(CUTS, cuts)), **moments}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_profile_is_refused_or_compared(seed: int) -> None:
    chance, compared = random.Random(seed), 0
    for _ in range(500):
        try:
            [series] = from_json(json.dumps({"format": 1, "series": [entry(chance)]}).encode()).series
        except InvalidProfile:
            continue
        compared += 1
        counts = np.array([chance.choice([0, 0, 1, 5, 50, 1e3, 1e9, 1e-9]) for _ in series.counts])
        missing = float(chance.choice([0, 0, 1, 100]))
        weight = float(counts.sum()) + missing
        sums = {"rows": max(1, int(weight)), "weight": weight, "weight_squared": weight}
        results = [compare_series(series, counts, missing, **sums, seed=1, resolution=0.01)]
        if isinstance(series, NumericProfile):
            results.append(compare_missing(series, missing, **sums))
        verdict = decide_window(results, alpha=0.05, min_rows=2)
        assert all(one.result.p_value is None or 0 <= one.result.p_value <= 1 for one in verdict.series)
    assert compared > 200
