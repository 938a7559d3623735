"""Models of the program are read without running its code: a property may load a model, and `__getattr__` may answer to any name."""

from __future__ import annotations

import gc
import weakref
from collections import Counter
from typing import Any

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from modelspan.instrumentation import set_reference
from modelspan.instrumentation.recorder.attribute import attribute, has_method
from modelspan.semconv import attributes as ml

X = np.random.default_rng(5).normal(size=(200, 3))
Y = np.where(X[:, 0] > 0, "yes", "no")
LAZY = (
    "best_estimator_",
    "classes_",
    "cv_results_",
    "estimator",
    "feature_names_in_",
    "n_features_in_",
    "steps",
    *(
        ("_estimator_type",) if hasattr(BaseEstimator, "__sklearn_tags__") else ()
    ),  # scikit-learn before 1.6 asks for it itself
)
asked = Counter[str]()


def _lazy(name: str) -> property:
    def load(self: Any) -> Any:
        asked[name] += 1
        raise RuntimeError(f"{name} would load a model")

    return property(load)


class Lazy(BaseEstimator):
    def fit(self, X: Any, y: Any) -> Lazy:
        return self

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def predict(self, X: Any) -> Any:
        return np.zeros(len(X))

    def predict_proba(self, X: Any) -> Any:
        return np.full((len(X), 2), 0.5)


for _name in LAZY:
    setattr(Lazy, _name, _lazy(_name))


class AnswersAll(BaseEstimator):
    def __getattr__(self, name: str) -> Any:
        asked[name] += 1
        return lambda *args, **kwargs: self

    def fit(self, X: Any, y: Any) -> AnswersAll:
        return self

    def predict(self, X: Any) -> Any:
        return np.zeros(len(X))


@pytest.mark.parametrize("kind", [Lazy, AnswersAll])
def test_no_property_and_no_getattr_of_the_program_is_asked(telemetry: Any, kind: Any) -> None:
    model = kind().fit(X, Y)
    asked.clear()
    for method in ("predict", "predict_proba"):
        if has_method(model, method):
            getattr(model, method)(X[:2])
    set_reference(model, X, model.predict(X))
    model.fit(X, Y)
    model.predict(X[:1])
    assert telemetry.rows() > 0
    assert set(asked) <= {"__slots__"}  # of which scikit-learn itself asks where a model is pickled
    assert {attributes[ml.ML_MODEL_NAME] for attributes, _ in telemetry.batches()} == {kind.__name__}
    assert {a[ml.ML_MODEL_TYPE].rpartition(".")[2] for a, _ in telemetry.batches()} == {kind.__name__}


def test_within_a_pipeline_and_a_search_neither(telemetry: Any) -> None:
    search = GridSearchCV(make_pipeline(StandardScaler(), Lazy()), {}, scoring=lambda *_: 0.0, cv=2)
    search.fit(X, Y)
    search.best_estimator_.predict(X[:2])
    search.predict(X[:2])
    asked.clear()  # what scikit-learn asked
    assert telemetry.rows() > 0
    assert not asked
    assert {attributes[ml.ML_MODEL_NAME] for attributes, _ in telemetry.batches()} == {"Lazy"}


def test_what_a_model_holds_and_what_libraries_say_is_read() -> None:
    class Slotted:
        __slots__ = ("classes_", "steps")

    slotted = Slotted()
    slotted.classes_ = [1, 2]
    assert (attribute(slotted, "classes_"), attribute(slotted, "steps")) == ([1, 2], None)
    pipeline = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, Y)
    assert list(attribute(pipeline, "classes_")) == ["no", "yes"]
    assert attribute(pipeline, "absent", 7) == 7
    assert has_method(pipeline, "predict_proba")
    assert not has_method(make_pipeline(StandardScaler()), "predict")


def test_a_classifier_of_the_program_that_holds_its_classes_keeps_their_names(telemetry: Any) -> None:
    class Plain(ClassifierMixin, BaseEstimator):
        def fit(self, X: Any, y: Any) -> Any:
            self.classes_ = np.unique(y)
            return self

        def predict_proba(self, X: Any) -> Any:
            return np.tile([0.25, 0.75], (len(X), 1))

    Plain().fit(X, Y).predict_proba(X[:1])
    assert telemetry.batch()["score"].to_pylist() == [0.75]


def test_neither_a_dict_of_the_program_nor_any_of_its_descriptors_is_asked() -> None:
    class Asking:
        def __get__(self, model: Any, cls: Any) -> Any:
            asked["descriptor"] += 1

    class Odd:
        classes_ = Asking()
        steps = "held by the class"

        @property
        def __dict__(self) -> Any:  # type: ignore[override]
            asked["__dict__"] += 1
            return {"estimator": 1}

    asked.clear()
    found = [attribute(Odd(), name) for name in ("classes_", "estimator", "steps")]
    assert (found, has_method(Odd(), "estimator"), has_method(Odd(), "steps")) == (
        [None, None, "held by the class"],
        False,
        True,
    )
    assert not asked


def test_what_a_model_holds_comes_before_what_its_class_does_and_a_class_is_not_kept() -> None:
    def made() -> Any:
        class Local:
            steps, classes_ = [("of", "class")], ("a", "b")

        return Local()

    model = made()
    model.steps = []
    assert (attribute(model, "steps"), attribute(model, "classes_")) == ([], ("a", "b"))
    cls = weakref.ref(type(model))
    del model
    gc.collect()
    assert cls() is None
