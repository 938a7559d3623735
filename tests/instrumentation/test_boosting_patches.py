"""Instrumenting XGBoost, LightGBM and CatBoost changes nothing that a program can see, and is undone without a trace."""

from __future__ import annotations

import copy
import importlib
import inspect
import itertools
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import catboost as cb
import lightgbm as lgb
import numpy as np
import pandas as pd
import pytest
import xgboost as xgb
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from modelspan.instrumentation import identify
from modelspan.instrumentation.catboost import CatBoostInstrumentor
from modelspan.instrumentation.lightgbm import LightGBMInstrumentor
from modelspan.instrumentation.sklearn import SklearnInstrumentor
from modelspan.instrumentation.xgboost import XGBoostInstrumentor
from modelspan.instrumentation.xgboost.model import BoosterKind

RNG = np.random.default_rng(6)
X = RNG.normal(size=(120, 3)).astype(np.float32)
Y = (X[:, 0] > 0).astype(int)
NUMBER = X[:, 0] * 2 + X[:, 1]
SMALL: dict[str, dict[str, Any]] = {
    "xgb": {"n_estimators": 3, "n_jobs": 1},
    "lgb": {"n_estimators": 3, "n_jobs": 1, "verbose": -1},
    "cb": {"iterations": 3, "thread_count": 1, "verbose": 0, "allow_writing_files": False},
}
MODELS: list[Callable[[], Any]] = [
    lambda: xgb.XGBClassifier(**SMALL["xgb"]),
    lambda: lgb.LGBMClassifier(**SMALL["lgb"]),
    lambda: cb.CatBoostClassifier(**SMALL["cb"]),
]
INSTRUMENTORS = (XGBoostInstrumentor, LightGBMInstrumentor, CatBoostInstrumentor)


def uninstrument() -> None:
    for instrumentor in INSTRUMENTORS:
        if instrumentor().is_instrumented_by_opentelemetry:
            instrumentor().uninstrument()


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """CatBoost's searches write a folder where the program runs, whatever they are told."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def recorded(telemetry: Any) -> Iterator[Any]:
    for instrumentor in INSTRUMENTORS:
        instrumentor().instrument()
    yield telemetry
    uninstrument()


# What trains a model records nothing.


def xgboost_with_functions_of_the_program() -> None:
    data = xgb.DMatrix(X, label=Y)
    watched: dict[str, Any] = {"obj": squared_error, "custom_metric": metric, "evals": [(data, "train")], "verbose_eval": False}  # fmt: skip
    booster = xgb.train({"nthread": 1}, data, 3, **watched)
    xgb.cv({"nthread": 1}, data, 2, nfold=2, custom_metric=metric)
    for i in range(2):
        booster.update(data, i, fobj=squared_error)
        booster.eval_set([(data, "train")], i, feval=metric)
        booster.eval(data)


def squared_error(predicted: Any, data: xgb.DMatrix) -> tuple[Any, Any]:
    return predicted - data.get_label(), np.ones_like(predicted)


def metric(predicted: Any, data: xgb.DMatrix) -> tuple[str, float]:
    return "error", float(np.abs(predicted - data.get_label()).mean())


class Predicting(xgb.callback.TrainingCallback):
    def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
        model.predict(xgb.DMatrix(X))
        return False


def xgboost_with_a_callback_that_predicts() -> None:
    xgb.train({"nthread": 1}, xgb.DMatrix(X, label=Y), 2, callbacks=[Predicting()])


def lightgbm_with_functions_of_the_program() -> None:
    def watch(environment: Any) -> None:
        environment.model.predict(X)

    def error(predicted: Any, data: Any) -> tuple[str, float, bool]:
        return "error", float(np.abs(predicted - data.get_label()).mean()), False

    parameters = {"verbose": -1, "num_threads": 1}
    data = lgb.Dataset(X, Y, free_raw_data=False)
    booster = lgb.train(
        parameters, data, 3, valid_sets=[data], feval=error, callbacks=[watch], keep_training_booster=True
    )
    lgb.cv(parameters, data, 2, nfold=2, feval=error, stratified=False)
    booster.update()
    booster.eval_train(error)
    booster.refit(X, Y)


def catboost_trained_and_searched() -> None:
    pool = cb.Pool(X, Y)
    parameters = {**SMALL["cb"], "loss_function": "Logloss"}
    cb.train(pool, parameters, verbose=False)
    cb.cv(pool, {**parameters, "verbose": False}, fold_count=2)
    model = cb.CatBoostClassifier(**SMALL["cb"])
    model.grid_search({"depth": [1, 2]}, pool, cv=2, verbose=False)
    model.eval_metrics(pool, ["AUC"])
    model.score(X, Y)
    model.get_feature_importance(pool)


def searched_by_scikit_learn() -> None:
    for make in MODELS:
        GridSearchCV(make(), {"max_depth": [1, 2]}, cv=2).fit(X, Y).score(X, Y)
        cross_val_predict(make(), X, Y, cv=2)
        make().fit(X, Y).score(X, Y)


@pytest.mark.parametrize(
    "train",
    [
        xgboost_with_functions_of_the_program,
        xgboost_with_a_callback_that_predicts,
        lightgbm_with_functions_of_the_program,
        catboost_trained_and_searched,
        searched_by_scikit_learn,
    ],
)
def test_training_and_evaluating_record_nothing(recorded: Any, train: Callable[[], None]) -> None:
    train()
    assert recorded.rows() == 0


@pytest.mark.skipif(
    cb.__version__ == "1.2", reason="CatBoost 1.2 asks for numpy.int here, which is gone since NumPy 1.24"
)
def test_feature_statistics_record_nothing(recorded: Any) -> None:
    cb.CatBoostClassifier(**SMALL["cb"]).fit(X, Y).calc_feature_statistics(X, Y, feature=0, plot=False)
    assert recorded.rows() == 0


def test_a_pipeline_is_one_record_of_its_last_step(recorded: Any) -> None:
    for make in MODELS:
        make_pipeline(StandardScaler(), make()).fit(X, Y).predict(X[:4])
    batches = recorded.batches()
    assert [attributes["ml.framework.name"] for attributes, _ in batches] == ["xgboost", "lightgbm", "catboost"]
    assert [table.num_rows for _, table in batches] == [4, 4, 4]


# What a program sees is the same.


def results() -> list[Any]:
    """Everything that the libraries document to return from a prediction."""
    found: list[Any] = []
    data = xgb.DMatrix(X)
    booster = xgb.train({"objective": "binary:logistic", "nthread": 1}, xgb.DMatrix(X, label=Y), 3)
    for what in (
        {}, {"output_margin": True}, {"pred_leaf": True}, {"pred_contribs": True}, {"pred_interactions": True},
        {"strict_shape": True}, {"iteration_range": (0, 2)},
    ):  # fmt: skip
        found.append(booster.predict(data, **what))
    found += [booster.inplace_predict(X), booster.inplace_predict(pd.DataFrame(X), predict_type="margin")]
    native = lgb.train({"objective": "binary", "verbose": -1, "num_threads": 1}, lgb.Dataset(X, Y), 3)
    for what in ({}, {"raw_score": True}, {"pred_leaf": True}, {"pred_contrib": True}, {"num_iteration": 2}):
        found.append(native.predict(X, **what))
    plain = cb.CatBoost({**SMALL["cb"], "loss_function": "Logloss", "random_seed": 1}).fit(X, Y)
    for kind in ("RawFormulaVal", "Class", "Probability", "LogProbability"):
        found += [plain.predict(X, prediction_type=kind), plain.predict(cb.Pool(X), kind), plain.predict(X[0], kind)]
    for make in MODELS:
        model = make().fit(X, Y)
        found += [model.predict(X), model.predict_proba(pd.DataFrame(X)), model.predict(X.tolist())]
    found += [
        xgb.XGBRegressor(n_jobs=1).fit(X, NUMBER).predict(X),
        lgb.LGBMRegressor(**SMALL["lgb"]).fit(X, NUMBER).predict(X),
    ]
    number = cb.CatBoostRegressor(**SMALL["cb"]).fit(X, NUMBER)
    return [*found, number.predict(X), number.predict(X[0]), *number.staged_predict(X)]


def test_results_have_the_same_bits_and_types(recorded: Any) -> None:
    with_it = results()
    uninstrument()
    without = results()
    assert [type(one) for one in with_it] == [type(one) for one in without]
    for one, other in zip(with_it, without, strict=True):
        assert np.asarray(one).dtype == np.asarray(other).dtype
        assert np.asarray(one).tobytes() == np.asarray(other).tobytes()


CLASSES: list[type] = [
    *(
        cls
        for module in (xgb.sklearn, lgb.sklearn)
        for cls in vars(module).values()
        if isinstance(cls, type) and cls.__module__ == module.__name__
    ),
    *(xgb.Booster, xgb.DMatrix, lgb.Booster, lgb.Dataset),
    *(cb.CatBoost, cb.CatBoostClassifier, cb.CatBoostRegressor, cb.CatBoostRanker, cb.core._CatBoostBase, cb.Pool),
]
MODULES = (xgb, xgb.core, xgb.training, xgb.sklearn, lgb, lgb.basic, lgb.engine, lgb.sklearn, cb, cb.core)


def state() -> dict[tuple[Any, str], Any]:
    owners = [*MODULES, *{owner for cls in CLASSES for owner in cls.__mro__ if owner is not object}]
    volatile = {"__abstractmethods__", "_abc_impl", "__weakref__", "__dict__"}
    return {(o, name): value for o in owners for name, value in vars(o).items() if name not in volatile}


def test_uninstrumenting_in_any_order_leaves_everything_as_it_was(recorded: Any) -> None:
    from modelspan.instrumentation.loading import LoadingInstrumentor

    uninstrument()
    SklearnInstrumentor().uninstrument()
    before = state()
    instrumentors = [*INSTRUMENTORS, SklearnInstrumentor, LoadingInstrumentor]
    for order in itertools.islice(itertools.permutations(instrumentors), 0, None, 17):
        for instrumentor in order:
            instrumentor().instrument()
        assert sum(before[key] is not value for key, value in state().items() if key in before) > 60
        for instrumentor in order:
            instrumentor().uninstrument()
        after = state()
        assert before.keys() == after.keys()
        assert [key for key in before if before[key] is not after[key]] == []


def test_signatures_and_documentation_stay(recorded: Any) -> None:
    def visible() -> dict[Any, Any]:
        return {
            (cls, name): (str(inspect.signature(value)), value.__doc__, value.__qualname__, value.__module__)
            for cls in CLASSES
            for name, value in vars(cls).items()
            if inspect.isfunction(value)
        }

    with_it = visible()
    uninstrument()
    assert with_it == visible()


def test_models_and_functions_are_pickled_copied_and_cloned_as_ever(recorded: Any) -> None:
    for function in (xgb.train, xgb.cv, lgb.train, lgb.cv, cb.train, cb.cv, xgb.Booster.predict, cb.CatBoost.predict):
        assert pickle.loads(pickle.dumps(function)) is function
        assert getattr(importlib.import_module(function.__module__), function.__name__, function) is function
    for make in MODELS:
        model = make().fit(X, Y)
        expected = model.predict_proba(X)
        for other in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
            assert np.array_equal(other.predict_proba(X), expected)
        assert clone(model).get_params() == make().get_params()
    booster = xgb.train({"nthread": 1}, xgb.DMatrix(X, label=Y), 2)
    assert np.array_equal(pickle.loads(pickle.dumps(booster)).predict(xgb.DMatrix(X)), booster.predict(xgb.DMatrix(X)))


def test_telemetry_that_fails_changes_no_result(recorded: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from modelspan.instrumentation.catboost import data
    from modelspan.instrumentation.xgboost import matrix

    def broken(*args: Any) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr(matrix, "readable", broken)
    monkeypatch.setattr(data, "readable", broken)
    booster = xgb.train({"nthread": 1}, xgb.DMatrix(X, label=Y), 2)
    model = cb.CatBoostClassifier(**SMALL["cb"]).fit(X, Y)
    assert booster.predict(xgb.DMatrix(X)).shape == model.predict(X).shape == (120,)


def test_training_on_gives_a_booster_another_version(recorded: Any) -> None:
    data = xgb.DMatrix(X, label=Y)
    booster = xgb.train({"nthread": 1}, data, 2)
    booster.predict(data)
    booster.update(data, 3)
    booster.predict(data)
    native = lgb.train({"verbose": -1, "num_threads": 1}, lgb.Dataset(X, Y), 2, keep_training_booster=True)
    native.predict(X)
    native.update()
    native.predict(X)
    versions = [attributes["ml.model.version"] for attributes, _ in recorded.batches()]
    assert len(set(versions)) == len(versions) == 4


def test_a_loop_that_trains_on_is_digested_once(recorded: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    digested = []
    digest = BoosterKind.digest
    monkeypatch.setattr(BoosterKind, "digest", lambda kind, model: digested.append(model) or digest(kind, model))
    data = xgb.DMatrix(X, label=Y)
    booster = xgb.Booster({"nthread": 1}, [data])
    for i in range(3):
        booster.update(data, i)
    assert digested == []
    booster.predict(data)
    for i in range(3):
        booster.update(data, i)
    assert recorded.rows() == 120
    assert digested == [booster]


def test_a_name_is_kept_while_a_booster_is_trained_on(recorded: Any) -> None:
    data = xgb.DMatrix(X, label=Y)
    booster = xgb.train({"nthread": 1}, data, 1)
    identify(booster, name="mine")
    for i in range(2):
        booster.predict(data)
        booster.update(data, i)
        booster.update(data, i)
    booster.predict(data)
    found = [(attributes["ml.model.name"], attributes["ml.model.version"]) for attributes, _ in recorded.batches()]
    assert [name for name, _ in found] == ["mine"] * 3
    assert len({version for _, version in found}) == 3


def test_what_the_functions_that_train_are_given_becomes_the_reference(recorded: Any) -> None:
    frame = pd.DataFrame(X, columns=["age", "income", "debt"])
    xgb.train({"nthread": 1}, xgb.DMatrix(frame, label=Y), 1)
    lgb.train({"verbose": -1, "num_threads": 1}, lgb.Dataset(frame, Y), 1)
    cb.train(cb.Pool(frame, Y), {**SMALL["cb"], "loss_function": "Logloss"}, verbose=False)
    found = recorded.events("ml.reference.profile")
    assert [one.attributes["ml.model.name"] for one in found] == ["xgboost.Booster", "lightgbm.Booster", "CatBoost"]
    for one in found:
        assert one.attributes["ml.reference.sample.count"] == 120
        assert all(name in str(one.attributes["ml.reference.profile.data"]) for name in frame)


@pytest.mark.parametrize("model", MODELS[:2], ids=["xgboost", "lightgbm"])
def test_the_instrumentor_of_scikit_learn_alone_records_what_derives_from_its_estimators(
    model: Callable[[], Any], telemetry: Any
) -> None:
    uninstrument()
    telemetry.instrument()
    fitted = model().fit(X, Y)
    fitted.predict(X[:7])
    assert telemetry.rows() == 7
