"""The smallest effect that a test would have found with a probability of 0.8. Every effect is between 0 and 1."""

from __future__ import annotations

import math

from scipy.special import chdtri, chndtrinc, ndtri

POWER = 0.8


def smallest_ks_distance(threshold: float, effective: float) -> float:
    """KS distance found with probability 0.8 or more; `effective` rows are nm/(n + m).

    The lower bound of Massey (1950, Annals of Mathematical Statistics 21: 440-443): critical distance, plus the noise of the empirical
    functions at the place of the largest gap, at most 1/2 / sqrt(effective). The critical distance is Smirnov's.
    """
    if effective <= 0:
        return 1.0
    critical = math.sqrt(-math.log(threshold / 2) / 2)
    return min(1.0, (critical + float(ndtri(POWER)) / 2) / math.sqrt(effective))


def smallest_total_variation(threshold: float, bins: int, effective: float) -> float:
    """Total variation distance such that every change at least as large is found with probability 0.8 or more.

    Noncentral chi-square with noncentrality effective * w^2 (Cohen 1988, chapter 7); by the inequality of Cauchy and Schwarz a change of total
    variation t has w >= 2t.
    """
    if effective <= 0 or bins < 2:
        return 1.0
    critical = float(chdtri(bins - 1, threshold))
    noncentrality = float(chndtrinc(critical, bins - 1, 1 - POWER))
    return min(1.0, math.sqrt(noncentrality / effective) / 2)


def smallest_share_difference(threshold: float, share: float, effective: float) -> float:
    """Rise of a share found with probability 0.8, from the reference's share (a fall, where it is above a half).

    Arcsine approximation (Cohen 1988, chapter 6): h = (z of the threshold + z of the power) / sqrt(effective).
    """
    if effective <= 0:
        return 1.0
    base = min(share, 1 - share)
    h = (float(ndtri(1 - threshold / 2)) + float(ndtri(POWER))) / math.sqrt(effective)
    angle = math.asin(math.sqrt(base)) + h / 2
    return math.sin(angle) ** 2 - base if angle < math.pi / 2 else 1.0
