"""Which rows are copied of a call that is too large to copy whole: a stratified random sample, cheap to draw."""

from __future__ import annotations

import os

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.int64]
"""Positions of rows, in no order."""

MOST_AHEAD = 64
MOST_NUMBERS = 16_384
"""Samples drawn ahead for one size of call, and the numbers that they may hold."""
MOST_SIZES = 32
"""Sizes of calls for which samples are drawn ahead."""


class Strata:
    """Samples of one random row of each of so many strata; none is taken twice. Strata that cannot be equal, and differ by a
    row, begin at a random row of the call and go round: each row is as likely as any other.

    A call pays 0.3 µs, because a program tends to make calls of one size and samples are drawn ahead for it, many at once.
    Each is used once. Safe with threads, since taking from a list is one step; a forked process draws its own.
    """

    def __init__(self) -> None:
        self._start_over()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._start_over)

    def _start_over(self) -> None:
        self._generator = np.random.default_rng()
        self._ahead: dict[tuple[int, int], list[Rows]] = {}

    def sample(self, rows: int, kept: int) -> Rows:
        """Positions of `kept` of `rows` rows."""
        try:
            return self._ahead[rows, kept].pop()
        except (KeyError, IndexError):
            return self._draw(rows, kept)

    def _draw(self, rows: int, kept: int) -> Rows:
        ahead = self._ahead.get((rows, kept))
        count = 1
        if ahead is not None:
            count = max(1, min(MOST_AHEAD, MOST_NUMBERS // kept))
        elif len(self._ahead) >= MOST_SIZES:
            self._ahead = {}
        edges = np.arange(kept + 1) * rows // kept
        within = (self._generator.random((count, kept)) * np.diff(edges)).astype(np.int64)
        turned = self._generator.integers(rows if rows % kept else 1, size=(count, 1))
        drawn = edges[:-1] + within + turned
        drawn -= rows * (drawn >= rows)
        self._ahead.setdefault((rows, kept), []).extend(drawn[1:])
        first: Rows = drawn[0]
        return first


strata = Strata()
"""Those of this process."""
