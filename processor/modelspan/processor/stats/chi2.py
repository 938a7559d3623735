"""Two-sample chi-square test of homogeneity on category counts, valid for sparse tables.

The chi-square distribution is wrong where categories are rare (one new row in a category of one is worth n/m times more
than it should be), so p is found among random splits of the pooled rows, which are all equally likely when nothing has
changed. Drawing stops early when p is clearly large (Besag and Clifford 1991, Biometrika 78: 301-304).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import gammaincc

from modelspan.processor.stats.effective import Floats, Integers, shares, whole_counts

_EXCEEDANCES = 20
"""Draws as extreme as the observed table after which drawing stops: p is then known to about 20 %."""
_CERTAIN = 1e-12
_DENSE = 50.0
"""Expected counts from which the chi-square distribution holds far into the tail."""
_BATCH = 512
_MOST_ROWS = 500_000_000
"""The generator takes fewer than 1e9 pooled rows."""
_RARE = 1.0


def total_variation(reference: ArrayLike, window: ArrayLike) -> float:
    """Half the sum of the absolute differences of the shares (k,): the part of the rows that changed category, 0 to 1."""
    if np.sum(reference) <= 0 or np.sum(window) <= 0:
        return 0.0
    return float(np.abs(shares(window) - shares(reference)).sum() / 2)


def chi2_statistic(reference: ArrayLike, window: ArrayLike) -> float:
    """Pearson's statistic of the 2 x k table; 0 where a row of it is empty."""
    first, second = np.asarray(reference, dtype=np.float64), np.asarray(window, dtype=np.float64)
    n, m = second.sum(), first.sum()
    if n <= 0 or m <= 0:
        return 0.0
    return float(_statistics(first + second, second[None, :])[0])


def merge_rare(reference: Floats, window: Floats) -> tuple[Floats, Floats]:
    """Put the known categories (k - 2,) of which less than one row is expected in the window into one.

    The last two bins, unseen and missing, stay. Which categories are merged depends on the pooled counts alone, so the test stays valid.
    """
    pooled = reference + window
    expected = pooled * (window.sum() / pooled.sum())
    rare = expected < _RARE
    rare[-2:] = False
    if rare.sum() < 2:
        return reference, window
    merged = [np.append(counts[~rare], counts[rare].sum()) for counts in (reference, window)]
    return merged[0], merged[1]


def chi2_p_value(reference: ArrayLike, window: ArrayLike, *, resolution: float, seed: int) -> float:
    """P(statistic >= observed) under exchangeability, for counts (k,) in effective rows; 1 where one sample is empty.

    `resolution` is the smallest p that matters, the threshold of one test: enough tables are drawn to see it. The same
    counts and seed give the same p.
    """
    first, second = whole_counts(reference), whole_counts(window)
    used = (first + second) > 0
    first, second = first[used], second[used]
    n, m = int(second.sum()), int(first.sum())
    if n == 0 or m == 0 or len(first) < 2:
        return 1.0
    pooled = first + second
    observed = chi2_statistic(first, second)
    approximate = gamma_p_value(pooled, n, observed)
    if approximate < _CERTAIN or (pooled * (min(n, m) / (n + m))).min() >= _DENSE:
        return max(approximate, 1e-300)
    if n + m > _MOST_ROWS:
        factor = _MOST_ROWS / (n + m)
        pooled, n = whole_counts(pooled * factor), round(n * factor)
        n = min(n, int(pooled.sum()))
    return _drawn_p_value(pooled, n, observed, round(_EXCEEDANCES / resolution), seed)


def gamma_p_value(pooled: Integers, n: int, observed: float) -> float:
    """Tail of the gamma distribution with the mean and variance of the statistic (Satterthwaite 1946).

    In the limit of dense tables this is the chi-square distribution; for sparse ones its tail is longer, as it should be.
    """
    share = n / pooled.sum()
    spread = pooled * share * (1 - share)
    excess = (1 - 6 * share * (1 - share)) / spread  # fourth cumulant of the binomial
    bins = len(pooled)
    mean, variance = bins - 1.0, 2.0 * (bins - 1) + max(0.0, float(excess.sum())) * (bins - 1) / bins
    return float(gammaincc(mean * mean / variance, observed * mean / variance))


def _statistics(pooled: Floats | Integers, windows: Floats | Integers) -> Floats:
    """Pearson's statistic of every window (tables, k) with the rest of the pooled counts (k,)."""
    used = pooled > 0
    pooled, windows = pooled[used], windows[:, used]
    share = windows[0].sum() / pooled.sum()
    if not 0 < share < 1:
        return np.zeros(len(windows))
    deviations = windows - pooled * share
    return np.asarray(np.square(deviations) @ (1.0 / (pooled * share * (1 - share))), dtype=np.float64)


def _drawn_p_value(pooled: Integers, n: int, observed: float, most: int, seed: int) -> float:
    generator = np.random.default_rng(seed)
    level = observed * (1 - 1e-9) - 1e-12
    drawn = reached = 0
    while drawn < most:
        size = min(_BATCH, most - drawn)
        windows = generator.multivariate_hypergeometric(pooled, n, size=size, method="marginals")
        extreme = np.flatnonzero(_statistics(pooled, windows) >= level)
        if reached + len(extreme) >= _EXCEEDANCES:
            return _EXCEEDANCES / (drawn + int(extreme[_EXCEEDANCES - reached - 1]) + 1)
        reached += len(extreme)
        drawn += size
    return (reached + 1) / (drawn + 1)
