from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from modelspan.processor.stats.ks import asymptotic_p_value, exact_p_value, ks_distance, ks_p_value


def share_of_all_splits(pooled: list[int], n: int, distance: float) -> float:
    """The same probability by listing every window that could have been drawn."""
    counts, reached = np.array(pooled), 0
    for window in itertools.product(*(range(t + 1) for t in pooled)):
        if sum(window) == n and ks_distance(counts - window, window) >= distance - 1e-12:
            reached += math.prod(math.comb(t, w) for t, w in zip(pooled, window, strict=True))
    return reached / math.comb(sum(pooled), n)


@pytest.mark.parametrize(
    ("reference", "window"),
    [
        ([3, 1, 0, 4], [1, 2, 2, 0]),
        ([5, 5], [5, 0]),
        ([0, 0, 6], [2, 0, 1]),
        ([1, 1, 1, 1, 1], [0, 0, 0, 2, 3]),
        ([9, 1, 3], [1, 1, 0]),
        ([2, 2], [2, 2]),
    ],
)
def test_p_is_the_share_of_all_splits_that_differ_as_much(reference: list[int], window: list[int]) -> None:
    pooled = [r + w for r, w in zip(reference, window, strict=True)]
    expected = share_of_all_splits(pooled, sum(window), ks_distance(reference, window))
    assert ks_p_value(reference, window) == pytest.approx(expected, abs=1e-8)


def test_p_agrees_with_scipy_where_every_value_has_its_own_bin() -> None:
    rng = np.random.default_rng(2)
    for n, m, shift in ((40, 60, 0.5), (100, 30, 0.0), (7, 7, 2.0), (300, 400, 0.15)):
        x, y = rng.normal(size=m), rng.normal(size=n) + shift
        edges = np.append(np.sort(np.concatenate([x, y])), np.inf)
        expected = stats.ks_2samp(x, y, method="exact")
        reference, window = np.histogram(x, edges)[0], np.histogram(y, edges)[0]
        assert ks_distance(reference, window) == pytest.approx(expected.statistic)
        assert ks_p_value(reference, window) == pytest.approx(expected.pvalue, abs=1e-8)


def test_p_agrees_with_random_splits_of_a_large_tied_table() -> None:
    rng = np.random.default_rng(3)
    pooled = rng.multinomial(12_000, np.r_[0.7, np.full(30, 0.01)])
    drawn = rng.multivariate_hypergeometric(pooled, 2_000, size=20_000)
    distances = np.abs(np.cumsum(drawn, 1) / 2_000 - np.cumsum(pooled - drawn, 1) / 10_000).max(1)
    for p in (0.5, 0.05, 0.005):
        level = float(np.quantile(distances, 1 - p))
        reached = float((distances >= level - 1e-12).mean())
        error = 4 * math.sqrt(reached * (1 - reached) / 20_000)
        assert abs(exact_p_value(pooled, 2_000, level) - reached) < error


def test_on_two_bins_p_is_the_two_hypergeometric_tails_and_far_below_the_asymptotic_formula() -> None:
    reference, window = [5000, 15000], [170, 330]
    draws = stats.hypergeom(20_500, 5_170, 500)
    mean = 500 * 5_170 / 20_500
    expected = draws.sf(169) + draws.cdf(math.floor(2 * mean - 170))
    assert ks_p_value(reference, window) == pytest.approx(expected, rel=1e-3)
    assert asymptotic_p_value(ks_distance(reference, window), 20_000 * 500 / 20_500) > 10 * expected


def test_the_two_samples_and_the_order_of_the_bins_can_be_exchanged() -> None:
    rng = np.random.default_rng(4)
    reference, window = rng.integers(0, 50, 20), rng.integers(0, 20, 20)
    p = ks_p_value(reference, window)
    assert ks_p_value(window, reference) == pytest.approx(p, abs=1e-8)
    assert ks_p_value(reference[::-1], window[::-1]) == pytest.approx(p, abs=1e-8)


def test_bins_that_are_empty_in_both_samples_change_nothing() -> None:
    assert ks_p_value([3, 0, 9, 0], [5, 0, 1, 0]) == ks_p_value([3, 9], [5, 1])


def test_p_never_rises_with_the_distance() -> None:
    pooled = np.full(20, 60)
    values = [exact_p_value(pooled, 300, d) for d in np.linspace(0, 0.5, 60)]
    assert values[0] == 1.0
    assert all(later <= earlier for earlier, later in itertools.pairwise(values))


def test_p_is_continuous_where_the_calculation_changes() -> None:
    shift = np.r_[np.ones(25), -np.ones(25)]
    values = []
    for rows in (1.9e5, 2.1e5, 1e6, 1e8):  # pooled rows around and far beyond the limit of the exact recursion
        each = 2 * rows / 50
        values.append(ks_p_value(np.full(50, each) + shift * 0.6 * math.sqrt(rows) / 25, np.full(50, each)))
    assert values == pytest.approx([values[0]] * 4, rel=0.02)


def test_an_empty_sample_or_a_single_bin_is_no_evidence() -> None:
    assert ks_p_value([0, 0], [3, 4]) == ks_p_value([3, 4], [0, 0]) == ks_p_value([7], [9]) == 1.0
    assert ks_distance([0, 0], [3, 4]) == ks_distance([7], [9]) == 0.0


def test_complete_separation_of_huge_samples_is_a_tiny_but_positive_p() -> None:
    assert 0 < ks_p_value([10**9, 0], [0, 10**9]) < 1e-100


def test_false_alarms_stay_at_their_level_when_the_window_is_as_large_as_the_reference() -> None:
    rng = np.random.default_rng(5)
    pooled = np.full(50, 80)
    windows = rng.multivariate_hypergeometric(pooled, 2_000, size=400)
    p = np.array([ks_p_value(pooled - window, window) for window in windows])
    assert 0.02 <= (p <= 0.05).mean() <= 0.08
    assert 0.4 <= (p <= 0.5).mean() <= 0.6
