from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from modelspan.processor.stats.family import attainable_p, family


def test_the_threshold_is_that_of_holm() -> None:
    # 0.01 <= 0.05 / 4 and 0.013 <= 0.05 / 3 are rejected, 0.03 > 0.05 / 2 is not
    decided = family([0.03, 0.01, 0.9, 0.013], [0.0] * 4, 0.05)
    assert (decided.tests, decided.threshold) == (4, 0.05 / 2)


def test_tests_that_cannot_reject_do_not_count() -> None:
    decided = family([0.02, 1.0, 1.0, 0.8], [0.0, 1.0, 0.2, 1e-9], 0.05)
    assert (decided.tests, decided.threshold) == (2, 0.05)
    assert family([1.0, 1.0], [1.0, 1.0], 0.05).tests == 0
    assert family([], [], 0.05).threshold == 0.05


def test_a_test_that_could_reject_only_in_a_small_family_is_left_out_of_a_large_one() -> None:
    attainable = [0.0] * 9 + [0.02]
    assert family([0.5] * 10, attainable, 0.05).tests == 9


@pytest.mark.parametrize("correlation", [0.0, 0.9])
def test_unchanged_windows_alarm_in_at_most_five_of_a_hundred(correlation: float) -> None:
    rng = np.random.default_rng(1)
    shared, own = rng.normal(size=(4000, 1)), rng.normal(size=(4000, 20))
    z = math.sqrt(correlation) * shared + math.sqrt(1 - correlation) * own
    p = np.vectorize(lambda v: math.erfc(abs(v) / math.sqrt(2)))(z)
    alarms = np.mean([min(row) <= family(list(row), [0.0] * 20, 0.05).threshold for row in p])
    assert alarms <= 0.06
    assert alarms >= (0.035 if correlation == 0 else 0.005)


@pytest.mark.parametrize(("pooled", "n"), [([6, 2, 1], 3), ([3, 3, 3], 4), ([9, 1], 5), ([4, 4], 8), ([1, 1, 1, 5], 6)])
def test_no_split_is_rarer_than_the_attainable_p(pooled: list[int], n: int) -> None:
    splits = [w for w in itertools.product(*(range(t + 1) for t in pooled)) if sum(w) == n]
    rarest = min(math.prod(math.comb(t, w) for t, w in zip(pooled, split, strict=True)) for split in splits)
    window = np.array(splits[0])
    least = attainable_p(np.array(pooled) - window, window)
    assert least <= rarest / math.comb(sum(pooled), n) * (1 + 1e-9)
    assert least > 0


def test_a_share_test_attains_its_bound() -> None:
    assert attainable_p([0, 95], [2, 3]) == pytest.approx(math.comb(5, 2) / math.comb(100, 2))


def test_nothing_to_split_attains_only_one() -> None:
    assert attainable_p([0, 20_000], [0, 500]) == attainable_p([3, 4], [0, 0]) == attainable_p([0, 0], [3, 4]) == 1.0
