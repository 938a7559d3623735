"""Two-sample Kolmogorov-Smirnov test on binned counts, with its exact permutation null.

Given how many rows fall in each bin in both samples together, every split of those rows into reference and window is equally
likely when nothing has changed. The number W_j of window rows up to cut j is then a lattice path from 0 to n, and
P(D >= d) is the share of paths that leave the band |W_j - n T_j / N| < d n m / N at some cut. The recursion over the bins
(Schroeer and Trenkler 1995, Computational Statistics & Data Analysis 20: 185-202, who treat ties) counts them: exact for ties and bins, with the
noise of both samples, and without random numbers.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike
from scipy.fft import irfft, next_fast_len, rfft
from scipy.special import gammaln

from modelspan.processor.stats.effective import Floats, Integers, pooled_rows, shares, whole_counts

_CERTAIN = 2.9
"""Beyond sqrt(n m / (n + m)) d = 2.9, p is below 1e-7: the asymptotic formula says it well enough."""
_LEAST = 1e-9
"""Rounding leaves an absolute error of up to this in an exact p."""
_LARGE = 200_000.0
"""Above this many pooled rows the null of sqrt(n m / (n + m)) D no longer changes and is computed for this many."""
_DIRECT = 1 << 20
"""Convolutions of more products than this go through the Fourier transform."""
_SHARED = 10_000
"""Steps of bins up to this size, at most 8 kB each, are kept for the next series."""


def ks_distance(reference: ArrayLike, window: ArrayLike) -> float:
    """Largest difference of the cumulative shares of two count vectors (k,) on the same bins; 0 where one is empty."""
    gaps = cumulative_gaps(reference, window)
    return float(np.abs(gaps).max()) if len(gaps) else 0.0


def cumulative_gaps(reference: ArrayLike, window: ArrayLike) -> Floats:
    """Share of the window below each cut minus that of the reference, shape (k - 1,); zeros where one is empty."""
    reference, window = np.asarray(reference, dtype=np.float64), np.asarray(window, dtype=np.float64)
    if reference.sum() <= 0 or window.sum() <= 0:
        return np.zeros(len(reference) - 1)
    return (np.cumsum(shares(window)) - np.cumsum(shares(reference)))[:-1]


def ks_p_value(reference: ArrayLike, window: ArrayLike) -> float:
    """P(D >= observed) under exchangeability, for counts (k,) in effective rows; 1 where one sample is empty.

    Weighted counts are rounded to a whole table first. Exact up to 2e5 pooled rows.
    """
    first, second = whole_counts(reference), whole_counts(window)
    n, m = int(second.sum()), int(first.sum())
    if n == 0 or m == 0:
        return 1.0
    distance = ks_distance(first, second)
    effective = pooled_rows(m, n)
    if math.sqrt(effective) * distance > _CERTAIN:
        return max(asymptotic_p_value(distance, effective), 1e-300)
    pooled = first + second
    if effective > _LARGE:
        factor = _LARGE / effective
        pooled, n = whole_counts(pooled * factor), round(n * factor)
        distance /= math.sqrt(factor)
    return exact_p_value(pooled, n, distance)


def asymptotic_p_value(distance: float, effective: float) -> float:
    """First term of Kolmogorov's series, 2 exp(-2 n d^2): an upper bound, far too high for few bins (Smirnov 1948)."""
    return min(1.0, 2.0 * math.exp(-2.0 * effective * distance * distance))


def exact_p_value(pooled: Integers, n: int, distance: float) -> float:
    """Share of the splits of `pooled` (k,), with n rows in the window, whose KS distance is at least `distance`.

    Paths are weighed as sums of independent binomials, which become hypergeometric when conditioned on their total. Absolute error below 1e-8.
    """
    pooled = pooled[pooled > 0]
    total = int(pooled.sum())
    share = n / total
    half_width = distance * n * (total - n) / total - 1e-7
    if half_width <= 0:
        return 1.0
    inside, start, seen = np.ones(1), 0, 0
    for size in pooled.tolist():
        step, first = _step(size, share) if size <= _SHARED else _binomial_masses(size, share)
        inside, start, seen = _convolve(inside, step), start + first, seen + size
        low = max(start, math.floor(seen * share - half_width) + 1)
        high = min(start + len(inside) - 1, math.ceil(seen * share + half_width) - 1)
        if low > high:
            return 1.0
        inside, start = inside[low - start : high - start + 1], low
    ending, first = _binomial_masses(total, share)
    return min(1.0, max(1.0 - float(inside[n - start] / ending[n - first]), _LEAST))


def _convolve(a: Floats, b: Floats) -> Floats:
    if len(a) * len(b) <= _DIRECT:
        return np.convolve(a, b)
    length = len(a) + len(b) - 1
    padded = next_fast_len(length, real=True)  # scipy.signal would do the same, and takes 0.7 s and 50 MB to import
    product = irfft(rfft(a, padded) * rfft(b, padded), padded)[:length]
    return np.asarray(np.maximum(product, 0.0), dtype=np.float64)


@lru_cache(maxsize=1024)
def _step(size: int, share: float) -> tuple[Floats, int]:
    """Bins of about the same size are everywhere in a window: its series have the same rows, cut into bins of equal weight."""
    masses, first = _binomial_masses(size, share)
    masses.flags.writeable = False
    return masses, first


def _binomial_masses(size: int, share: float) -> tuple[Floats, int]:
    """Binomial probabilities around the mean, what is left out being below 1e-17, and the first number they are for."""
    mean, spread = size * share, 9.0 * math.sqrt(size * share * (1.0 - share)) + 12.0
    low, high = max(0, math.floor(mean - spread)), min(size, math.ceil(mean + spread))
    hits = np.arange(low, high + 1, dtype=np.float64)
    log_ways = math.lgamma(size + 1) - gammaln(hits + 1) - gammaln(size + 1 - hits)
    odds = math.log(share) - math.log1p(-share)
    return np.exp(log_ways + hits * odds + size * math.log1p(-share)), low
