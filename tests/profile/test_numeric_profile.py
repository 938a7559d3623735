from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from modelspan.profile import bin_counts, numeric_profile
from modelspan.profile.series import NumericProfile


def profile(values: object, **options: object) -> NumericProfile:
    return numeric_profile(values, kind="feature", name="x", **options)  # type: ignore[arg-type]


def bin_of(reference: NumericProfile, value: float) -> int:
    return int(bin_counts(reference, [value]).argmax())


RNG = np.random.default_rng(7)
COLUMNS = {
    "normal": RNG.normal(size=5000),
    "lognormal with zeros": np.where(RNG.random(5000) < 0.9, 0.0, RNG.lognormal(size=5000)),
    "many atoms": np.where(RNG.random(5000) < 0.5, RNG.integers(0, 20, 5000) / 7, RNG.normal(size=5000)),
    "few integers": RNG.integers(-5, 90, 5000),
    "many integers": RNG.integers(0, 3000, 5000),
    "tenths": RNG.integers(0, 30, 5000) / 10,
    "missing": np.where(RNG.random(5000) < 0.3, np.nan, RNG.normal(size=5000)),
    "infinite": np.where(RNG.random(5000) < 0.3, np.inf, -RNG.lognormal(size=5000)),
    "huge": RNG.choice([-1.7e308, 1.7e308, 1e300], 5000),
    "denormal": RNG.integers(0, 300, 5000) * 5e-324,
    "neighbouring floats": 1.0 + RNG.integers(0, 300, 5000) * 2.0**-52,
    "time stamps": 1.7e9 + RNG.random(5000) * 1000,
    "beyond 2^53": 2**62 + RNG.integers(0, 100_000, 5000),
    "float32": RNG.normal(size=5000).astype(np.float32),
    "float16": RNG.normal(size=5000).astype(np.float16),
    "bool": RNG.random(5000) < 0.2,
}


@pytest.mark.parametrize("column", COLUMNS)
def test_every_value_is_counted_where_the_service_would_count_it(column: str) -> None:
    values = COLUMNS[column]
    made = profile(values)
    assert np.array_equal(bin_counts(made, values), made.counts)
    assert made.counts.sum() + made.missing == made.rows == len(values)
    assert np.isfinite(made.cuts).all()
    assert (np.diff(made.cuts) > 0).all()
    assert len(made.cuts) <= 50 + 2 * 100 + 2


@pytest.mark.parametrize("column", ["normal", "lognormal with zeros", "many atoms", "tenths", "time stamps", "float16"])
def test_no_cut_falls_on_an_observed_value(column: str) -> None:
    assert not np.isin(profile(COLUMNS[column]).cuts, COLUMNS[column]).any()


def test_a_continuous_series_is_cut_into_bins_of_equal_weight() -> None:
    made = profile(COLUMNS["normal"], bins=50)
    assert made.counts.tolist() == [100.0] * 50


def test_a_heavy_value_has_a_bin_of_its_own() -> None:
    values = COLUMNS["lognormal with zeros"]
    made = profile(values)
    assert made.counts[bin_of(made, 0.0)] == (values == 0).sum()
    assert bin_of(made, -1.0) != bin_of(made, 0.0) != bin_of(made, values[values > 0].min())


@pytest.mark.parametrize("column", ["tenths", "few integers", "many atoms"])
def test_heavy_values_stay_in_their_bins_when_they_travel_as_float32(column: str) -> None:
    values = np.asarray(COLUMNS[column], dtype=np.float64)
    distinct, counts = np.unique(values, return_counts=True)
    atoms = distinct[counts >= 0.01 * len(values)]
    made = profile(values)
    for atom in atoms:
        assert bin_of(made, float(np.float32(atom))) == bin_of(made, atom)


def test_a_light_value_that_float32_cannot_tell_from_an_atom_shares_its_bin() -> None:
    values = np.concatenate([np.full(500, 0.1), [0.1 + 1e-12], RNG.normal(size=500)])
    made = profile(values)
    assert bin_of(made, 0.1) == bin_of(made, 0.1 + 1e-12) == bin_of(made, float(np.float32(0.1)))


def test_few_distinct_integers_get_one_bin_each_and_what_lies_outside_two_more() -> None:
    made = profile(np.arange(100).repeat(3))
    assert made.counts.tolist() == [0.0] + [3.0] * 100 + [0.0]


def test_a_constant_column_is_one_bin_between_two_empty_ones() -> None:
    for constant in (0.0, 7.0, -1e300, 5e-324):
        made = profile(np.full(10, constant))
        assert made.counts.tolist() == [0.0, 10.0, 0.0]
        assert (made.mean, made.stddev, made.min, made.max) == (constant, 0.0, constant, constant)


def test_no_values_are_one_empty_bin_without_moments() -> None:
    for values, missing in (([], 0), ([np.nan] * 4, 4)):
        made = profile(values)
        assert (made.cuts.tolist(), made.counts.tolist(), made.missing, made.rows) == ([], [0.0], missing, missing)
        assert made.mean is made.stddev is made.min is made.max is None


def test_infinities_are_values_in_the_outermost_bins_and_not_in_the_moments() -> None:
    made = profile([-np.inf, 1.0, 2.0, 3.0, np.inf, np.nan])
    assert bin_of(made, -np.inf) == 0
    assert bin_of(made, np.inf) == len(made.counts) - 1
    assert (made.mean, made.min, made.max, made.missing) == (2.0, 1.0, 3.0, 1.0)
    assert profile([np.inf] * 3).mean is None


def test_moments_agree_with_numpy_and_do_not_overflow() -> None:
    values = COLUMNS["normal"]
    assert profile(values).mean == pytest.approx(values.mean(), abs=1e-12)
    assert profile(values).stddev == pytest.approx(values.std())
    assert profile([1.7e308, -1.7e308]).stddev == pytest.approx(1.7e308)


def test_equal_weights_change_nothing() -> None:
    values = COLUMNS["missing"]
    plain, weighted = profile(values), profile(values, weights=np.full(len(values), 3.5))
    assert np.array_equal(plain.cuts, weighted.cuts)
    assert weighted.counts == pytest.approx(plain.counts)
    assert (weighted.rows, weighted.missing, weighted.mean) == pytest.approx((plain.rows, plain.missing, plain.mean))


def test_weighted_rows_count_in_proportion_and_sum_to_the_effective_sample_size() -> None:
    values, weights = np.array([1.0, 2.0, np.nan, 9.0]), np.array([1.0, 3.0, 2.0, 0.0])
    made = profile(values, weights=weights)
    assert made.rows == pytest.approx(6**2 / 14)
    assert made.counts[bin_of(made, 2.0)] == pytest.approx(3 * made.counts[bin_of(made, 1.0)])
    assert made.missing == pytest.approx(made.rows / 3)
    assert made.max == 2.0


@pytest.mark.parametrize("weights", [[1.0], [1.0, -1.0], [1.0, np.nan], [1.0, np.inf]])
def test_weights_that_make_no_sense_are_refused(weights: list[float]) -> None:
    with pytest.raises(ValueError, match="weight"):
        profile([1.0, 2.0], weights=weights)


def test_more_than_one_column_is_refused() -> None:
    with pytest.raises(ValueError, match="one column"):
        profile(np.zeros((2, 2)))


def test_the_order_of_the_rows_does_not_matter() -> None:
    values = COLUMNS["many atoms"]
    assert np.array_equal(profile(values).cuts, profile(RNG.permutation(values)).cuts)


def test_a_process_that_profiles_loads_neither_scipy_nor_pandas() -> None:
    code = "import sys, modelspan.profile; print(sorted({'scipy', 'pandas', 'sklearn'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
