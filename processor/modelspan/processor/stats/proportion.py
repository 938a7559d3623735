"""Two-sample test of a share: Fisher's exact test, for the missing values of a series."""

from __future__ import annotations

import math

import numpy as np

from modelspan.processor.stats.effective import Floats, Integers, log_binomial, whole_counts

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
    mean, spread = marked * share, 40.0 * math.sqrt(marked * share * (1 - share)) + 40.0
    hits = np.arange(max(0, marked - m, math.floor(mean - spread)), min(n, marked, math.ceil(mean + spread)) + 1)
    log_likely = float(_log_mass(n, m, marked, second[:1])[0])
    if abs(second[0] - mean) > spread:  # out there each table is less than half as likely as the one before
        return max(4.0 * math.exp(log_likely), 1e-300)
    log_mass = _log_mass(n, m, marked, hits)
    return min(1.0, max(float(np.exp(log_mass[log_mass <= log_likely + _TIES]).sum()), 1e-300))


def _log_mass(n: int, m: int, marked: int, hits: Integers) -> Floats:
    """Logarithm of the hypergeometric probability of `hits` of the `marked` rows in the window."""
    return log_binomial(n, hits) + log_binomial(m, marked - hits) - log_binomial(n + m, marked)
