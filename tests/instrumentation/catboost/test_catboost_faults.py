"""A fault in any function of CatBoost's instrumentation leaves the program as it is, and is said once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import catboost as cb
import numpy as np
import pandas as pd
import pytest

from modelspan.instrumentation import set_reference
from modelspan.instrumentation.catboost import CatBoostInstrumentor
from modelspan.instrumentation.sklearn import SklearnInstrumentor
from tests.instrumentation.faults import Instrumented, but, outcome, places

X = np.random.default_rng(0).normal(size=(120, 3))
Y = (X[:, 0] > 0).astype(int)
FRAME = pd.DataFrame({"a": X[:, 0], "b": np.where(X[:, 1] > 0, "u", "v")})
SMALL = {"iterations": 2, "depth": 2, "thread_count": 1, "verbose": 0, "allow_writing_files": False}
ALL = places("catboost")
REFUSED = "catboost.model:CatBoostKind.feature_names", "catboost.model:CatBoostKind.takes_texts"
"""Questions to models that may go without an answer."""


def program(folder: Path) -> list[Any]:
    """What a user does; all results."""
    models = [cb.CatBoostClassifier(**SMALL).fit(X, Y), cb.CatBoostRegressor(**SMALL).fit(X, X[:, 1])]
    models.append(cb.CatBoostRanker(**SMALL).fit(cb.Pool(X, Y, group_id=np.repeat([0, 1], 60))))
    models.append(cb.CatBoost({"loss_function": "MultiClass", **SMALL}).fit(X, np.digitize(X[:, 0], (-0.5, 0.5))))
    results = [model.predict(X) for model in models]
    results += [models[0].predict_proba(X[:1]), models[0].predict_log_proba(X)]
    results += [models[0].predict(X[0]), models[0].predict(pd.Series(X[0])), models[0].predict_proba(X.tolist())]
    results += [models[0].predict(cb.Pool(X, feature_names=list("abc"))), models[0].predict(X, "RawFormulaVal")]
    results += [
        models[3].predict(X, prediction_type="Class"),
        models[0].predict_proba(cb.Pool(X)),
        models[1].predict(cb.Pool(X)),
    ]
    results += [outcome(models[0].predict, X[:, :2]), outcome(cb.CatBoostClassifier().predict, X)]
    results += [models[0].score(X, Y), list(models[0].staged_predict(X))]
    pool = cb.Pool(FRAME, X[:, 2], cat_features=["b"])
    model = cb.train(pool, {"loss_function": "RMSE", **SMALL})
    results += [model.predict(pool), model.predict(FRAME)]
    models[0].save_model(str(folder / "m.cbm"))
    loaded = cb.CatBoostClassifier().load_model(str(folder / "m.cbm"))
    loaded.set_scale_and_bias(2.0, 0.5)
    results += [loaded.predict(X), cb.sum_models([models[1], models[1]]).predict(X)]
    set_reference(models[1], cb.Pool(X))
    set_reference(models[1], X)
    return results


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Instrumented:
    folder = tmp_path_factory.mktemp("models")
    owners = [cb, cb.core, cb.CatBoost, cb.CatBoostClassifier, cb.CatBoostRegressor, cb.CatBoostRanker]
    return Instrumented(lambda: program(folder), [SklearnInstrumentor, CatBoostInstrumentor], owners)


@pytest.mark.parametrize("place", but(ALL, REFUSED))
def test_a_fault_changes_no_result_and_is_said_once(
    place: str, user: Instrumented, caplog: pytest.LogCaptureFixture
) -> None:
    assert not user.survives(ALL[place], caplog)


@pytest.mark.parametrize("place", REFUSED)
def test_what_a_model_does_not_answer_is_left_out(
    place: str, user: Instrumented, caplog: pytest.LogCaptureFixture
) -> None:
    assert not user.survives(ALL[place], caplog, warnings=0)
