from __future__ import annotations

import numpy as np
import pytest

from modelspan.processor.stats.effective import effective_rows, pooled_rows, scale_to, whole_counts


def test_equal_weights_are_worth_their_number() -> None:
    assert effective_rows(30.0, 90.0) == pytest.approx(10.0)  # ten rows of weight three
    assert effective_rows(0.0, 0.0) == 0.0


def test_one_heavy_row_is_worth_little_more_than_one() -> None:
    weights = np.array([1000.0] + [1.0] * 10)
    assert effective_rows(weights.sum(), (weights**2).sum()) == pytest.approx(1.02, abs=0.01)


def test_scaling_keeps_the_shares() -> None:
    assert scale_to([2.0, 6.0], 4.0).tolist() == [1.0, 3.0]
    assert scale_to([0.0, 0.0], 4.0).tolist() == [0.0, 0.0]


def test_whole_counts_stay_and_others_are_off_by_at_most_a_half_in_every_sum() -> None:
    rng = np.random.default_rng(1)
    assert whole_counts([3.0, 0.0, 7.0]).tolist() == [3, 0, 7]
    counts = rng.random(200) * 3
    whole = whole_counts(counts)
    assert (whole >= 0).all()
    assert np.abs(np.cumsum(whole) - np.cumsum(counts)).max() <= 0.5 + 1e-6


def test_pooled_rows_are_limited_by_the_smaller_sample() -> None:
    assert pooled_rows(100.0, 100.0) == 50.0
    assert pooled_rows(1e9, 100.0) == pytest.approx(100.0, rel=1e-6)
    assert pooled_rows(0.0, 100.0) == 0.0
