"""A fault in any function of XGBoost's instrumentation leaves the program as it is, and is said once."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xgboost as xgb

from modelspan.instrumentation import set_reference
from modelspan.instrumentation.sklearn import SklearnInstrumentor
from modelspan.instrumentation.xgboost import XGBoostInstrumentor
from tests.instrumentation.faults import Instrumented, but, outcome, places

X = np.random.default_rng(0).normal(size=(120, 3)).astype(np.float32)
Y = (X[:, 0] > 0).astype(int)
FRAME = pd.DataFrame({"a": X[:, 0], "b": pd.Categorical(np.where(X[:, 1] > 0, "u", "v"))})
HOLED = np.where(X > 1, np.nan, X)
SMALL = {"n_estimators": 2, "n_jobs": 1, "max_depth": 2}
matrix_of = partial(xgb.DMatrix, nthread=1)
quantised = partial(xgb.QuantileDMatrix, max_bin=8, nthread=1)
ALL = places("xgboost")
REFUSED = (
    "xgboost.model:BoosterKind.classes",
    "xgboost.model:BoosterKind.feature_names",
    "xgboost.model:BoosterKind.takes_texts",
    "xgboost.model:ModelKind.feature_names",
    "xgboost.model:ModelKind.takes_texts",
)
"""Questions to models that may go without an answer."""
THEN_UNREAD = ("xgboost.matrix:._noted",)
"""Without it a streamed matrix is not known to be one, which shows when it is read."""


class Pages(xgb.DataIter):
    """A matrix that is streamed."""

    def __init__(self) -> None:
        super().__init__()
        self._left = 1

    def next(self, input_data: Any) -> bool:
        self._left -= 1
        if self._left < 0:
            return False
        input_data(data=X, label=Y)
        return True

    def reset(self) -> None:
        self._left = 1


def program(folder: Path) -> list[Any]:
    """What a user does; all results."""
    models = [xgb.XGBClassifier(**SMALL), xgb.XGBRegressor(**SMALL), xgb.XGBClassifier(**SMALL)]
    models[0].fit(X, Y)
    models[1].fit(X, X[:, 1])
    models[2].fit(X, np.digitize(X[:, 0], (-0.5, 0.5)))
    results = [model.predict(X) for model in models]
    results += [
        models[0].predict_proba(X[:1]),
        models[0].predict_proba(X=FRAME[["a"]].assign(b=0.0, c=1.0)),
        models[2].predict_proba(X[:2]),
        models[0].predict(X, output_margin=True),
    ]
    results += [models[0].apply(X), outcome(models[0].predict, X[:, :2]), outcome(xgb.XGBClassifier().predict, X)]
    ranker = xgb.XGBRanker(**SMALL, objective="rank:pairwise").fit(X, Y, qid=np.repeat([0, 1], 60))
    results.append(ranker.predict(X))
    matrix = matrix_of(X, Y, feature_names=["a", "b", "c"])
    booster = xgb.train({"objective": "binary:logistic", "nthread": 1}, matrix, 2)
    results += [booster.predict(matrix), booster.predict(matrix, pred_leaf=True), booster.eval(matrix)]
    booster.update(matrix, 2)
    results += [booster.inplace_predict(X, validate_features=False), outcome(booster.predict, matrix_of(X[:, :2]))]
    results.append(booster.predict(matrix.slice([0])))
    results.append(booster.inplace_predict(X, predict_type="margin", validate_features=False))
    booster.save_model(folder / "m.ubj")
    loaded = xgb.Booster(model_file=folder / "m.ubj")
    loaded.set_param({"nthread": 1})
    results += [loaded.predict(matrix_of(HOLED, feature_names=["a", "b", "c"]))]
    categories = matrix_of(FRAME, X[:, 0], enable_categorical=True)
    results.append(xgb.train({"nthread": 1}, categories, 1).predict(categories))
    plain = xgb.train({"nthread": 1, "max_bin": 8}, quantised(X, Y), 1)
    results += [plain.predict(quantised(X)), plain.predict(matrix_of(Pages()))]
    set_reference(booster, matrix)
    set_reference(models[0], X)
    return results


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Instrumented:
    folder = tmp_path_factory.mktemp("models")
    owners = [xgb, xgb.training, xgb.Booster, xgb.DMatrix, xgb.XGBModel, xgb.XGBClassifier]
    return Instrumented(lambda: program(folder), [SklearnInstrumentor, XGBoostInstrumentor], owners)


@pytest.mark.parametrize("place", but(ALL, REFUSED))
def test_a_fault_changes_no_result_and_is_said_once(
    place: str, user: Instrumented, caplog: pytest.LogCaptureFixture
) -> None:
    others = user.survives(ALL[place], caplog)
    assert len(others) == (place in THEN_UNREAD), others


@pytest.mark.parametrize("place", REFUSED)
def test_what_a_model_does_not_answer_is_left_out(
    place: str, user: Instrumented, caplog: pytest.LogCaptureFixture
) -> None:
    assert not user.survives(ALL[place], caplog, warnings=0)
