"""The Shuttle data set that River ships, shuffled once with a fixed seed and cut in two halves.

It is read from River's wheel, which `make demo` downloads and does not install: there is none for Python 3.10.
"""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

import pandas as pd

WHEELS = Path(sys.prefix) / "wheels"


def _shuffled() -> tuple[pd.DataFrame, pd.Series]:
    (wheel,) = WHEELS.glob("river-*.whl")
    with zipfile.ZipFile(wheel) as files, files.open("river/datasets/shuttle.csv.gz") as table:
        features = pd.read_csv(table, compression="gzip").astype("float64")
    labels = features.pop("anomaly").map({0: "normal", 1: "anomalous"})
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
