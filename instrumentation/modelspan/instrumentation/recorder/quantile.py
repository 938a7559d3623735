"""A quantile of what was seen of late, of a stream of positive numbers, in constant memory."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_PER_OCTAVE = 16
"""Bins for each doubling: the quantile is exact to 4.4 %."""
_BINS = 64 * _PER_OCTAVE
LEAST = 100
"""Numbers before which nothing is known."""
_FORGET = 10_000
"""Numbers after which those seen so far count half."""


class RunningQuantile:
    """Counts in bins of equal ratio, which count half from time to time so that the quantile follows the stream."""

    def __init__(self, share: float) -> None:
        self._share = share
        self._counts = np.zeros(_BINS)

    def exceeded(self, values: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Which of the values lie above the quantile of those before them all; then they count too."""
        bins = np.clip(np.log2(np.maximum(values, 1)) * _PER_OCTAVE, 0, _BINS - 1).astype(np.int64)
        above: npt.NDArray[np.bool_] = bins > self._bin()
        self._counts += np.bincount(bins, minlength=_BINS)
        if self._counts.sum() > _FORGET:
            self._counts *= 0.5
        return above

    def _bin(self) -> int:
        total = float(self._counts.sum())
        if total < LEAST:
            return _BINS
        return int(np.searchsorted(np.cumsum(self._counts), self._share * total))
