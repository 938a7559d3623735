"""The three classes of a profile."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

KINDS = frozenset({"feature", "label", "score", "value"})
"""What a series can be of a prediction."""


class InvalidProfile(ValueError):
    """A profile that cannot be used; the message says what is wrong and where."""


@dataclass(frozen=True, eq=False)
class NumericProfile:
    """Counts of a numeric series on its cut points.

    `cuts` (k,) is strictly increasing and finite. `counts` (k + 1,): bin i holds `cuts[i-1] <= v < cuts[i]`. `rows` is the
    effective number of rows: `counts.sum() + missing + text == rows`. The moments are those of the finite values; None where
    there is none.
    """

    kind: str
    name: str
    rows: float
    missing: float
    cuts: NDArray[np.float64]
    counts: NDArray[np.float64]
    mean: float | None
    stddev: float | None
    min: float | None
    max: float | None
    text: float = 0.0
    """Rows whose value is a text."""


@dataclass(frozen=True, eq=False)
class CategoricalProfile:
    """Counts of a categorical series, heaviest category first.

    `counts` (k + 1,) has one entry more than `categories` (k,): the last counts every other value.
    `counts.sum() + missing == rows`.
    """

    kind: str
    name: str
    rows: float
    missing: float
    categories: tuple[str, ...]
    counts: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Profile:
    """What a model was built on: one entry per series, (kind, name) unique."""

    series: tuple[NumericProfile | CategoricalProfile, ...]
