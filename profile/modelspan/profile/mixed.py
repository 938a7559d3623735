"""From the values of a series that may be numbers and texts to its profile."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from modelspan.profile.categorical import categorical_profile
from modelspan.profile.numeric import numeric_profile
from modelspan.profile.series import CategoricalProfile, NumericProfile
from modelspan.profile.text import number_text


def mixed_profile(
    numbers: ArrayLike,
    texts: Sequence[str | None],
    *,
    kind: str,
    name: str,
    weights: ArrayLike | None = None,
    bins: int = 50,
) -> NumericProfile | CategoricalProfile:
    """Profile of numbers (n,), NaN where there is none, and texts (n,), None where there is none; of each row one at most.

    It is numeric where numbers have at least half of the weight; texts are one bin then. Else it is categorical, and numbers are
    categories by their texts. A series that is always missing is categorical, with no category: any value in it is news.

    Raises ValueError where the weights do not fit.
    """
    values = np.asarray(numbers, dtype=np.float64)
    is_number = ~np.isnan(values)
    is_text = np.fromiter((text is not None for text in texts), dtype=bool, count=len(texts))
    of_numbers, of_texts = (_weight(rows, weights) for rows in (is_number, is_text))
    if of_numbers > 0 and of_numbers >= of_texts:
        return numeric_profile(values, kind=kind, name=name, weights=weights, bins=bins, is_text=is_text)
    written = [
        number_text(value) if found else text
        for value, found, text in zip(values.tolist(), is_number, texts, strict=True)
    ]
    return categorical_profile(written, kind=kind, name=name, weights=weights)


def _weight(rows: NDArray[np.bool_], weights: ArrayLike | None) -> float:
    return float(rows.sum() if weights is None else np.asarray(weights, dtype=np.float64)[rows].sum())
