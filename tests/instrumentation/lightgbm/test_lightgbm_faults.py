"""A fault in any function of LightGBM's instrumentation leaves the program as it is, and is said once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import pandas as pd
import pytest

from modelspan.instrumentation import set_reference
from modelspan.instrumentation.lightgbm import LightGBMInstrumentor
from modelspan.instrumentation.sklearn import SklearnInstrumentor
from tests.instrumentation.faults import Instrumented, but, outcome, places

X = np.random.default_rng(0).normal(size=(120, 3))
Y = (X[:, 0] > 0).astype(int)
FRAME = pd.DataFrame(X, columns=list("abc"))
QUIET = {"n_jobs": 1, "verbose": -1}
SMALL = {"n_estimators": 2, **QUIET}
ALL = places("lightgbm")
REFUSED = (
    "lightgbm.model:BoosterKind.classes",
    "lightgbm.model:BoosterKind.feature_names",
    "lightgbm.model:BoosterKind.takes_texts",
    "lightgbm.model:ModelKind.feature_names",
    "lightgbm.model:ModelKind.takes_texts",
)
"""Questions to models that may go without an answer."""


def squares(y: Any, predicted: Any) -> tuple[Any, Any]:
    """An objective of the program."""
    return predicted - y, np.ones_like(y)


def program(folder: Path) -> list[Any]:
    """What a user does; all results."""
    words = np.array(["no", "yes"])[Y]
    models = [lgb.LGBMClassifier(**SMALL).fit(FRAME, words), lgb.LGBMRegressor(**SMALL).fit(X, X[:, 1])]
    models.append(lgb.LGBMClassifier(**SMALL).fit(X, np.digitize(X[:, 0], (-0.5, 0.5))))
    models.append(lgb.LGBMRanker(**SMALL).fit(X, Y, group=[60, 60]))
    results = [model.predict(FRAME.to_numpy()) for model in models]
    results += [models[0].predict(FRAME), models[0].predict_proba(FRAME), models[2].predict_proba(X=X[:2])]
    results += [models[0].predict(X, raw_score=True), outcome(models[1].predict, X[:, :2])]
    results += [outcome(lambda: models[0].decision_function(X)), outcome(lgb.LGBMClassifier().predict, X)]
    results += [models[0].booster_.predict(FRAME, pred_leaf=True)]
    booster = lgb.train({"objective": "binary", **QUIET}, lgb.Dataset(X, Y), 2, keep_training_booster=True)
    results += [booster.predict(X), booster.eval_train()]
    booster.update()
    results += [booster.predict(X[:1]), outcome(booster.predict, X[:, :2]), booster.refit(X, Y).predict(X)]
    booster.save_model(folder / "m.txt")
    results.append(lgb.Booster(model_file=folder / "m.txt").predict(X))
    results.append(lgb.LGBMRegressor(objective=squares, **SMALL).fit(X, X[:, 1]).predict(X))
    results.append(lgb.train({"num_class": 3, "objective": "multiclass", **QUIET}, lgb.Dataset(X, Y), 1).predict(X))
    set_reference(booster, X)
    set_reference(models[1], X)
    return results


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Instrumented:
    folder = tmp_path_factory.mktemp("models")
    owners = [lgb, lgb.engine, lgb.Booster, lgb.LGBMModel, lgb.LGBMClassifier, lgb.LGBMRanker]
    return Instrumented(lambda: program(folder), [SklearnInstrumentor, LightGBMInstrumentor], owners)


@pytest.mark.parametrize("place", but(ALL, REFUSED))
def test_a_fault_changes_no_result_and_is_said_once(
    place: str, user: Instrumented, caplog: pytest.LogCaptureFixture
) -> None:
    if place == "lightgbm.patch:._model_decision_function" and not hasattr(lgb.LGBMClassifier, "decision_function"):
        pytest.skip(f"LightGBM {lgb.__version__} has no decision_function")
    assert not user.survives(ALL[place], caplog)


@pytest.mark.parametrize("place", REFUSED)
def test_what_a_model_does_not_answer_is_left_out(
    place: str, user: Instrumented, caplog: pytest.LogCaptureFixture
) -> None:
    assert not user.survives(ALL[place], caplog, warnings=0)
