"""One fitted model has one version, whichever instrumentors are in use, in every process that loads it."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import catboost
import joblib
import lightgbm
import numpy as np
import pytest
import xgboost
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import StackingClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from modelspan.instrumentation.recorder.kinds import kind_of

X = np.random.default_rng(3).normal(size=(80, 4))
Y = (X[:, 0] > 0).astype(int)

BOOSTERS: dict[str, Callable[[], Any]] = {
    "xgboost": lambda: xgboost.XGBClassifier(n_estimators=2),
    "lightgbm": lambda: lightgbm.LGBMClassifier(n_estimators=2, verbose=-1),
    "catboost": lambda: catboost.CatBoostClassifier(iterations=2, verbose=0, allow_writing_files=False),
}
AROUND: dict[str, Callable[[Any], Any]] = {
    "pipeline": lambda inner: make_pipeline(StandardScaler(), inner),
    "calibrated": lambda inner: CalibratedClassifierCV(inner, cv=2),
    "voting": lambda inner: VotingClassifier([("a", inner), ("b", LogisticRegression())], voting="soft"),
    "stacking": lambda inner: StackingClassifier([("a", inner)], cv=2),
    "search": lambda inner: GridSearchCV(make_pipeline(StandardScaler(), inner), {"standardscaler__with_mean": [True]}),
}

DIGESTS = """
import sys, joblib
for name in filter(None, sys.argv[2].split(",")):
    exec(f"from modelspan.instrumentation import {name} as module")
    for name in module.__all__:
        getattr(module, name)().instrument()
from modelspan.instrumentation.recorder.kinds import kind_of
print(*[kind_of(model).digest(model) for model in joblib.load(sys.argv[1])])
"""


def digest(model: Any) -> str:
    return kind_of(model).digest(model)


@pytest.fixture(scope="module")
def models() -> list[Any]:
    """Each booster alone, and within each composite model."""
    made = [build() for build in BOOSTERS.values()]
    made += [around(build()) for around in AROUND.values() for build in BOOSTERS.values()]
    return [model.fit(X, Y) for model in made]


@pytest.mark.parametrize(
    "instrumented", ["", "sklearn", "xgboost,lightgbm,catboost", "catboost,sklearn,loading,xgboost"]
)
def test_a_process_digests_it_alike_whatever_is_instrumented(
    models: list[Any], program: Callable[..., str], tmp_path: Path, instrumented: str
) -> None:
    path = tmp_path / "models.joblib"
    joblib.dump(models, path)
    assert program(DIGESTS, str(path), instrumented, prelude="").split() == [digest(model) for model in models]


def test_predicting_pickling_and_what_a_server_sets_leave_it(models: list[Any]) -> None:
    for model in models:
        learnt = digest(model)
        model.predict(X)
        loaded = pickle.loads(pickle.dumps(model))
        assert digest(model) == digest(loaded) == learnt
        threads = {name: 2 for name in loaded.get_params() if name.rpartition("__")[2] in ("n_jobs", "thread_count")}
        assert digest(loaded.set_params(**threads) if threads else loaded) == learnt
    scaled = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, Y)
    learnt = digest(scaled)
    assert digest(scaled.set_output(transform="pandas")) == learnt


def test_another_fit_of_a_nested_booster_has_another(models: list[Any]) -> None:
    for build in BOOSTERS.values():
        first, second = (make_pipeline(StandardScaler(), build()).fit(X, y) for y in (Y, 1 - Y))
        assert digest(first) != digest(second)


def test_a_library_that_cannot_be_asked_leaves_what_pickle_would_write(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(kind_of(BOOSTERS["xgboost"]())), "digest", lambda *_: 1 / 0)
    first, second = (make_pipeline(StandardScaler(), BOOSTERS["xgboost"]()).fit(X, y) for y in (Y, 1 - Y))
    assert digest(first) != digest(second)
