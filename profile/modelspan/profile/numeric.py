"""From the values of a numeric series to its profile."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from modelspan.profile.cuts import choose_cuts
from modelspan.profile.series import NumericProfile
from modelspan.profile.weights import effective_weights

Floats = NDArray[np.float64]


def numeric_profile(
    values: ArrayLike,
    *,
    kind: str,
    name: str,
    weights: ArrayLike | None = None,
    bins: int = 50,
    atom_share: float = 0.01,
    max_bins: int = 100,
    is_text: ArrayLike | None = None,
) -> NumericProfile:
    """Profile of numbers (n,): cut points at quantiles, and a bin of its own for every heavy value.

    Values are taken as float64, as they are stored: integers beyond 2^53 that round to the same float are one value. NaN is
    missing, or a text where `is_text` (n,). Infinities are values: they lie in the outermost bins and are left out of the moments.

    `bins` share the values that are not atoms; more of them see finer changes and cost more. A value with at least `atom_share`
    of the weight is an atom. A series of at most `bins` distinct values, or of at most `max_bins` distinct integers, gets one bin
    per value. Where the outermost value has a bin of its own, what lies beyond it gets one more, empty in the reference.

    Raises ValueError where the values are not one-dimensional or the weights do not fit.
    """
    given = np.asarray(values, dtype=np.float64)
    if given.ndim != 1:
        raise ValueError(f"values of series {name!r} have shape {given.shape}: give one column")
    weight = None if weights is None else effective_weights(weights, len(given))
    distinct, masses, missing = _distinct(given, weight)
    texts = (
        0.0
        if is_text is None
        else float((np.ones(len(given)) if weight is None else weight)[np.asarray(is_text, bool)].sum())
    )
    cuts = choose_cuts(distinct, masses, bins=bins, atom_share=atom_share, max_bins=max_bins)
    below = np.concatenate([[0.0], np.cumsum(masses)])[np.searchsorted(distinct, cuts)]
    total = float(masses.sum())
    mean, stddev = _moments(distinct, masses)
    finite = distinct[np.isfinite(distinct)]
    return NumericProfile(
        kind=kind,
        name=name,
        rows=total + missing,
        missing=max(0.0, missing - texts),
        cuts=cuts,
        counts=np.diff(below, prepend=0.0, append=total),
        mean=mean,
        stddev=stddev,
        min=float(finite[0]) if len(finite) else None,
        max=float(finite[-1]) if len(finite) else None,
        text=texts,
    )


def _distinct(values: Floats, weights: Floats | None) -> tuple[Floats, Floats, float]:
    """Distinct present values in order, their masses, and the mass of the missing ones."""
    if weights is None:
        ordered = np.sort(values)  # NaN comes last
        present = len(ordered) - int(np.isnan(values).sum())
        missing = float(len(ordered) - present)
        cumulative: Floats = np.arange(present + 1, dtype=np.float64)
    else:
        order = np.argsort(values, kind="stable")
        order = order[weights[order] > 0]
        ordered = values[order]
        present = len(ordered) - int(np.isnan(ordered).sum())
        missing = float(weights[order[present:]].sum())
        cumulative = np.concatenate([[0.0], np.cumsum(weights[order[:present]])])
    ordered = ordered[:present]
    first = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]])[:present])
    return ordered[first], np.diff(cumulative[np.append(first, present)]), missing


def _moments(values: Floats, masses: Floats) -> tuple[float | None, float | None]:
    """Mean and population standard deviation of the finite values, without overflow."""
    finite = np.isfinite(values)
    if not finite.all():
        values, masses = values[finite], masses[finite]
    if len(values) == 0:
        return None, None
    scale = float(np.abs(values[[0, -1]]).max()) or 1.0
    scaled = values / scale
    shares = masses / masses.sum()
    mean = min(max(float(shares @ scaled), float(scaled[0])), float(scaled[-1]))
    variance = float(shares @ np.square(scaled - mean))
    return mean * scale, float(np.sqrt(variance)) * scale
