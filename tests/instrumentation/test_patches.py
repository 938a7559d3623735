"""Instrumenting changes nothing that a program can see, and is undone without a trace."""

from __future__ import annotations

import copy
import inspect
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.ensemble import (
    BaggingClassifier,
    GradientBoostingClassifier,
    IsolationForest,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.inspection import partial_dependence, permutation_importance
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import get_scorer
from sklearn.model_selection import GridSearchCV, cross_val_predict
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils import all_estimators
from sklearn.utils.metaestimators import available_if

from modelspan.instrumentation.sklearn import SklearnInstrumentor

RNG = np.random.default_rng(2)
X = RNG.normal(size=(60, 4))
Y = (X[:, 0] > 0).astype(int)
METHODS = ("predict", "predict_proba", "predict_log_proba", "decision_function", "score_samples", "fit", "score")


def test_every_call_is_recorded_once_however_many_models_it_runs(telemetry: Any) -> None:
    models = [
        RandomForestClassifier(5, n_jobs=2),
        GradientBoostingClassifier(n_estimators=3),
        VotingClassifier([("a", LogisticRegression()), ("b", DecisionTreeClassifier())], voting="soft"),
        StackingClassifier([("a", LogisticRegression()), ("b", DecisionTreeClassifier())], cv=2),
        BaggingClassifier(LogisticRegression(), 3),
        IsolationForest(n_estimators=5),
        make_pipeline(StandardScaler(), LogisticRegression()),
        Pipeline([("search", GridSearchCV(RandomForestClassifier(3, n_jobs=2), {"max_depth": [1, 2]}, cv=2))]),
    ]
    for model in models:
        model.fit(X, Y)
    assert telemetry.rows() == 0
    for model in models:
        model.predict(X[:1])
    batches = telemetry.batches()
    assert [table.num_rows for _, table in batches] == [1] * len(models)
    assert [attributes["ml.model.name"] for attributes, _ in batches] == [
        *[type(model).__name__ for model in models[:6]],
        "LogisticRegression",
        "RandomForestClassifier",
    ]


def test_fitting_scoring_and_validating_record_nothing(telemetry: Any) -> None:
    search = GridSearchCV(RandomForestClassifier(3, oob_score=True, bootstrap=True), {"max_depth": [1, 2]}, cv=2)
    search.fit(X, Y).score(X, Y)
    cross_val_predict(LogisticRegression(), X, Y, cv=2)
    IsolationForest(n_estimators=5).fit_predict(X)
    assert telemetry.rows() == 0


def test_evaluating_a_model_records_nothing(telemetry: Any) -> None:
    model = LogisticRegression().fit(X, Y)
    get_scorer("roc_auc")(model, X, Y)
    permutation_importance(model, X, Y, scoring="accuracy", n_repeats=1)
    partial_dependence(model, X, [0], grid_resolution=3)
    assert telemetry.rows() == 0


def test_a_class_that_is_defined_later_is_recorded(telemetry: Any) -> None:
    class Mine(ClassifierMixin, BaseEstimator):
        def fit(self, X: Any, y: Any) -> Any:
            self.classes_ = np.unique(y)
            return self

        def predict(self, X: Any) -> Any:
            return np.zeros(len(X), dtype=int)

    class Derived(Mine):
        def predict(self, X: Any) -> Any:
            return super().predict(X)

    Derived().fit(X, Y).predict(X[:2])
    assert telemetry.rows() == 2


def test_an_estimator_that_delegates_leaves_the_record_to_the_other(telemetry: Any) -> None:
    frozen = pytest.importorskip("sklearn.frozen", reason="scikit-learn before 1.6 has no FrozenEstimator")
    frozen.FrozenEstimator(LogisticRegression().fit(X, Y)).predict(X[:3])
    assert telemetry.rows() == 3


@pytest.mark.parametrize(
    "call", [lambda m: m.predict(X=X[:2]), lambda m: type(m).predict(m, X[:2]), lambda m: m.predict(X[:2])]
)
def test_however_the_method_is_called_its_input_is_seen(telemetry: Any, call: Callable[[Any], Any]) -> None:
    call(LogisticRegression().fit(X, Y))
    assert telemetry.batch()["feature.x0"].to_pylist() == X[:2, 0].tolist()


def test_results_are_the_ones_of_the_model_itself(telemetry: Any) -> None:
    model = LogisticRegression().fit(X, Y)
    recorded = model.predict_proba(X)
    SklearnInstrumentor().uninstrument()
    assert type(recorded) is np.ndarray
    assert np.array_equal(recorded, model.predict_proba(X))


def test_an_error_passes_unchanged_and_is_recorded(telemetry: Any) -> None:
    class Refusal(Exception):
        pass

    class Broken(BaseEstimator):
        calls = 0

        def predict(self, X: Any) -> Any:
            Broken.calls += 1
            raise refusal

    refusal = Refusal("no")
    with pytest.raises(Refusal) as caught:
        Broken().predict(X[:2])
    assert caught.value is refusal
    assert Broken.calls == 1
    assert telemetry.batch()["error_type"].to_pylist() == [Refusal.__qualname__] * 2
    (span,) = telemetry.spans()
    assert (span.status.status_code.name, span.attributes["error.type"]) == ("ERROR", Refusal.__qualname__)
    (point,) = telemetry.points("ml.predictions")
    assert (point.value, point.attributes["error.type"]) == (2, Refusal.__qualname__)


def test_interrupting_a_prediction_records_nothing_and_leaves_the_next_to_be_recorded(telemetry: Any) -> None:
    class Slow(BaseEstimator):
        def predict(self, X: Any) -> Any:
            if len(X) == 2:
                raise KeyboardInterrupt
            return np.ones(len(X))

    with pytest.raises(KeyboardInterrupt):
        Slow().predict(X[:2])
    Slow().predict(X[:1])
    assert telemetry.rows() == 1


def test_what_a_program_puts_in_the_place_of_a_method_stays_there(telemetry: Any) -> None:
    class Mine(BaseEstimator):
        def predict(self, X: Any) -> Any:
            return np.zeros(len(X))

        def decision_function(self, X: Any) -> Any:
            return np.zeros(len(X))

        @available_if(lambda self: True)
        def predict_proba(self, X: Any) -> Any:
            return np.zeros((len(X), 2))

    instrumented: Any = Mine.predict
    calls = []

    def predict(self: Any, X: Any) -> Any:
        calls.append(X)
        return instrumented(self, X)

    def predict_proba(self: Any, X: Any) -> Any:
        return None

    Mine.predict, Mine.predict_proba = predict, predict_proba  # type: ignore[method-assign]  # as a program may
    del Mine.decision_function
    Mine().predict(X[:1])
    assert telemetry.rows() == 1
    SklearnInstrumentor().uninstrument()
    assert (vars(Mine)["predict"], vars(Mine)["predict_proba"]) == (predict, predict_proba)
    assert "decision_function" not in vars(Mine)
    telemetry.instrument()
    Mine().predict(X[:1])
    assert telemetry.rows() == 2
    SklearnInstrumentor().uninstrument()
    assert vars(Mine)["predict"] is predict
    Mine().predict(X[:1])
    assert len(calls) == 3


def visible(model: Any) -> dict[str, Any]:
    """What a program can ask about the methods of a model."""
    return {
        name: (
            str(inspect.signature(getattr(type(model), name))),
            inspect.getdoc(getattr(model, name)),
            hasattr(model, name),
        )
        for name in METHODS
        if hasattr(model, name)
    }


@pytest.mark.parametrize(
    "model",
    [
        LogisticRegression(),
        SVC(),
        make_pipeline(StandardScaler()),
        make_pipeline(LogisticRegression()),
        GridSearchCV(SVC(), {}),
    ],
)
def test_signatures_documentation_and_hasattr_stay(telemetry: Any, model: Any) -> None:
    with_it = visible(model)
    SklearnInstrumentor().uninstrument()
    assert with_it == visible(model)


def test_models_and_methods_are_pickled_copied_and_cloned_as_ever(telemetry: Any) -> None:
    model = LogisticRegression().fit(X, Y)
    state = dict(model.__dict__)
    model.predict(X[:1])
    telemetry.batches()
    assert model.__dict__.keys() == state.keys()
    assert pickle.loads(pickle.dumps(LogisticRegression.predict)) is LogisticRegression.predict
    for other in (
        pickle.loads(pickle.dumps(model)),
        copy.deepcopy(model),
        pickle.loads(pickle.dumps(model.predict)).__self__,
    ):
        assert np.array_equal(other.coef_, model.coef_)
    assert not hasattr(clone(model), "coef_")


def snapshot_of_classes() -> dict[tuple[type, str], Any]:
    owners = {owner for _, cls in all_estimators() for owner in cls.__mro__}
    taken: dict[tuple[type, str], Any] = {(o, name): value for o in owners for name, value in o.__dict__.items()}
    return taken | {(o, f"{n}.fn"): v.fn for (o, n), v in taken.items() if hasattr(v, "fn") and hasattr(v, "check")}


def test_uninstrumenting_leaves_every_class_as_it_was(telemetry: Any) -> None:
    SklearnInstrumentor().uninstrument()
    before = snapshot_of_classes()
    telemetry.instrument()
    changed = [key for key, value in snapshot_of_classes().items() if before.get(key) is not value]
    SklearnInstrumentor().uninstrument()
    after = snapshot_of_classes()
    assert len(changed) > 300
    assert before.keys() == after.keys()
    volatile = {"__abstractmethods__", "_abc_impl", "__weakref__", "__dict__"}
    assert [key for key in before if before[key] is not after[key] and key[1] not in volatile] == []


def test_methods_that_a_class_took_over_from_another_are_put_back_too(telemetry: Any) -> None:
    class Lending(BaseEstimator):
        def predict(self, X: Any) -> Any:
            return np.zeros(len(X))

        def decision_function(self, X: Any) -> Any:
            return np.zeros(len(X))

    class Borrowing(BaseEstimator):
        predict = Lending.predict
        decision_function = available_if(lambda self: True)(Lending.decision_function)

    Borrowing().predict(X)
    Borrowing().decision_function(X)
    assert telemetry.rows() == 2 * len(X)
    SklearnInstrumentor().uninstrument()
    lent, kept = vars(Lending), vars(Borrowing)
    assert kept["predict"] is lent["predict"]
    assert kept["decision_function"].fn is lent["decision_function"]
    assert not hasattr(lent["predict"], "__wrapped__")


def is_wrapper(method: Any) -> bool:
    file = method.__code__.co_filename
    return "wrappers.py" in file or file.startswith("<modelspan")


def test_every_estimator_of_scikit_learn_is_reached(telemetry: Any) -> None:
    missed = [
        f"{name}.{method}"
        for name, cls in all_estimators()
        for method in METHODS[:5]
        if (found := inspect.getattr_static(cls, method, None)) is not None
        and not isinstance(found, property)
        and not is_wrapper(getattr(found, "fn", found))
    ]
    assert missed == []


@pytest.mark.parametrize(
    "steps",
    [
        ("import", "instrument", "sdk"),
        ("instrument", "import", "sdk"),
        ("sdk", "instrument", "import"),
        ("instrument", "uninstrument", "import", "instrument", "sdk"),
    ],
)
def test_in_every_order_of_importing_instrumenting_and_setting_up_the_sdk(
    program: Callable[..., str], steps: tuple[str, ...]
) -> None:
    source = """
    import sys
    for step in sys.argv[1:]:
        if step == "import":
            from sklearn.base import BaseEstimator
        elif step == "sdk":
            set_up_sdk()
        else:
            getattr(SklearnInstrumentor(), step)()
    class Mine(BaseEstimator):
        def predict(self, X):
            return np.ones(len(X))
    Mine().predict(np.eye(3))
    print(rows())
    SklearnInstrumentor().uninstrument()
    Mine().predict(np.eye(3))
    print(rows())
    """
    assert program(source, *steps).split() == ["3", "3"]


def test_instrumenting_twice_records_once(program: Callable[..., str]) -> None:
    source = """
    from sklearn.base import BaseEstimator
    set_up_sdk()
    SklearnInstrumentor().instrument()
    SklearnInstrumentor().instrument()
    class Mine(BaseEstimator):
        def predict(self, X):
            return np.ones(len(X))
    Mine().predict(np.eye(3))
    print(rows())
    """
    assert program(source) == "3"


def test_the_entry_point_imports_no_machine_learning_library(program: Callable[..., str]) -> None:
    source = """
    import sys
    from modelspan.instrumentation.sklearn import SklearnInstrumentor
    SklearnInstrumentor().instrument()
    print([name for name in ("sklearn", "numpy", "scipy", "pandas", "nanoarrow", "opentelemetry.sdk") if name in sys.modules])
    """
    assert program(source, prelude="") == "[]"


def test_a_class_of_the_main_module_is_recorded(program: Callable[..., str]) -> None:
    source = """
    from sklearn.base import BaseEstimator
    class Mine(BaseEstimator):
        def predict(self, X):
            return np.ones(len(X))
    set_up_sdk()
    SklearnInstrumentor().instrument()
    Mine().predict(np.eye(2))
    print(rows(), logs.get_finished_logs()[0].log_record.attributes["ml.model.type"])
    """
    assert program(source) == "2 __main__.Mine"
