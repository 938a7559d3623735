"""The four kinds of series, and which predictions each is counted on."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """SQL conditions on a row of `ml_predictions`. Both are constants of this file.

    A model is often asked twice about the same rows (`predict`, then `predict_proba`), so every kind is counted on the rows of
    one operation only. Features of failed calls count, because they are what the model was asked; outputs do not exist then.
    """

    name: str
    counted: str
    """The row counts for this kind, with a value or without."""
    carried: str
    """The row has a value of this kind; features are taken to be always there."""


WEIGHTED = "weight BETWEEN 1e-9 AND 1e9"
"""Valid weights: the bounds applied to rows today. An earlier version stored any positive weight."""

READ = "(unreadable = '' OR notEmpty(features_numeric) OR notEmpty(features_text))"
"""Not of a row that has no features because they could not be read, as of a CatBoost Pool with categories: they are not missing."""

FEATURE = Kind("feature", f"{WEIGHTED} AND {READ}", "1")
LABEL = Kind("label", f"{WEIGHTED} AND error_type = ''", "label IS NOT NULL")
SCORE = Kind("score", f"{WEIGHTED} AND error_type = ''", "NOT isNaN(ifNull(score, nan))")
VALUE = Kind("value", f"{WEIGHTED} AND error_type = ''", "NOT isNaN(ifNull(value, nan))")

FEATURE_COLUMNS = ("features_numeric", "features_text")
"""Maps by name of the feature. Either may be empty in all rows."""

KINDS = (FEATURE, LABEL, SCORE, VALUE)
