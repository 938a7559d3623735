"""One decision over all tests of a window: false alarms of the whole family at most alpha."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from modelspan.processor.stats.effective import log_binomial, whole_counts


@dataclass(frozen=True)
class Family:
    """How many tests share alpha, and the p at or below which a test of them rejects.

    `adjusted` has the p of each test as one of the whole family: in at most that share of unchanged windows is any of them as small. It
    is 1 for those that could not reject.
    """

    tests: int
    threshold: float
    adjusted: tuple[float, ...]


def attainable_p(reference: ArrayLike, window: ArrayLike) -> float:
    """A lower bound of the p that any split of the pooled counts (k,) can reach; 1 where there is nothing to split.

    No split is rarer than that in which all rows outside the heaviest bin lie on one side.
    """
    first, second = whole_counts(reference), whole_counts(window)
    n, total = int(second.sum()), int(first.sum() + second.sum())
    if n in (0, total):
        return 1.0
    heaviest = int((first + second).max())
    outside = np.array([max(0, n - heaviest), min(n, total - heaviest)])
    return float(np.exp(log_binomial(heaviest, n - outside) - log_binomial(total, n)).min())


def family(p_values: Sequence[float], attainable: Sequence[float], alpha: float) -> Family:
    """Holm's step-down procedure (1979) on the tests that could reject at all (Tarone 1990, Biometrics 46: 515-522).

    Which tests can reject depends on their margins alone, so leaving the others out (a feature that never misses a value, a
    constant) is free. Valid under any dependence between the tests.
    """
    able = _able(attainable, alpha)
    places = sorted((place for place, can in enumerate(able) if can), key=p_values.__getitem__)
    ordered = [p_values[place] for place in places]
    rejected = 0
    while rejected < len(ordered) and ordered[rejected] <= alpha / (len(ordered) - rejected):
        rejected += 1
    adjusted, least = [1.0] * len(p_values), 0.0
    for count, place in enumerate(places):
        least = max(least, p_values[place] * (len(ordered) - count))
        adjusted[place] = min(1.0, least)
    return Family(len(ordered), alpha / max(1, len(ordered) - rejected), tuple(adjusted))


def _able(attainable: Sequence[float], alpha: float) -> list[bool]:
    for tests in range(1, len(attainable) + 1):
        able = [least <= alpha / tests for least in attainable]
        if sum(able) <= tests:
            return able
    return [False] * len(attainable)
