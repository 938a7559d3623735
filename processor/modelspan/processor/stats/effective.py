"""What weighted rows are worth, and whole tables from weighted counts."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaln

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


def effective_rows(weight: float, weight_squared: float) -> float:
    """Effective sample size (sum w)^2 / sum w^2 of rows with these sums (Kish 1965, Survey Sampling, section 11.7).

    It is exact where weights have nothing to do with the values. Where a rule keeps rows because of their values, the
    share of the values with the large weights is less certain than this says.
    """
    return weight * weight / weight_squared if weight > 0 and weight_squared > 0 else 0.0


def scale_to(counts: ArrayLike, total: float) -> Floats:
    """Counts (k,) in the same proportions that add up to `total`; zeros where there are none."""
    given = np.asarray(counts, dtype=np.float64)
    present = float(given.sum())
    return given * (total / present) if present > 0 else np.zeros_like(given)


def whole_counts(counts: ArrayLike) -> Integers:
    """Integers (k,) near the counts (k,): every cumulative sum is off by at most a half. Whole counts stay as they are."""
    cumulative = np.floor(np.cumsum(np.asarray(counts, dtype=np.float64)) + (0.5 - 1e-9))
    cumulative[1:] -= cumulative[:-1].copy()
    return cumulative.astype(np.int64)


def pooled_rows(reference: float, window: float) -> float:
    """Half the harmonic mean, 1 / (1/n + 1/m): the rows of one sample whose noise equals that of the difference of the two."""
    return reference * window / (reference + window) if reference > 0 and window > 0 else 0.0


def shares(counts: ArrayLike) -> Floats:
    """Counts (k,) as parts of their sum; zeros where that is zero."""
    return scale_to(counts, 1.0)


def log_binomial(n: ArrayLike, k: ArrayLike) -> Floats:
    """Logarithm of the number of ways to choose k of n, elementwise; minus infinity outside 0 <= k <= n."""
    n, k = np.asarray(n, dtype=np.float64), np.asarray(k, dtype=np.float64)
    inside = (k >= 0) & (k <= n)
    safe = np.where(inside, k, 0.0)
    ways = gammaln(n + 1) - gammaln(safe + 1) - gammaln(n - safe + 1)
    return np.where(inside, ways, -math.inf)
