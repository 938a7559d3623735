"""From the values of a categorical series to its profile."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from modelspan.profile.known import known_categories
from modelspan.profile.series import CategoricalProfile
from modelspan.profile.weights import effective_weights

MAX_CATEGORY_LENGTH = 1024
"""A longer value is text rather than a category: it is counted with the others."""


def categorical_profile(
    values: Iterable[Any],
    *,
    kind: str,
    name: str,
    weights: ArrayLike | None = None,
    max_categories: int = 100,
) -> CategoricalProfile:
    """Profile of strings (n,); None and NaN are missing, what is not a string is taken as its `str`.

    The heaviest are named, at most `max_categories` and only as many as `known_categories` can tell from the rest; the last
    count holds the others. Those of equal weight are ordered by their code points.

    Raises ValueError where the weights do not fit.
    """
    masses = _masses(list(values), weights)
    missing = masses.pop(None, 0.0)
    total = sum(masses.values())
    named = sorted(
        ((str(category), mass) for category, mass in masses.items() if len(str(category)) <= MAX_CATEGORY_LENGTH),
        key=lambda item: (-item[1], item[0]),
    )
    kept = named[: known_categories(np.array([mass for _, mass in named]), max_categories)]
    counts = np.array([mass for _, mass in kept] + [0.0])
    counts[-1] = max(0.0, total - float(counts.sum()))
    return CategoricalProfile(kind, name, total + missing, missing, tuple(category for category, _ in kept), counts)


def _masses(values: list[Any], weights: ArrayLike | None) -> dict[str | None, float]:
    masses: defaultdict[str | None, float] = defaultdict(float)
    if weights is None:
        for value in values:
            masses[value if type(value) is str else _category(value)] += 1.0
    else:
        for value, weight in zip(values, effective_weights(weights, len(values)).tolist(), strict=True):
            if weight > 0:
                masses[_category(value)] += weight
    return dict(masses)


def _category(value: Any) -> str | None:
    if value is None or value != value:  # NaN alone differs from itself
        return None
    return str(value)
