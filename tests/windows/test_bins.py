"""The store counts values exactly as `modelspan.profile.bin_counts` does."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from windows.lab import Lab, feature_profile, window_times

from modelspan.profile import CategoricalProfile, NumericProfile, Profile, bin_counts

RNG = np.random.default_rng(7)
NASTY = [
    -math.inf,
    -1e308,
    -1.0,
    -5e-324,
    -0.0,
    0.0,
    5e-324,
    0.1,
    float(np.float32(0.1)),
    1.0,
    1e308,
    math.inf,
    math.nan,
]

REFERENCES = {
    "continuous": RNG.normal(size=3000),
    "integers": RNG.integers(0, 20, 3000).astype(float),
    "atom at zero": np.where(RNG.random(3000) < 0.6, 0.0, RNG.lognormal(size=3000)),
    "float32": RNG.random(3000).astype(np.float32).astype(float),
    "constant": np.full(3000, 0.1),
    "infinite": np.concatenate([[-np.inf] * 500, RNG.normal(size=2000), [np.inf] * 500]),
    "tiny": RNG.normal(size=3000) * 1e-300,
    "huge and near": 1.7e9 + RNG.random(3000),
}


def numeric_with_cuts(name: str, cuts: list[float]) -> NumericProfile:
    counts = np.ones(len(cuts) + 1)
    return NumericProfile("feature", name, counts.sum(), 0.0, np.array(cuts), counts, 0.0, 1.0, -1.0, 1.0)


@pytest.mark.parametrize("name", REFERENCES)
def test_bins_of_the_store_are_those_of_numpy(lab: Lab, name: str) -> None:
    (profile,) = feature_profile({name: REFERENCES[name]}).series
    assert isinstance(profile, NumericProfile)
    lab.reference(Profile((profile,)))
    edges = [*profile.cuts, *np.nextafter(profile.cuts, -np.inf), *np.nextafter(profile.cuts, np.inf)]
    values = np.concatenate([REFERENCES[name][:500], NASTY, edges, np.float32(REFERENCES[name][:500]).astype(float)])
    weights = RNG.integers(1, 5, len(values)).astype(float)
    lab.predict(window_times(len(values)), {name: values.tolist()}, weight=weights)
    lab.settle()
    stored = lab.counts()["feature", name]
    assert stored["counts"] == bin_counts(profile, values, weights).tolist()
    assert stored["missing"] == weights[np.isnan(values)].sum()
    assert stored["rows"] == len(values)


def test_a_cut_at_zero_does_not_tell_zero_from_minus_zero(lab: Lab) -> None:
    lab.reference(Profile((numeric_with_cuts("plus", [0.0]), numeric_with_cuts("minus", [-0.0]))))
    lab.predict(window_times(4), {"plus": [-0.0, 0.0, -1.0, 1.0], "minus": [-0.0, 0.0, -1.0, 1.0]})
    lab.settle()
    assert lab.counts()["feature", "plus"]["counts"] == [1, 3]
    assert lab.counts()["feature", "minus"]["counts"] == [1, 3]


def test_a_reference_without_cuts_has_one_bin(lab: Lab) -> None:
    lab.reference(Profile((numeric_with_cuts("x", []),)))
    lab.predict(window_times(3), {"x": [-math.inf, 0.0, None]})
    lab.settle()
    assert lab.counts()["feature", "x"]["counts"] == [2]
    assert lab.counts()["feature", "x"]["missing"] == 1


def test_text_is_counted_by_known_categories_and_the_rest_is_unseen(lab: Lab) -> None:
    names = ["DE", "", "ü☃", "a'b\\c", "\t\n", "NULL", "de"]
    profile = CategoricalProfile("feature", "country", 8.0, 0.0, tuple(names), np.ones(8))
    lab.reference(Profile((profile,)))
    values: list[Any] = [*names * 2, "DE ", "ß", "0", None]
    lab.predict(window_times(len(values)), {"country": values})
    lab.settle()
    stored = lab.counts()["feature", "country"]
    assert stored["counts"] == [2] * len(names) + [3]
    assert stored["missing"] == 1


def test_moments_are_those_of_the_values(lab: Lab) -> None:
    values = 1.7e9 + RNG.normal(size=2000)
    weights = RNG.random(2000) + 0.5
    lab.reference({"seconds": 1.7e9 + RNG.normal(size=2000), "mixed": RNG.normal(size=2000)})
    lab.predict(window_times(2000), {"seconds": values, "mixed": [math.inf, *values[1:]]}, weight=weights)
    lab.settle()
    stored = lab.counts()["feature", "seconds"]
    mean = np.average(values, weights=weights)
    assert stored["mean"] == pytest.approx(mean, rel=1e-12)
    assert stored["stddev"] == pytest.approx(np.sqrt(np.average((values - mean) ** 2, weights=weights)), rel=1e-6)
    assert (stored["min"], stored["max"]) == (values.min(), values.max())
    infinite = lab.counts()["feature", "mixed"]
    assert (infinite["mean"], infinite["stddev"], infinite["max"]) == (None, None, math.inf)


def test_rows_without_a_usable_weight_do_not_count(lab: Lab) -> None:
    lab.reference({"x": RNG.normal(size=500)})
    weights = [0.0, -1.0, math.nan, math.inf] * 50 + [2.0] * 200
    lab.predict(window_times(400), {"x": RNG.normal(size=400)}, weight=weights)
    lab.settle()
    stored = lab.counts()["feature", "x"]
    assert (stored["rows"], stored["weight"], stored["weight_squared"]) == (200, 400, 800)
    assert sum(stored["counts"]) == 400
    assert lab.windows()[0]["rows"] == 400
