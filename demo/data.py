"""The Shuttle data set that River ships, shuffled once with a fixed seed and cut in two halves."""

from __future__ import annotations

import pandas as pd
from river.datasets import Shuttle


def _shuffled() -> tuple[pd.DataFrame, pd.Series]:
    rows = list(Shuttle())
    features = pd.DataFrame([x for x, _ in rows]).astype("float64")
    labels = pd.Series(["anomalous" if y else "normal" for _, y in rows])
    order = features.sample(frac=1, random_state=20260101).index
    return features.loc[order].reset_index(drop=True), labels.loc[order].reset_index(drop=True)


def training_half() -> tuple[pd.DataFrame, pd.Series]:
    """Return sensor readings and labels to train on."""
    features, labels = _shuffled()
    half = len(features) // 2
    return features[:half], labels[:half]


def live_half() -> tuple[pd.DataFrame, pd.Series]:
    """Return sensor readings and labels that the model has never seen."""
    features, labels = _shuffled()
    half = len(features) // 2
    return features[half:].reset_index(drop=True), labels[half:].reset_index(drop=True)
