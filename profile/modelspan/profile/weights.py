"""Weights of reference rows, scaled so that their sum is the number of rows they are worth."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def effective_weights(weights: ArrayLike, rows: int) -> NDArray[np.float64]:
    """Scale weights (rows,) so that they add up to the effective sample size (sum w)^2 / sum w^2 (Kish 1965, section 11.7).

    Raises ValueError where a weight is negative, not finite, or missing.
    """
    given = np.asarray(weights, dtype=np.float64)
    if given.shape != (rows,):
        raise ValueError(f"weights have shape {given.shape}, but there are {rows} values: give one weight per value")
    if not np.isfinite(given).all() or (given < 0).any():
        raise ValueError("weights must be finite and not negative")
    largest = given.max(initial=0.0)
    if largest == 0.0:
        return given
    shares = given / largest  # squares of huge or tiny weights would overflow
    return np.asarray(shares * (shares.sum() / np.square(shares).sum()), dtype=np.float64)
