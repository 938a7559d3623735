"""A fault in what replaces methods, whatever library they are of, leaves the program as it is, and is said once."""

from __future__ import annotations

import asyncio
import inspect
import pickle
from typing import Any

import celery.signals
import cloudpickle
import lightgbm as lgb
import numpy as np
import pandas as pd
import pytest
import uvicorn
import xgboost as xgb
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from modelspan.instrumentation import failure, prediction_context
from modelspan.instrumentation.lightgbm import LightGBMInstrumentor
from modelspan.instrumentation.patching import signatures
from modelspan.instrumentation.patching.patches import _Wrapped
from modelspan.instrumentation.sklearn import SklearnInstrumentor
from modelspan.instrumentation.xgboost import XGBoostInstrumentor
from tests.instrumentation.faults import Fault, Injected, Instrumented, assert_same, but, outcome, places

X = np.random.default_rng(0).normal(size=(120, 3))
Y = (X[:, 0] > 0).astype(int)
FRAME = pd.DataFrame(X, columns=list("abc"))
ALL = places("sklearn", "patching")
CALLED_BY_OPENTELEMETRY = (
    "patching.instrumentor:ModelInstrumentor.instrument",
    "patching.instrumentor:ModelInstrumentor._instrument",
    "patching.instrumentor:ModelInstrumentor._uninstrument",
    "patching.instrumentor:ModelInstrumentor.instrumentation_dependencies",
)
"""The calls of the program itself; what they call is in them."""
ELSEWHERE = (
    "patching.instrumentor:ModelInstrumentor.hooks",  # of each library
    "patching.patches:Patches.undo",  # below
    "patching.functions:.put_back",
    "patching.patches:_Wrapped.remove",
    "patching.patches:.take_away",
    "sklearn.patch:Estimators._leave",
    "sklearn.patch:Estimators._unpatch",
    "patching.explainers:._shap",  # of libraries that are not installed
    "patching.explainers:._lime",
    "patching.parallel:.within",  # is the call of the program itself
)


class Own(BaseEstimator):  # type: ignore[misc]  # without annotations
    """Of the program."""

    def predict(self, X: Any) -> Any:
        return np.zeros(len(X))


@pytest.fixture(autouse=True)
def _nothing_written_before() -> None:
    """What stands in for methods is written anew."""
    signatures._written.cache_clear()


def program() -> list[Any]:
    """What a user does; all results."""

    class Mine(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # as above
        def fit(self, X: Any, y: Any) -> Any:
            self.classes_ = np.unique(y)
            return self

        def predict(self, X: Any) -> Any:
            return (np.asarray(X)[:, 0] > 0).astype(int)

    pipeline = make_pipeline(StandardScaler(), GaussianNB()).fit(FRAME, Y)
    model = GaussianNB().fit(X=X, y=Y)
    results = [model.predict(X), model.predict(X=X[:1]), model.predict_proba(X), pipeline.predict(FRAME)]
    results += [pipeline.predict_proba(X=FRAME), hasattr(make_pipeline(StandardScaler()), "predict")]
    results += [outcome(model.predict, X[:, :2]), outcome(model.predict), outcome(clone(model).predict, X)]
    sent = cloudpickle.dumps(Mine().fit(X, Y))  # with its class, which gets its methods anew
    results += [cloudpickle.loads(sent).predict(X), Mine().fit(X, Y).score(X, Y), model.partial_fit(X, Y).predict(X)]
    results.append(GridSearchCV(GaussianNB(), {"var_smoothing": [1e-9]}, cv=2).fit(X, Y).predict(X))
    results.append(pickle.loads(pickle.dumps(model)).predict_log_proba(X))
    with prediction_context(segment={"country": "DE"}):
        results.append(model.predict(X.tolist()))
    booster = xgb.train({"nthread": 1}, xgb.DMatrix(X, Y, nthread=1), 1)
    results += [booster.predict(xgb.DMatrix(X, nthread=1)), booster.inplace_predict(X)]
    booster.update(xgb.DMatrix(X, Y, nthread=1), 1)
    results += [outcome(booster.predict), outcome(booster.predict, 1), outcome(xgb.train, {})]
    results.append(lgb.LGBMClassifier(n_estimators=1, n_jobs=1, verbose=-1).fit(X, Y).predict(X, num_iteration=1))
    results += list(GradientBoostingClassifier(n_estimators=2, random_state=0).fit(X, Y).staged_predict(X))
    results.append(inspect.getsourcefile(GaussianNB))
    celery.signals.worker_process_shutdown.send(sender=None)
    return results


@pytest.fixture(scope="module")
def user() -> Instrumented:
    owners = [BaseEstimator, ClassifierMixin, GaussianNB, StandardScaler, GridSearchCV, xgb, xgb.Booster, lgb]
    owners += [uvicorn.Server, lgb.LGBMModel, xgb.XGBModel]
    return Instrumented(program, [SklearnInstrumentor, XGBoostInstrumentor, LightGBMInstrumentor], owners)


@pytest.mark.parametrize("place", but(ALL, CALLED_BY_OPENTELEMETRY, ELSEWHERE))
def test_a_fault_changes_no_result_and_is_said_once(
    place: str, user: Instrumented, caplog: pytest.LogCaptureFixture
) -> None:
    assert not user.survives(ALL[place], caplog)


def started(user: Instrumented, caplog: pytest.LogCaptureFixture) -> None:
    failure._said.clear()
    caplog.clear()
    user.start()


def test_one_method_that_cannot_be_put_back_keeps_no_other_from_it(
    user: Instrumented, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    remove = _Wrapped.remove

    def broken(self: Any, wrapper: Any) -> None:
        if self._owner() is Own:
            raise Injected
        remove(self, wrapper)

    started(user, caplog)
    monkeypatch.setattr(_Wrapped, "remove", broken)
    user.stop()
    user.assert_restored()
    assert len(caplog.records) == 1
    assert_same(user.expected, user.program())


@pytest.mark.parametrize(
    "place", ["recorder.current:._stop", "recorder.recorder:Recorder.close", "patching.functions:.put_back"]
)
def test_what_cannot_be_closed_or_given_back_keeps_nothing_from_being_put_back(
    user: Instrumented, caplog: pytest.LogCaptureFixture, place: str
) -> None:
    started(user, caplog)
    with pytest.MonkeyPatch.context() as patch:
        assert not Fault(*(ALL | places("recorder"))[place], patch).calls
        user.stop()
    user.assert_restored()
    assert len(caplog.records) == 1
    assert_same(user.expected, user.program())


def test_a_server_ends_though_what_waits_cannot_be_exported(
    user: Instrumented, caplog: pytest.LogCaptureFixture
) -> None:
    started(user, caplog)
    server = uvicorn.Server(uvicorn.Config(app=lambda: None))
    server.servers, server.force_exit = [], True
    try:
        with pytest.MonkeyPatch.context() as patch:
            fault = Fault(*places("recorder")["recorder.recorder:Recorder.end"], patch)
            asyncio.run(server.shutdown())
    finally:
        user.stop()
    assert fault.calls == 1
    assert [one.exc_info[0] for one in caplog.records if one.exc_info] == [Injected]
