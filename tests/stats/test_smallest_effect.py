from __future__ import annotations

import numpy as np
import pytest

from modelspan.processor.stats.chi2 import chi2_p_value
from modelspan.processor.stats.effective import pooled_rows
from modelspan.processor.stats.ks import ks_p_value
from modelspan.processor.stats.power import (
    smallest_ks_distance,
    smallest_share_difference,
    smallest_total_variation,
)
from modelspan.processor.stats.proportion import proportion_p_value

REFERENCE, WINDOW, THRESHOLD = 20_000, 1_000, 0.05 / 20
EFFECTIVE = pooled_rows(REFERENCE, WINDOW)


def test_a_ks_distance_of_this_size_is_found_at_least_four_times_in_five() -> None:
    rng = np.random.default_rng(1)
    before = np.full(50, 1 / 50)
    effect = smallest_ks_distance(THRESHOLD, EFFECTIVE)
    now = before + np.r_[np.full(25, effect / 25), np.full(25, -effect / 25)]
    found = [
        ks_p_value(rng.multinomial(REFERENCE, before), rng.multinomial(WINDOW, now)) <= THRESHOLD for _ in range(200)
    ]
    assert 0.75 <= np.mean(found) < 1.0


def test_a_total_variation_of_this_size_is_found_four_times_in_five_where_it_is_hardest() -> None:
    rng = np.random.default_rng(2)
    before = np.full(8, 1 / 8)
    effect = smallest_total_variation(THRESHOLD, 8, EFFECTIVE)
    now = before + np.tile([1, -1], 4) * effect / 4
    found = [
        chi2_p_value(rng.multinomial(REFERENCE, before), rng.multinomial(WINDOW, now), resolution=THRESHOLD, seed=1)
        <= THRESHOLD
        for _ in range(300)
    ]
    assert 0.73 <= np.mean(found) <= 0.87


@pytest.mark.parametrize("share", [0.0, 0.02, 0.4])
def test_a_rise_of_missing_values_of_this_size_is_found_about_four_times_in_five(share: float) -> None:
    rng = np.random.default_rng(3)
    more = share + smallest_share_difference(THRESHOLD, share, EFFECTIVE)
    before, now = rng.binomial(REFERENCE, share, 300), rng.binomial(WINDOW, more, 300)
    found = [
        proportion_p_value((a, REFERENCE - a), (b, WINDOW - b)) <= THRESHOLD for a, b in zip(before, now, strict=True)
    ]
    assert 0.7 <= np.mean(found) <= 0.93


def test_more_rows_find_less_and_no_rows_find_nothing() -> None:
    for smallest in (
        lambda n: smallest_ks_distance(0.01, n),
        lambda n: smallest_total_variation(0.01, 5, n),
        lambda n: smallest_share_difference(0.01, 0.1, n),
    ):
        assert smallest(0.0) == 1.0
        assert 1.0 >= smallest(10.0) > smallest(1e3) > smallest(1e6) > 0
