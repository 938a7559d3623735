"""Who a model is: the name and version of a model object, kept beside it and never on it.

An `Identity` belongs to one fitted state of one object. A refit gives the object a new one.
"""

from __future__ import annotations

import sys
import weakref
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from modelspan.instrumentation.config import Config
from modelspan.instrumentation.recorder.fingerprint import fingerprint
from modelspan.instrumentation.recorder.texts import readable
from modelspan.semconv import attributes as ml

MAX_CLASSES = 100
"""Classes named one by one, in `ml.model.classes` and as score columns."""
_MAX_PINNED = 64

ANOMALY = ml.MlTaskTypeValues.ANOMALY_DETECTION.value
BINARY = ml.MlTaskTypeValues.BINARY_CLASSIFICATION.value
CLUSTERING = ml.MlTaskTypeValues.CLUSTERING.value
MULTICLASS = ml.MlTaskTypeValues.MULTICLASS_CLASSIFICATION.value
MULTILABEL = ml.MlTaskTypeValues.MULTILABEL_CLASSIFICATION.value
REGRESSION = ml.MlTaskTypeValues.REGRESSION.value


class Identity:
    """Name, version and lineage of one fitted state of one model; what is not given is worked out when first asked for."""

    __slots__ = ("_facts", "announced", "lineage", "model", "name", "reference", "spans", "version")

    def __init__(self, name: str | None, version: str | None, lineage: Mapping[str, Any]) -> None:
        self.name = None if name is None else readable(str(name))
        self.version = None if version is None else readable(str(version))
        self.lineage = dict(lineage)
        self.announced = False
        """Whether `ml.model.loaded` was emitted."""
        self.spans = (0.0, 0.0)
        """Spans that may still be made without a trace, and when that was worked out."""
        self.reference: Any = None
        """What tells that the model is gone."""
        self._facts: dict[str, Any] | None = None

    def resolve(self, model: Any, config: Config) -> None:
        """Fill in the name and version that nobody gave. Takes milliseconds for large models, once."""
        if self.name is None:
            self.name = readable(config.model_name or type(final_estimator(model)).__name__)
        if self.version is None:
            self.version = config.model_version or _fit_version(model)

    def facts(self, model: Any) -> dict[str, Any]:
        """Attributes that say what the model is: type, framework, task, classes."""
        if self._facts is None:
            self._facts = _describe(model)
        return self._facts


class Identities:
    """The identity of each model object that was seen, without keeping the object alive."""

    def __init__(self) -> None:
        self.by_id: dict[int, Identity] = {}
        """By the address of the model. An entry goes before the model's memory can be another's."""
        self._pinned: OrderedDict[int, Any] = OrderedDict()

    def get(self, model: Any) -> Identity:
        """The identity of a model, a new one for a model not seen before."""
        known = self.by_id.get(id(model))
        if known is not None:
            return known
        new = Identity(None, None, {})
        new.reference = self._reference(model)
        # Two threads may come here with the same model: both get what the first put.
        return self.by_id.setdefault(id(model), new)

    def put(self, model: Any, identity: Identity) -> Identity:
        """Make `identity` that of `model`."""
        identity.reference = self._reference(model)
        self.by_id[id(model)] = identity
        return identity

    def refit(self, model: Any, config: Config) -> None:
        """A fit begins: what was predicted so far keeps the old version, what follows gets a new one."""
        old = self.by_id.get(id(model))
        if old is None:
            return
        given = old.version if old.version is not None and not old.version.startswith(_FIT) else None
        name = old.name
        try:
            old.facts(model)
            old.resolve(model, config)
        finally:
            self.put(model, Identity(name, given, old.lineage))

    def _reference(self, model: Any) -> Any:
        key = id(model)
        by_id = self.by_id
        try:
            # Removed only if it is still this one's: the model may have got another identity since.
            # No names of the module: it may be empty when the last models go, at the exit.
            return weakref.ref(
                model, lambda gone: by_id.pop(key) if (now := by_id.get(key)) and now.reference is gone else None
            )
        except TypeError:
            return self._pin(model)

    def _pin(self, model: Any) -> Any:
        """Hold a model that allows no weak references, the latest few of them."""
        self._pinned[id(model)] = model
        if len(self._pinned) > _MAX_PINNED:
            self.by_id.pop(self._pinned.popitem(last=False)[0], None)
        return model


identities = Identities()
"""Those of this process."""

_FIT = "fit-"


def _fit_version(model: Any) -> str:
    # A search predicts as its best estimator does; how long its fits took is part of its state, and of no interest.
    learnt = getattr(model, "best_estimator_", model) if _is_search(model) else model
    return _FIT + fingerprint(learnt)[:12]


def final_estimator(model: Any) -> Any:
    """The estimator that makes the prediction: the last step of a pipeline, the best estimator of a search."""
    for _ in range(10):
        steps = getattr(model, "steps", None)
        inner = steps[-1][1] if isinstance(steps, list) and steps else None
        if inner is None:
            inner = (
                getattr(model, "best_estimator_", None) or getattr(model, "estimator", None)
                if _is_search(model)
                else None
            )
        if inner is None or isinstance(inner, str):
            return model
        model = inner
    return model


def _is_search(model: Any) -> bool:
    return hasattr(type(model), "cv_results_") or hasattr(model, "best_estimator_") or "Search" in type(model).__name__


def _describe(model: Any) -> dict[str, Any]:
    kind = type(final_estimator(model))
    module = kind.__module__.partition(".")[0]
    framework = module if module in _FRAMEWORKS else ml.MlFrameworkNameValues.SKLEARN.value
    facts: dict[str, Any] = {
        ml.ML_MODEL_TYPE: f"{kind.__module__}.{kind.__qualname__}",
        ml.ML_FRAMEWORK_NAME: framework,
    }
    version = getattr(sys.modules.get(framework), "__version__", None)
    if version is not None:
        facts[ml.ML_FRAMEWORK_VERSION] = str(version)
    task = _task(model)
    if task is not None:
        facts[ml.ML_TASK_TYPE] = task
    return facts


_FRAMEWORKS = frozenset(framework.value for framework in ml.MlFrameworkNameValues)


def _task(model: Any) -> str | None:
    """The task by scikit-learn's own test of what an estimator is, None where it does not say."""
    base = sys.modules.get("sklearn.base")
    if base is None:
        return None
    for test, task in (
        ("is_classifier", BINARY),
        ("is_regressor", REGRESSION),
        ("is_clusterer", CLUSTERING),
        ("is_outlier_detector", ANOMALY),
    ):
        if _says(getattr(base, test, None), model):
            return _classification(model) if task == BINARY else task
    return CLUSTERING if getattr(final_estimator(model), "_estimator_type", "") == "clusterer" else None


def _says(test: Any, model: Any) -> bool:
    try:
        return bool(test(model))
    except Exception:  # an estimator that does not follow scikit-learn's protocol
        return False


def _classification(model: Any) -> str:
    names = classes(model)
    if isinstance(names, list) and names and isinstance(names[0], list):
        return MULTILABEL
    return BINARY if names is not None and len(names) == 2 else MULTICLASS


def classes(model: Any) -> list[Any] | None:
    """Labels in the order of the scores; a list for each output of a model with several; None for other models."""
    try:
        found = model.classes_
    except Exception:  # not a classifier, or not fitted
        return None
    if isinstance(found, list):
        return [getattr(one, "tolist", lambda one=one: list(one))() for one in found]
    listed = getattr(found, "tolist", None)
    return listed() if listed is not None else list(found)
