"""Answers about a model, by its kind: what it is, what it has learnt, what it returns.

A `Kind` that no library has overridden answers by scikit-learn's protocol. The kinds of a library are found by the package of a
model's class, whichever instrumentors are in use: a model is the same wherever it is met.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar
from weakref import WeakKeyDictionary, ref

from modelspan.instrumentation.failure import failed, heard
from modelspan.instrumentation.recorder.attribute import attribute, has_method, own
from modelspan.instrumentation.recorder.fingerprint import fingerprint
from modelspan.instrumentation.recorder.imports import imported
from modelspan.instrumentation.recorder.takers import takers
from modelspan.semconv import attributes as ml

ANOMALY = ml.MlTaskTypeValues.ANOMALY_DETECTION.value
BINARY = ml.MlTaskTypeValues.BINARY_CLASSIFICATION.value
CLUSTERING = ml.MlTaskTypeValues.CLUSTERING.value
MULTICLASS = ml.MlTaskTypeValues.MULTICLASS_CLASSIFICATION.value
MULTILABEL = ml.MlTaskTypeValues.MULTILABEL_CLASSIFICATION.value
REGRESSION = ml.MlTaskTypeValues.REGRESSION.value

LABEL, VALUE, SCORE = "label", "value", "score"
"""What an output is: a class, a number that is predicted, or the confidence in something."""

_PREDICT = ml.MlOperationNameValues.PREDICT.value
_MODULES = {ml.MlFrameworkNameValues.PYTORCH.value: "torch"}
"""Modules of frameworks that are not called as these are."""
_FRAMEWORKS = frozenset(framework.value for framework in ml.MlFrameworkNameValues)
_T = TypeVar("_T")


class Kind:
    """Models that follow scikit-learn's protocol. Every method is called in the background thread, and may raise: what it would
    have said is left out then.
    """

    def essence(self, model: Any) -> Any:
        """What makes the prediction: the last step of a pipeline, the best estimator of a search. Its class names the model."""
        for _ in range(10):
            steps = attribute(model, "steps")
            last = steps[-1] if isinstance(steps, list) and steps else None
            # Other classes of programs have an attribute of that name, too.
            inner = last[1] if isinstance(last, (tuple, list)) and len(last) == 2 and isinstance(last[0], str) else None
            if inner is None:
                inner = _searched(model)
            if inner is None or isinstance(inner, str):
                return model
            model = inner
        return model

    def name(self, model: Any) -> str:
        """Name of a model that nobody named."""
        return type(self.essence(model)).__name__

    def digest(self, model: Any) -> str:
        """Hex digest of what the model has learnt: equal in every process that loads the same model, other after a refit."""
        # A search predicts as its best estimator does; how long its fits took is part of its state, and of no interest.
        return fingerprint(attribute(model, "best_estimator_", model) if _is_search(model) else model, _digest_of_part)

    def framework(self, model: Any) -> str:
        """One of the values of `ml.framework.name`, which is also the module that has the framework's `__version__`."""
        return _framework_of(type(self.essence(model)))

    def task(self, model: Any) -> str | None:
        """One of the values of `ml.task.type`; None where the model does not say."""
        base = sys.modules.get("sklearn.base")
        if base is None or not any(has_method(model, name) for name in _DECLARATIONS):
            return None
        for test, task in (
            ("is_classifier", BINARY),
            ("is_regressor", REGRESSION),
            ("is_clusterer", CLUSTERING),
            ("is_outlier_detector", ANOMALY),
        ):
            if _says(getattr(base, test, None), model):
                return self._classification(model) if task == BINARY else task
        return CLUSTERING if attribute(self.essence(model), "_estimator_type") == "clusterer" else None

    def _classification(self, model: Any) -> str:
        names = self.classes(model)
        if (isinstance(names, list) and names and isinstance(names[0], list)) or attribute(model, "multilabel_", False):
            return MULTILABEL
        return BINARY if names is not None and len(names) == 2 else MULTICLASS

    def classes(self, model: Any) -> list[Any] | None:
        """Labels in the order of the scores; a list for each output of a model with several; None for other models."""
        found = attribute(self.essence(model), "classes_")
        if isinstance(found, list):
            return [getattr(one, "tolist", lambda one=one: list(one))() for one in found]
        listed = getattr(found, "tolist", None)
        return None if found is None else listed() if listed is not None else list(found)

    def feature_names(self, model: Any, width: int) -> Sequence[Any] | None:
        """Names of the columns that the model was fitted with, their positions where they had none; None where it does not know."""
        names = attribute(model, "feature_names_in_")
        width_in = own(model).get("n_features_in_")
        # scikit-learn's own would know the names of what they were fitted with, other classes may not.
        if names is None and isinstance(width_in, int) and type(model).__module__.startswith("sklearn."):
            return range(width_in)
        if names is not None:
            return names  # type: ignore[no-any-return]  # of the model
        return _first_known(takers(model), lambda kind, inner: kind.feature_names(inner, width))

    def width(self, model: Any) -> int | None:
        """Number of the columns that it takes; None where it does not say."""
        found = attribute(model, "n_features_in_")
        return found if isinstance(found, int) else _first_known(takers(model), lambda kind, inner: kind.width(inner))

    def missing(self, model: Any) -> float | None:
        """The number that it takes for missing, NaN where there is none but that; None where what a sparse matrix does not hold is
        zero to it.
        """
        inner = takers(model)
        return kind_of(inner[0]).missing(inner[0]) if inner else None

    def readable(self, model: Any, x: Any) -> Any:
        """An input as it is recorded, in the place of what only the library of the model can read."""
        return x

    def takes_texts(self, model: Any) -> bool:
        """False if every feature is a number; True where the model does not say."""
        inner = takers(model)
        if inner:
            return any(kind_of(one).takes_texts(one) for one in inner)
        if not type(model).__module__.startswith("sklearn.") or _DELEGATES & model.get_params(deep=False).keys():
            return True
        get_tags = getattr(sys.modules["sklearn.utils"], "get_tags", None)
        if get_tags is None:  # before scikit-learn 1.6
            tags = model._get_tags()
            return bool(tags["no_validation"] or {"string", "categorical"}.intersection(tags["X_types"]))
        tags = get_tags(model)
        return bool(tags.no_validation or tags.input_tags.string or tags.input_tags.categorical)

    def input_names(self, model: Any) -> Sequence[str]:
        """Names of what a model that takes tensors takes by position, as many as it knows."""
        return ()

    def role(self, model: Any, operation: str, is_float: bool) -> str:
        """What the operation returns. `is_float`: whether it returned floating-point numbers."""
        if operation != _PREDICT:
            return SCORE
        task = self.task(model)
        if task is None:
            return VALUE if _returns_floats(model, is_float) else LABEL
        return VALUE if task == REGRESSION else LABEL


_DELEGATES = frozenset(
    (
        "categorical_features",
        "estimator",
        "estimators",
        "func",
        "missing_values",
        "regressor",
        "transformer_list",
        "transformers",
    )
)
"""Parameters of estimators that take what others take, or texts though they do not say so."""
_protocol = Kind()
_LIBRARIES = {
    "xgboost": "xgboost.model",
    "lightgbm": "lightgbm.model",
    "catboost": "catboost.model",
    "torch": "torch.kind",
    "onnxruntime": "onnxruntime.identity",
    "mlflow": "mlflow.kind",
}
"""By package: the module that has the kinds of its models as `KINDS`, by the name of a class. Imported with the first of them."""
_by_class: WeakKeyDictionary[type, Kind] = WeakKeyDictionary()
_floats: dict[int, tuple[ref[Any], bool]] = {}
"""True by `id` of a model, whose own hash and equality are never asked, if its first outputs were floating-point numbers; only for models that do not say what they predict."""
_floats_of_class: WeakKeyDictionary[type, bool] = WeakKeyDictionary()
"""The same for models that cannot be referred to weakly: all of a class are alike."""


def _returns_floats(model: Any, is_float: bool) -> bool:
    """True if the first outputs of the model were floats; fixed by its first call, so that later whole numbers are not taken for labels."""
    key = id(model)
    known = _floats.get(key)
    if known is not None and known[0]() is model:
        return known[1]
    try:
        _floats[key] = ref(model, lambda _: _floats.pop(key, None)), is_float
    except TypeError:  # it cannot be referred to weakly
        return _floats_of_class.setdefault(type(model), is_float)
    return is_float


def kind_of(model: Any) -> Kind:
    """The kind of a model: that of its class, or of the nearest class that this derives from."""
    cls = type(model)
    known = _by_class.get(cls)
    if known is None:
        known = _by_class[cls] = next(
            (kind for base in cls.__mro__ if (kind := _kinds_of(base).get(base.__qualname__))), _protocol
        )
    return known


def _kinds_of(cls: type) -> Mapping[str, Kind]:
    library = _LIBRARIES.get(str(cls.__module__).partition(".")[0])
    try:
        found: Mapping[str, Kind] = {} if library is None else imported(f"modelspan.instrumentation.{library}").KINDS
    except Exception as error:  # a version of the library that is not supported
        failed(f"know the models of {cls.__module__}", error)
        return {}
    return found


def _digest_of_part(part: Any) -> str | None:
    """The digest of a part of a model that a library knows how to digest."""
    kind = kind_of(part)
    if kind is _protocol:
        return None
    try:
        return kind.digest(part)
    except Exception as error:  # of a version that is not supported: what pickle would write of it counts
        failed("make a digest of a part of a model", error)
        return None


def describe(model: Any) -> dict[str, Any]:
    """Attributes that say what the model is: type, framework, task. Of a model that cannot be asked, what its class says."""
    kind = kind_of(model)
    task = None
    try:
        cls, framework, task = type(kind.essence(model)), kind.framework(model), kind.task(model)
    except Exception as error:
        failed("find out what a model is", error)
        cls, framework = type(model), _framework_of(type(model))
    facts: dict[str, Any] = {ml.ML_MODEL_TYPE: f"{cls.__module__}.{cls.__qualname__}", ml.ML_FRAMEWORK_NAME: framework}
    version = getattr(sys.modules.get(_MODULES.get(framework, framework)), "__version__", None)
    if version is not None:
        facts[ml.ML_FRAMEWORK_VERSION] = str(version)
    if task is not None:
        facts[ml.ML_TASK_TYPE] = task
    return facts


def _framework_of(cls: type) -> str:
    module = cls.__module__.partition(".")[0]
    return module if module in _FRAMEWORKS else ml.MlFrameworkNameValues.SKLEARN.value


def classes(model: Any) -> list[Any] | None:
    """Labels in the order of the scores, None where there are none."""
    try:
        return kind_of(model).classes(model)
    except Exception as error:  # not a classifier, or not fitted
        heard(error)
        return None


def missing_of(model: Any) -> float | None:
    """The number that a model takes for missing, NaN where there is none but that; None where what a sparse matrix does not hold is
    zero to it.
    """
    try:
        return kind_of(model).missing(model)
    except Exception as error:
        failed("find out what a model takes for missing", error)
        return None


def width_of(model: Any) -> int | None:
    """Number of the columns that a model takes; None where it does not say."""
    try:
        return kind_of(model).width(model)
    except Exception as error:  # not fitted
        heard(error)
        return None


def takes_texts(model: Any) -> bool:
    """False if a fitted model takes numbers alone."""
    try:
        return width_of(model) is None or kind_of(model).takes_texts(model)
    except Exception as error:  # not fitted
        heard(error)
        return True


def input_names(model: Any) -> Sequence[str]:
    """Names of what a model that takes tensors takes by position, as many as are known."""
    try:
        return kind_of(model).input_names(model)
    except Exception:  # compiled, without a signature
        return ()


def _first_known(inner: Sequence[Any], ask: Callable[[Kind, Any], _T | None]) -> _T | None:
    """The first answer of the models within one."""
    for one in inner:
        with suppress(Exception):  # not fitted
            found = ask(kind_of(one), one)
            if found is not None:
                return found
    return None


_DECLARATIONS = "__sklearn_tags__", "_estimator_type"
"""By which an estimator says what it is, of scikit-learn 1.6 and before."""


def _is_search(model: Any) -> bool:
    kind = type(model)
    return hasattr(kind, "cv_results_") or attribute(model, "best_estimator_") is not None or "Search" in kind.__name__


def _searched(model: Any) -> Any:
    """The best estimator of a search, or what it is to fit; None of any other model."""
    return attribute(model, "best_estimator_") or attribute(model, "estimator") if _is_search(model) else None


def _says(test: Any, model: Any) -> bool:
    try:
        return bool(test(model))
    except Exception as error:  # an estimator that does not follow scikit-learn's protocol
        heard(error)
        return False
