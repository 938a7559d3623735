from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from modelspan.processor.stats.chi2 import (
    chi2_p_value,
    chi2_statistic,
    gamma_p_value,
    merge_rare,
    total_variation,
)


def share_of_all_splits(pooled: list[int], n: int, statistic: float) -> float:
    """The same probability by listing every window that could have been drawn."""
    counts, reached = np.array(pooled), 0
    for window in itertools.product(*(range(t + 1) for t in pooled)):
        if sum(window) == n and chi2_statistic(counts - window, window) >= statistic - 1e-9:
            reached += math.prod(math.comb(t, w) for t, w in zip(pooled, window, strict=True))
    return reached / math.comb(sum(pooled), n)


def test_the_statistic_is_pearsons() -> None:
    reference, window = [300, 120, 40, 3], [30, 20, 1, 2]
    expected = stats.chi2_contingency([reference, window], correction=False)
    assert chi2_statistic(reference, window) == pytest.approx(expected.statistic)


def test_dense_tables_have_the_chi_square_distribution() -> None:
    reference, window = [3000, 2000, 1000], [1020, 600, 370]
    expected = stats.chi2_contingency([reference, window]).pvalue
    assert chi2_p_value(reference, window, resolution=1e-3, seed=0) == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize(
    ("reference", "window"),
    [([4, 3, 1, 0], [1, 0, 0, 2]), ([6, 1, 1, 1], [0, 1, 1, 0]), ([5, 5, 0], [0, 1, 3]), ([2, 2, 2], [1, 1, 1])],
)
def test_p_of_a_sparse_table_is_the_share_of_all_splits_as_extreme(reference: list[int], window: list[int]) -> None:
    pooled = [r + w for r, w in zip(reference, window, strict=True)]
    expected = share_of_all_splits(pooled, sum(window), chi2_statistic(reference, window))
    p = chi2_p_value(reference, window, resolution=1e-4, seed=1)
    assert p == pytest.approx(expected, rel=0.6)  # 20 exceedances: a standard error of 22 %


def sparse_nulls(draws: int) -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(6)
    weights = 1.0 / np.arange(1, 61) ** 2
    pooled = rng.multinomial(20_500, weights / weights.sum())
    windows = rng.multivariate_hypergeometric(pooled, 500, size=draws)
    return [(pooled - window, window) for window in windows]


def test_false_alarms_on_sparse_tables_stay_at_their_level_where_the_chi_square_distribution_fails() -> None:
    nulls = sparse_nulls(500)
    p = np.array([chi2_p_value(r, w, resolution=0.01, seed=i) for i, (r, w) in enumerate(nulls)])
    bins = [(r + w > 0).sum() for r, w in nulls]
    naive = [stats.chi2.sf(chi2_statistic(r, w), k - 1) for (r, w), k in zip(nulls, bins, strict=True)]
    assert (np.array(naive) <= 0.01).mean() > 0.03
    assert (p <= 0.01).mean() <= 0.026
    assert 0.025 <= (p <= 0.05).mean() <= 0.08


def test_the_shortcut_for_certain_tables_is_far_from_any_threshold() -> None:
    rng = np.random.default_rng(8)
    pooled = np.r_[20_000, np.ones(40, dtype=int)]
    n = 500
    level = max(chi2_statistic(pooled - w, w) for w in rng.multivariate_hypergeometric(pooled, n, size=20_000))
    assert gamma_p_value(pooled, n, level) > 1e-8  # the most extreme of 20,000 unchanged tables is not taken as certain


def test_the_same_counts_and_seed_give_the_same_p() -> None:
    reference, window = sparse_nulls(1)[0]
    p = [chi2_p_value(reference, window, resolution=1e-3, seed=s) for s in (5, 5)]
    assert p[0] == p[1]


def test_the_order_of_the_categories_does_not_change_the_statistic() -> None:
    rng = np.random.default_rng(9)
    reference, window = rng.integers(0, 90, 12), rng.integers(0, 9, 12)
    order = rng.permutation(12)
    assert chi2_statistic(reference[order], window[order]) == pytest.approx(chi2_statistic(reference, window))
    assert total_variation(reference[order], window[order]) == pytest.approx(total_variation(reference, window))


def test_one_certain_change_is_found_without_drawing_and_one_borderline_change_by_drawing() -> None:
    assert chi2_p_value([10_000, 10_000, 3], [900, 100, 0], resolution=5e-4, seed=1) < 1e-12
    assert chi2_p_value([10_000, 10_000, 1], [500, 500, 1], resolution=5e-4, seed=1) == pytest.approx(0.095, abs=0.09)


def test_rare_known_categories_share_a_bin_but_unseen_and_missing_do_not() -> None:
    reference = np.array([900.0, 5.0, 4.0, 80.0, 0.0, 11.0])
    window = np.array([90.0, 0.0, 1.0, 8.0, 1.0, 0.0])
    merged = merge_rare(reference, window)
    assert merged[0].tolist() == [900.0, 80.0, 0.0, 11.0, 9.0]
    assert merged[1].tolist() == [90.0, 8.0, 1.0, 0.0, 1.0]


def test_an_empty_sample_or_a_single_category_is_no_evidence() -> None:
    for reference, window in (([0, 0], [3, 4]), ([3, 4], [0, 0]), ([7, 0], [9, 0])):
        assert chi2_p_value(reference, window, resolution=1e-3, seed=1) == 1.0
        assert total_variation(reference, window) == 0.0


def test_tables_beyond_the_reach_of_the_generator_are_defined() -> None:
    assert 0 < chi2_p_value([2 * 10**9, 10**9, 5], [10**9, 5 * 10**8, 3], resolution=0.01, seed=1) <= 1


def test_weighted_counts_are_defined() -> None:
    p = chi2_p_value([100.4, 20.2, 3.3], [10.25, 3.75, 0.6], resolution=0.01, seed=1)
    assert 0.1 < p <= 1
