"""Two-sample test of a share: Fisher's exact test, for the missing values of a series."""

from __future__ import annotations

import math

import numpy as np

from modelspan.processor.stats.effective import log_binomial, whole_counts

_TIES = 1e-7


def proportion_p_value(reference: tuple[float, float], window: tuple[float, float]) -> float:
    """Two-sided p of (missing, present) counts in effective rows; 1 where one sample is empty.

    The probability, given all margins, of the tables at most as likely as the observed one (Fisher 1934). Exact for 0 against k.
    """
    first, second = whole_counts(reference), whole_counts(window)
    n, m = int(second.sum()), int(first.sum())
    marked = int(first[0] + second[0])
    if n == 0 or m == 0:
        return 1.0
    share = n / (n + m)
    spread = 40.0 * math.sqrt(marked * share * (1 - share)) + 40.0  # what lies beyond is below 1e-300
    low = max(0, marked - m, min(math.floor(marked * share - spread), int(second[0])))
    high = min(n, marked, max(math.ceil(marked * share + spread), int(second[0])))
    hits = np.arange(low, high + 1)
    log_mass = log_binomial(n, hits) + log_binomial(m, marked - hits) - log_binomial(n + m, marked)
    mass = np.exp(log_mass)
    likely = log_mass[int(second[0]) - low] + _TIES
    return min(1.0, max(float(mass[log_mass <= likely].sum()), 1e-300))
