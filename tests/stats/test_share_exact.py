from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from modelspan.processor.stats.proportion import proportion_p_value


def test_p_is_that_of_fishers_exact_test() -> None:
    rng = np.random.default_rng(1)
    for _ in range(200):
        a, b, c, d = (int(x) for x in rng.integers(0, [8, 300, 8, 60]))
        expected = stats.fisher_exact([[a, b], [c, d]]).pvalue
        assert proportion_p_value((a, b), (c, d)) == pytest.approx(expected, rel=1e-6)


def test_p_is_that_of_fishers_exact_test_for_many_rows() -> None:
    expected = stats.fisher_exact([[10_000, 990_000], [1_150, 98_850]]).pvalue
    assert proportion_p_value((10_000, 990_000), (1_150, 98_850)) == pytest.approx(expected, rel=1e-3)


def test_the_first_missing_values_are_evidence() -> None:
    assert proportion_p_value((0, 20_000), (3, 497)) < 1e-4
    assert proportion_p_value((0, 20_000), (0, 500)) == 1.0


def test_degenerate_tables_are_defined() -> None:
    for table in (((0, 0), (3, 4)), ((3, 4), (0, 0)), ((5, 0), (5, 0)), ((0, 5), (0, 5))):
        assert proportion_p_value(*table) == 1.0
    assert 0 < proportion_p_value((10**8, 0), (0, 10**8)) < 1e-100


def test_the_two_answers_and_the_two_samples_can_be_exchanged() -> None:
    p = proportion_p_value((7, 93), (9, 41))
    assert proportion_p_value((93, 7), (41, 9)) == pytest.approx(p)
    assert proportion_p_value((9, 41), (7, 93)) == pytest.approx(p)
