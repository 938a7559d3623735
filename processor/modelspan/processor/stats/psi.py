"""Population stability index: how large a change is, for people. It decides nothing."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from modelspan.processor.stats.effective import Floats

GROUPS = 10
MODERATE = 0.1
MAJOR = 0.2
_SMOOTHING = 0.5
_RARE = 0.01


def psi(reference: ArrayLike, window: ArrayLike) -> float:
    """Sum of (q - p) ln(q / p) over groups (k,), for counts in effective rows; 0 where one sample is empty.

    Half a row is added to every group of both samples (Krichevsky and Trofimov 1981), so that a group that is empty in one stays
    finite; one that is empty in both does not count. Without
    any change its mean is near (k - 1)(1/n + 1/m) (Yurdakul 2018, Statistical properties of the population stability index).
    """
    first, second = (np.asarray(counts, dtype=np.float64) for counts in (reference, window))
    if first.sum() <= 0 or second.sum() <= 0:
        return 0.0
    used = first + second > 0
    first, second = first[used], second[used]
    p, q = ((counts + _SMOOTHING) / (counts.sum() + _SMOOTHING * len(counts)) for counts in (first, second))
    return float(((q - p) * np.log(q / p)).sum())


def severity(value: float) -> str:
    """Band of a PSI: none, moderate from 0.1, major from 0.2."""
    if math.isnan(value) or value < MODERATE:
        return "none"
    return "moderate" if value < MAJOR else "major"


def neighbour_groups(reference: Floats) -> NDArray[np.intp]:
    """Group of each ordered bin (k,): about ten groups of neighbours with equal reference counts."""
    total = reference.sum()
    if total <= 0:
        return np.zeros(len(reference), dtype=np.intp)
    middle = np.cumsum(reference) - reference / 2
    groups = (middle / total * GROUPS).astype(np.intp)
    return np.asarray(np.minimum(groups, GROUPS - 1), dtype=np.intp)


def category_groups(reference: Floats) -> NDArray[np.intp]:
    """Group of each category (k,): its own, but categories below 1 % of the reference share one; the last, unseen, stays."""
    rare = reference < _RARE * reference.sum()
    rare[-1] = False
    groups = np.arange(len(reference), dtype=np.intp)
    groups[rare] = len(reference)
    return groups


def grouped(counts: Floats, groups: NDArray[np.intp], others: ArrayLike) -> Floats:
    """Counts by group, and other values, such as the missing ones, as groups of their own."""
    _, index = np.unique(groups, return_inverse=True)
    return np.append(np.bincount(index, weights=counts), others)
