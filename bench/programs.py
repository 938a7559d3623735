"""Programs whose predictions are measured: one for each framework, on the same made-up numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from modelspan.instrumentation.patching.instrumentor import ModelInstrumentor

Call = Callable[[], Any]

_RNG = np.random.default_rng(0)
X = _RNG.normal(size=(10_000, 20))
Y = (X[:, 0] + X[:, 1] > 0).astype(int)
NAMES = [f"feature_{i}" for i in range(20)]


@dataclass(frozen=True)
class Program:
    """A model and how it is called."""

    name: str
    make: Callable[[int], tuple[Call, Any]]
    """Given a number of rows: a call that predicts so many, and the first of them."""
    instrumentors: Callable[[], list[type[ModelInstrumentor]]]


def _sklearn_instrumentor() -> list[type[ModelInstrumentor]]:
    from modelspan.instrumentation.sklearn import SklearnInstrumentor

    return [SklearnInstrumentor]


def _logistic_regression(rows: int) -> tuple[Call, Any]:
    from sklearn.linear_model import LogisticRegression

    model, x = LogisticRegression().fit(X, Y), X[:rows].copy()
    return lambda: model.predict(x), x[0]


def _pipeline(rows: int) -> tuple[Call, Any]:
    import pandas as pd
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    frame = pd.DataFrame(X, columns=NAMES)
    model, x = make_pipeline(StandardScaler(), LogisticRegression()).fit(frame, Y), frame.iloc[:rows]
    return lambda: model.predict(x), X[0]


def _forest(rows: int) -> tuple[Call, Any]:
    from sklearn.ensemble import RandomForestClassifier

    model, x = RandomForestClassifier(100, random_state=0).fit(X[:2000], Y[:2000]), X[:rows].copy()
    return lambda: model.predict(x), x[0]


PROGRAMS = [
    Program("LogisticRegression.predict", _logistic_regression, _sklearn_instrumentor),
    Program("Pipeline.predict, DataFrame", _pipeline, _sklearn_instrumentor),
    Program("RandomForest(100).predict", _forest, _sklearn_instrumentor),
]
