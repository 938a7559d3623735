"""Wasserstein distance from binned counts, in standard deviations of the reference."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from modelspan.processor.stats.ks import cumulative_gaps
from modelspan.profile import NumericProfile


def wasserstein(reference: NumericProfile, window: ArrayLike) -> float | None:
    """Area between the two distribution functions between the least and the greatest value of the reference.

    Each bin's values are taken as spread evenly over it; how far values lie beyond the reference's range does not count.
    None where the reference has no finite spread, or one side has no values.
    """
    low, high, spread = reference.min, reference.max, reference.stddev
    window = np.asarray(window, dtype=np.float64)
    if low is None or high is None or not spread or window.sum() <= 0:
        return None
    places = np.concatenate([[low], np.clip(reference.cuts, low, high), [high]]) / spread
    gaps = np.abs(np.concatenate([[0.0], cumulative_gaps(reference.counts, window), [0.0]]))
    area = float((np.diff(places) * (gaps[1:] + gaps[:-1]) / 2).sum())
    return area if np.isfinite(area) else None
