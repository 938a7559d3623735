"""Where to cut a numeric series into bins.

Quantiles alone hide what happens in the rare values beside a heavy one (a column that is zero in 92 % of its rows has
most of its deciles at zero), so every heavy value, an atom, gets a bin of its own and the other values share the rest of
the bins by weight. A cut lies halfway between two neighbouring observed values, where rounding moves nothing across it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_LARGEST = np.finfo(np.float64).max
_FLOAT32_STEP = 2.0**-23
_FLOAT32_SMALLEST = 2.0**-149
_MARGIN = 2.0**-20
"""How far beyond the outermost atom its bin reaches, in units of the largest magnitude of the series."""


def choose_cuts(values: Floats, masses: Floats, *, bins: int, atom_share: float, max_bins: int) -> Floats:
    """Cut points, strictly increasing and finite, for distinct sorted values (k,) of the given masses (k,)."""
    if len(values) == 0:
        return np.empty(0)
    finite = np.clip(values, -_LARGEST, _LARGEST)
    if _one_bin_per_value(finite, bins, max_bins):
        atoms = np.ones(len(finite), dtype=np.bool_)
    else:
        atoms = masses >= atom_share * masses.sum()
    owners = _owners(finite, masses, atoms, bins)
    last = np.flatnonzero(owners[1:] != owners[:-1])
    with np.errstate(over="ignore"):  # beyond the largest float there is nothing to cut off
        inner = _between(finite[last], finite[last + 1])
        cuts = np.concatenate([_below(finite, atoms, inner), inner, _above(finite, atoms, inner)])
    return np.unique(cuts[np.abs(cuts) < _LARGEST])


def _one_bin_per_value(values: Floats, bins: int, max_bins: int) -> bool:
    if len(values) > max_bins:
        return False
    return len(values) <= bins or bool((values == np.rint(values)).all())


def _owners(values: Floats, masses: Floats, atoms: NDArray[np.bool_], bins: int) -> NDArray[np.intp]:
    """Which bin owns each value: a group of equal weight, or an atom."""
    light = np.where(atoms, 0.0, masses)
    total = light.sum()
    owners = np.full(len(values), -1, dtype=np.intp)
    if total > 0:
        groups = max(1, int(np.ceil(bins * total / masses.sum())))
        middle = np.cumsum(light) - light / 2
        owners = np.minimum((middle / total * groups).astype(np.intp), groups - 1)
    if atoms.any():
        owners[atoms] = bins + 1 + np.arange(int(atoms.sum()))
        if total > 0:
            _absorb(values, atoms, owners)
    return owners


def _absorb(values: Floats, atoms: NDArray[np.bool_], owners: NDArray[np.intp]) -> None:
    """Give an atom the lighter values that a float32 could not tell from it, so that its bin survives the round trip."""
    heavy = values[atoms]
    after = np.searchsorted(heavy, values)
    for neighbour in (np.minimum(after, len(heavy) - 1), np.maximum(after - 1, 0)):
        reach = np.maximum(np.abs(heavy[neighbour]) * _FLOAT32_STEP, _FLOAT32_SMALLEST)
        near = ~atoms & (np.abs(values / 2 - heavy[neighbour] / 2) <= reach / 2)
        owners[near] = owners[atoms][neighbour[near]]


def _between(low: Floats, high: Floats) -> Floats:
    """The middle of two values; the upper one where the two are neighbours among the floats."""
    middle = np.where(
        np.maximum(-low, high) < 1.0, (low + high) / 2, low / 2 + high / 2
    )  # halves of denormals are inexact
    return np.where((low < middle) & (middle <= high), middle, high)


def _margin(values: Floats) -> float:
    largest = float(np.abs(values).max())
    return largest * _MARGIN if largest > 0 else _MARGIN


def _below(values: Floats, atoms: NDArray[np.bool_], inner: Floats) -> Floats:
    """A cut below the lowest value where that is an atom: what is lower still was never seen and needs its own bin."""
    if not atoms[0]:
        return np.empty(0)
    room = inner[0] - values[0] if len(inner) else np.inf
    cut = values[0] - min(room, _margin(values))
    return np.array([min(cut, np.nextafter(values[0], -np.inf))])


def _above(values: Floats, atoms: NDArray[np.bool_], inner: Floats) -> Floats:
    if not atoms[-1]:
        return np.empty(0)
    room = values[-1] - inner[-1] if len(inner) else np.inf
    cut = values[-1] + min(room, _margin(values))
    return np.array([max(cut, np.nextafter(values[-1], np.inf))])
