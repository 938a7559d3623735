"""Jensen-Shannon distance of two count vectors."""

from __future__ import annotations

import math

from numpy.typing import ArrayLike
from scipy.special import rel_entr

from modelspan.processor.stats.effective import shares


def js_distance(reference: ArrayLike, window: ArrayLike) -> float:
    """Square root of the Jensen-Shannon divergence in bits, 0 to 1 (Endres and Schindelin 2003); 0 where one is empty."""
    p, q = shares(reference), shares(window)
    if not p.any() or not q.any():
        return 0.0
    middle = (p + q) / 2
    divergence = float(rel_entr(p, middle).sum() + rel_entr(q, middle).sum()) / (2 * math.log(2))
    return math.sqrt(min(1.0, max(0.0, divergence)))
