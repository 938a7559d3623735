from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from scipy.spatial.distance import jensenshannon

from modelspan.processor.stats.js import js_distance
from modelspan.processor.stats.psi import category_groups, grouped, neighbour_groups, psi, severity
from modelspan.processor.stats.wasserstein import wasserstein
from modelspan.profile import bin_counts, numeric_profile


def test_psi_of_large_counts_is_the_textbook_sum() -> None:
    p, q = np.array([0.5, 0.3, 0.2]), np.array([0.4, 0.4, 0.2])
    assert psi(p * 1e8, q * 1e8) == pytest.approx(((q - p) * np.log(q / p)).sum(), rel=1e-5)


def test_psi_of_the_same_shares_is_zero_and_symmetric_otherwise() -> None:
    assert psi([50, 30], [50, 30]) == 0.0
    assert psi([50, 30], [3, 9]) == pytest.approx(psi([3, 9], [50, 30]))


def test_an_empty_group_does_not_make_psi_explode() -> None:
    assert psi([10_000, 10_000, 0], [500, 499, 1]) < 0.02
    assert psi([10_000, 10_000, 0], [0, 0, 1000]) < 30


def test_psi_without_change_is_on_average_as_yurdakul_says() -> None:
    rng = np.random.default_rng(1)
    shares = np.full(10, 0.1)
    values = [psi(rng.multinomial(20_000, shares), rng.multinomial(1_000, shares)) for _ in range(400)]
    assert np.mean(values) == pytest.approx(9 * (1 / 20_000 + 1 / 1_000), rel=0.15)


def test_the_bands_of_psi_are_a_tenth_and_a_fifth() -> None:
    assert [severity(value) for value in (0.0, 0.099, 0.1, 0.199, 0.2, 9.0, math.nan)] == [
        "none", "none", "moderate", "moderate", "major", "major", "none",
    ]  # fmt: skip


def test_bins_are_grouped_by_tenths_of_the_reference() -> None:
    counts = np.full(50, 20.0)
    groups = neighbour_groups(counts)
    assert grouped(counts, groups, 7.0).tolist() == [100.0] * 10 + [7.0]
    assert neighbour_groups(np.array([0.0, 900.0, 50.0, 50.0, 0.0])).tolist() == [0, 4, 9, 9, 9]


def test_rare_categories_share_a_group_and_unseen_has_its_own() -> None:
    counts = np.array([900.0, 95.0, 3.0, 2.0, 0.0])
    assert grouped(counts, category_groups(counts), 4.0).tolist() == [900.0, 95.0, 0.0, 5.0, 4.0]


def test_js_distance_is_scipys_in_bits() -> None:
    p, q = np.array([5.0, 0.0, 3.0]), np.array([1.0, 2.0, 9.0])
    assert js_distance(p, q) == pytest.approx(jensenshannon(p, q, base=2))
    assert js_distance([1, 0], [0, 1]) == 1.0
    assert js_distance([1, 2], [0, 0]) == 0.0


def test_wasserstein_is_near_that_of_the_values_and_free_of_their_unit() -> None:
    rng = np.random.default_rng(2)
    before, now = rng.normal(size=20_000), rng.normal(0.3, 1.1, size=20_000)
    for unit in (1.0, 1e6):
        made = numeric_profile(before * unit, kind="feature", name="x", bins=100)
        expected = stats.wasserstein_distance(before, now) / before.std()
        assert wasserstein(made, bin_counts(made, now * unit)) == pytest.approx(expected, rel=0.1)


def test_one_far_value_hardly_moves_wasserstein() -> None:
    values = np.random.default_rng(3).normal(size=2_000)
    made = numeric_profile(values, kind="feature", name="x")
    assert wasserstein(made, bin_counts(made, np.append(values, 1e4))) == pytest.approx(0.0, abs=0.01)


def test_wasserstein_of_a_constant_or_empty_series_is_unknown() -> None:
    constant = numeric_profile(np.ones(9), kind="feature", name="x")
    varied = numeric_profile(np.arange(9.0), kind="feature", name="x")
    assert wasserstein(constant, constant.counts) is None
    assert wasserstein(varied, np.zeros_like(varied.counts)) is None
