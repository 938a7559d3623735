"""Which categories a reference knows well enough to name.

A category that is named because the reference happened to hold many rows of it tends to have fewer in the next sample, and the rest
more: with many rare categories that alone looks like drift. For Poisson counts X of mean u, the surplus of those with X >= c is
E[(X - u) 1(X >= c)] = u P(X = c - 1), the sum behind Good and Turing's estimate of the unseen share (Good 1953, Biometrika 40: 237-264). So the
threshold c is put where this surplus is small beside the noise of the unnamed rows.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_SURPLUS_ROWS = 1.0
_SURPLUS_NOISE = 0.5
"""The surplus may be one row, or half of the standard deviation of the number of unnamed rows."""


def known_categories(masses: Floats, most: int) -> int:
    """How many of the categories of these masses (k,), heaviest first, to name; at most `most`."""
    if len(masses) == 0:
        return 0
    total = masses.sum()
    means, number = np.unique(masses, return_counts=True)
    for kept in range(min(most, len(masses)), 0, -1):
        rest = masses[kept:].sum() / total
        allowed = max(_SURPLUS_ROWS, _SURPLUS_NOISE * math.sqrt(total * rest * (1 - rest)))
        most_unnamed = float(masses[kept]) if kept < len(masses) else 0.0
        if _surplus(means, number, float(masses[kept - 1]), most_unnamed) <= allowed:
            return kept
    return 0


def _surplus(means: Floats, number: NDArray[np.intp], least_named: float, most_unnamed: float) -> float:
    """Surplus of the named categories, at the best threshold between the two, where `number` categories have these means."""
    middle = (math.sqrt(least_named) + math.sqrt(most_unnamed)) ** 2 / 4
    surplus = math.inf
    for threshold in (most_unnamed + 1.0, middle, least_named):
        hits = max(0.0, threshold - 1.0)
        chances = np.exp(hits * np.log(means) - means - math.lgamma(hits + 1.0))
        surplus = min(surplus, float((number * means) @ chances))
    return surplus
