"""What libraries predict by themselves is no prediction of the program."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import (
    AdaBoostClassifier,
    GradientBoostingClassifier,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LinearRegression, LogisticRegression

X = np.random.default_rng(0).normal(size=(120, 3))
Y = (X[:, 0] > 0).astype(int)
MODEL = LogisticRegression().fit(X, Y)
MEMBERS = [("a", LinearRegression()), ("b", LinearRegression())]
GAPS = np.where(np.random.default_rng(1).random(X.shape) < 0.1, np.nan, X)


def accuracy(model: Any, X: Any, y: Any) -> float:
    return float((model.predict(X) == y).mean())


@pytest.mark.parametrize(
    "call",
    [
        lambda: list(AdaBoostClassifier(n_estimators=3).fit(X, Y).staged_predict(X)),
        lambda: list(AdaBoostClassifier(n_estimators=3).fit(X, Y).staged_score(X, Y)),
        lambda: list(GradientBoostingClassifier(n_estimators=3).fit(X, Y).staged_predict_proba(X)),
        lambda: permutation_importance(MODEL, X, Y, n_repeats=1, scoring=accuracy),
        lambda: permutation_importance(MODEL, X, Y, n_repeats=1, scoring=["accuracy", "roc_auc"]),
        lambda: IterativeImputer(max_iter=2).fit(GAPS).transform(GAPS),
        lambda: VotingRegressor(MEMBERS).fit(X, X[:, 0]).transform(X),
        lambda: VotingClassifier([("a", MODEL)]).fit(X, Y).transform(X),
        lambda: StackingRegressor(MEMBERS, cv=2).fit(X, X[:, 0]).transform(X),
    ],
)
def test_nothing_is_recorded_within(telemetry: Any, call: Callable[[], Any]) -> None:
    call()
    assert telemetry.batches() == []


def test_between_the_steps_of_a_generator_the_program_predicts(telemetry: Any) -> None:
    for _ in GradientBoostingClassifier(n_estimators=3).fit(X, Y).staged_predict(X):
        MODEL.predict(X[:1])
    assert telemetry.rows() == 3


def test_set_output_still_works_where_transforming_is_guarded(telemetry: Any) -> None:
    imputer = IterativeImputer(max_iter=2).set_output(transform="pandas").fit(GAPS)
    assert list(imputer.transform(GAPS).columns) == ["x0", "x1", "x2"]


SHAP = """
class Explainer:
    def __init__(self, model):
        self.model = model
        model(0)
    def __call__(self, X):
        return self.explain_row(X)
    def explain_row(self, X):
        return self.model(X)

class KernelExplainer(Explainer):
    def __init__(self, model):
        super().__init__(model)
        model(1)
    def shap_values(self, X):
        return self.model(X)

Kernel = KernelExplainer
"""
"""The shape of SHAP, which is too large to be installed for a test."""
LIME = """
class LimeTabularExplainer:
    def explain_instance(self, row, predict):
        return predict(row)
"""


def test_explainers_predict_unrecorded(
    telemetry: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    for folder, name, source in (("shap", "explainers", SHAP), ("lime", "lime_tabular", LIME)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"{name}.py").write_text(source)
        (tmp_path / folder / "__init__.py").write_text("from shap.explainers import *\n" if folder == "shap" else "")
    monkeypatch.syspath_prepend(tmp_path)
    request.addfinalizer(
        lambda: [sys.modules.pop(one) for one in list(sys.modules) if one.split(".")[0] in ("shap", "lime")]
    )
    import lime.lime_tabular  # type: ignore[import-not-found]
    import shap  # type: ignore[import-not-found]

    def model(_: Any) -> Any:
        return MODEL.predict(X[:2])

    explainer = shap.KernelExplainer(model)
    assert len(explainer(X)) == len(explainer.shap_values(X)) == 2
    lime.lime_tabular.LimeTabularExplainer().explain_instance(X[0], model)
    assert telemetry.batches() == []
    model(None)
    assert telemetry.rows() == 2
