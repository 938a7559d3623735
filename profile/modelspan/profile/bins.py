"""Counting values on given cut points, as the service does it in SQL."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from modelspan.profile.series import NumericProfile


def bin_counts(profile: NumericProfile, values: ArrayLike, weights: ArrayLike | None = None) -> NDArray[np.float64]:
    """Weight of the values (n,) in each bin of the profile, shape (len(cuts) + 1,). NaN is missing and is not counted."""
    given = np.asarray(values, dtype=np.float64)
    present = ~np.isnan(given)
    weight = None if weights is None else np.asarray(weights, dtype=np.float64)[present]
    positions = np.searchsorted(profile.cuts, given[present], side="right")
    return np.bincount(positions, weights=weight, minlength=len(profile.cuts) + 1).astype(np.float64)
