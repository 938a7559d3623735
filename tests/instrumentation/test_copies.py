"""A copy of a named model, what holds it and what is held by it, go by its name as long as they have learnt the same."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import joblib
import lightgbm as lgb
import numpy as np
import pandas as pd
import pytest
import torch
import xgboost as xgb
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from modelspan.instrumentation import identify, record_actual, set_reference
from modelspan.instrumentation.lightgbm import LightGBMInstrumentor
from modelspan.instrumentation.loading import LoadingInstrumentor
from modelspan.instrumentation.recorder.fingerprint import fingerprint
from modelspan.instrumentation.torch import TorchInstrumentor
from modelspan.instrumentation.xgboost import XGBoostInstrumentor
from modelspan.semconv import attributes as ml
from modelspan.semconv import events
from tests.instrumentation.conftest import Telemetry

RNG = np.random.default_rng(11)
X = RNG.normal(size=(200, 2))
FRAME = pd.DataFrame(X, columns=["age", "income"])
Y = (X[:, 0] > 0).astype(int)


@pytest.fixture
def loading(telemetry: Telemetry) -> Iterator[Telemetry]:
    instrumentors = [LoadingInstrumentor(), TorchInstrumentor()]
    for one in instrumentors:
        one.instrument()
    yield telemetry
    for one in instrumentors:
        one.uninstrument()


def names(telemetry: Telemetry) -> list[str]:
    return [attributes[ml.ML_MODEL_NAME] for attributes, _ in telemetry.batches()]


MODELS: dict[str, Callable[[], Any]] = {
    "scikit-learn": lambda: LogisticRegression(C=0.11).fit(X, Y),
    "a pipeline": lambda: make_pipeline(StandardScaler(), LogisticRegression(C=0.12)).fit(X, Y),
    "XGBoost": lambda: xgb.XGBClassifier(n_estimators=2, n_jobs=1).fit(X, Y),
    "LightGBM": lambda: lgb.LGBMClassifier(n_estimators=2, n_jobs=1, verbose=-1).fit(X, Y),
}
COPIES: dict[str, Callable[[Any], Any]] = {
    "deepcopy": copy.deepcopy,
    "copy": copy.copy,
    "pickle": lambda model: pickle.loads(pickle.dumps(model)),
    "the same fit": lambda model: clone(model).fit(X, Y),
}


@pytest.mark.parametrize("how", COPIES)
@pytest.mark.parametrize("model", MODELS)
def test_a_copy_of_a_loaded_model_goes_by_its_file(loading: Telemetry, tmp_path: Path, model: str, how: str) -> None:
    path = tmp_path / "fraud.joblib"
    joblib.dump(MODELS[model](), path)
    loaded = joblib.load(path)
    COPIES[how](loaded).predict(X[:4])
    loaded.predict(X[:4])
    assert names(loading) == ["fraud", "fraud"]
    assert len({attributes[ml.ML_MODEL_VERSION] for attributes, _ in loading.batches()}) == 1


def test_a_copy_has_the_version_and_lineage_of_what_was_identified(telemetry: Telemetry) -> None:
    model = LogisticRegression(C=0.21).fit(X, Y)
    identify(model, name="pricing", version="7", run_id="r1")
    copied = copy.deepcopy(model)
    copied.predict(X[:4])
    (attributes, _), (loaded,) = telemetry.batches()[0], telemetry.events(events.ML_MODEL_LOADED)
    assert (attributes[ml.ML_MODEL_NAME], attributes[ml.ML_MODEL_VERSION]) == ("pricing", "7")
    assert loaded.attributes[ml.ML_TRAINING_RUN_ID] == "r1"
    assert set_reference("pricing", FRAME), "a name of several copies is that of one model"


def test_a_copy_that_learns_something_else_goes_by_its_class(telemetry: Telemetry) -> None:
    model = LogisticRegression(C=0.22).fit(X, Y)
    identify(model, name="pricing")
    clone(model).fit(X, 1 - Y).predict(X[:4])
    assert names(telemetry) == ["LogisticRegression"]


def test_of_two_names_for_the_same_a_copy_has_neither(telemetry: Telemetry) -> None:
    models = [LogisticRegression(C=0.23).fit(X, Y) for _ in range(3)]
    identify(models[0], name="first")
    identify(models[1], name="second")
    models[2].predict(X[:4])
    assert names(telemetry) == ["LogisticRegression"]


@pytest.mark.parametrize("named", ["search", "best"])
def test_a_search_and_the_model_that_it_found_have_one_name(telemetry: Telemetry, named: str) -> None:
    search = GridSearchCV(LogisticRegression(), {"C": [0.31, 0.32]}, cv=2).fit(X, Y)
    identify(search if named == "search" else search.best_estimator_, name="churn")
    search.predict(X[:4])
    search.best_estimator_.predict(X[:4])
    assert names(telemetry) == ["churn", "churn"]


@pytest.mark.parametrize("how", ["deepcopy", "compile"])
def test_a_copy_of_a_loaded_module_goes_by_its_file(loading: Telemetry, tmp_path: Path, how: str) -> None:
    path = tmp_path / "churn.pt"
    torch.save(torch.nn.Linear(2, 1).eval(), path)
    module = torch.load(path, weights_only=False)
    copied = copy.deepcopy(module) if how == "deepcopy" else torch.compile(module, backend="eager")
    given = torch.tensor(X[:4], dtype=torch.float32)
    with torch.no_grad():
        copied(given)
        module(given)
    assert set(names(loading)) == {"churn"}
    assert loading.rows() == 8


class Service:
    """An object of a program that predicts with one model."""

    def __init__(self, model: Any) -> None:
        self.model, self.limit = model, 0.5

    def predict(self, X: Any) -> Any:
        return self.model.predict(X)


HOLDERS: dict[str, Callable[[Any], Any]] = {
    "frozen": FrozenEstimator,
    "frozen twice": lambda model: FrozenEstimator(FrozenEstimator(model)),
    "a service": Service,
    "a service of what is frozen": lambda model: Service(FrozenEstimator(model)),
}


@pytest.mark.parametrize("holder", HOLDERS)
def test_what_is_said_of_a_holder_is_said_of_the_model_that_it_holds(telemetry: Telemetry, holder: str) -> None:
    model = LogisticRegression(C=0.41).fit(FRAME, Y)
    held = HOLDERS[holder](model)
    identify(held, name="credit", version="3")
    held.predict(FRAME[:4])
    assert set_reference(held, FRAME)
    assert record_actual(held, ["a"], label=[1])
    assert names(telemetry) == ["credit"]
    found = telemetry.events(events.ML_REFERENCE_PROFILE)
    assert [(one.attributes[ml.ML_MODEL_NAME], one.attributes[ml.ML_MODEL_DIGEST]) for one in found] == [
        ("credit", fingerprint(model))
    ] * len(found)
    assert [row[ml.ML_MODEL_NAME] for row in telemetry.truth(events.ML_PREDICTION_ACTUAL)] == ["credit"]


def test_a_frozen_model_goes_by_its_file_and_its_fit_makes_no_model(loading: Telemetry, tmp_path: Path) -> None:
    path = tmp_path / "credit.joblib"
    joblib.dump(FrozenEstimator(LogisticRegression(C=0.42).fit(FRAME, Y)), path)
    loaded = joblib.load(path)
    before = len(loading.events(events.ML_REFERENCE_PROFILE))
    loaded.fit(FRAME, Y).predict(FRAME[:4])
    assert names(loading) == ["credit"]
    assert len(loading.events(events.ML_REFERENCE_PROFILE)) == before


def test_an_object_of_several_models_is_none_of_them(telemetry: Telemetry) -> None:
    service = Service(LogisticRegression(C=0.43).fit(X, Y))
    service.other = LogisticRegression(C=0.44).fit(X, Y)  # type: ignore[attr-defined]
    identify(service, name="both")
    service.predict(X[:4])
    assert names(telemetry) == ["LogisticRegression"]


TAKEN_OUT: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "XGBoost": ("get_booster", lambda booster: booster.inplace_predict(X)),
    "LightGBM": ("booster_", lambda booster: booster.predict(X)),
}


def taken_out(model: Any, attribute: str) -> Any:
    found = getattr(model, attribute)
    return found() if callable(found) and attribute.startswith("get_") else found


@pytest.fixture
def boosters(telemetry: Telemetry) -> Iterator[Telemetry]:
    instrumentors = [LoadingInstrumentor(), XGBoostInstrumentor(), LightGBMInstrumentor()]
    for one in instrumentors:
        one.instrument()
    yield telemetry
    for one in instrumentors:
        one.uninstrument()


@pytest.mark.parametrize("kind", TAKEN_OUT)
def test_a_booster_goes_by_the_file_of_the_model_that_it_is_taken_out_of(
    boosters: Telemetry, tmp_path: Path, kind: str
) -> None:
    attribute, predict = TAKEN_OUT[kind]
    joblib.dump(MODELS[kind](), tmp_path / "fraud.joblib")
    boosters.logs()
    predict(taken_out(joblib.load(tmp_path / "fraud.joblib"), attribute))
    assert names(boosters) == ["fraud"]


@pytest.mark.parametrize("kind", TAKEN_OUT)
def test_a_booster_goes_by_what_is_said_of_its_model(boosters: Telemetry, kind: str) -> None:
    attribute, predict = TAKEN_OUT[kind]
    model = MODELS[kind]()
    identify(model, name="fraud", version="7")
    predict(taken_out(model, attribute))
    ((attributes, _),) = boosters.batches()
    assert (attributes[ml.ML_MODEL_NAME], attributes[ml.ML_MODEL_VERSION]) == ("fraud", "7")
