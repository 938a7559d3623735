"""What XGBoost's models are: read from the configuration of the Booster, in the background."""

from __future__ import annotations

import hashlib
import json
import math
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from modelspan.instrumentation.recorder.changing import asked_alone
from modelspan.instrumentation.recorder.kinds import (
    BINARY,
    LABEL,
    MULTICLASS,
    MULTILABEL,
    REGRESSION,
    SCORE,
    VALUE,
    Kind,
)
from modelspan.semconv.attributes import MlFrameworkNameValues, MlTaskTypeValues

RANKING = MlTaskTypeValues.RANKING.value
_FRAMEWORK = MlFrameworkNameValues.XGBOOST.value
_SAVED_WITH = "scikit_learn"
"""Attribute of the file that a model of scikit-learn's kind saves: its parameters, not what it has learnt."""


_CATEGORICAL = "c"
"""Type of a feature."""


class Learner(NamedTuple):
    """What a Booster learns: its objective, the number of its classes (0 where it has none), and of its targets."""

    objective: str
    classes: int
    targets: int

    @property
    def task(self) -> str:
        family = self.objective.partition(":")[0]
        if family == "binary":
            return BINARY if self.targets < 2 else MULTILABEL
        return {"multi": MULTICLASS, "rank": RANKING}.get(family, REGRESSION)

    @property
    def role(self) -> str:
        """What `Booster.predict` returns."""
        if self.objective in ("multi:softmax", "binary:hinge"):
            return LABEL
        return VALUE if self.task == REGRESSION else SCORE


_learners: WeakKeyDictionary[Any, Learner] = WeakKeyDictionary()
"""Read once, for while a Booster is trained on, other threads better do not look into it."""


def learner(booster: Any) -> Learner:
    """What a Booster learns."""
    known = _learners.get(booster)
    if known is None:
        config = json.loads(booster.save_config())["learner"]
        parameters = config["learner_model_param"]
        classes, targets = int(parameters["num_class"]), int(parameters.get("num_target", 1))
        known = _learners[booster] = Learner(config["objective"]["name"], classes, targets)
    return known


def forget(booster: Any) -> None:
    """A Booster may learn something else from now on."""
    _learners.pop(booster, None)


@asked_alone
class BoosterKind(Kind):
    """Boosters."""

    def name(self, model: Any) -> str:
        return f"{_FRAMEWORK}.{type(model).__name__}"

    def framework(self, model: Any) -> str:
        return _FRAMEWORK

    def digest(self, model: Any) -> str:
        if _SAVED_WITH in model.attributes():
            model = model.copy()
            model.set_attr(**{_SAVED_WITH: None})
        return hashlib.blake2b(model.save_raw("ubj"), digest_size=16).hexdigest()

    def task(self, model: Any) -> str | None:
        return learner(model).task

    def classes(self, model: Any) -> list[Any] | None:
        found = learner(model)
        if found.task == BINARY:
            return [0, 1]
        return list(range(found.classes)) if found.task == MULTICLASS else None

    def feature_names(self, model: Any, width: int) -> Sequence[Any]:
        names: list[str] | None = model.feature_names
        return range(model.num_features()) if names is None else names

    def role(self, model: Any, operation: str, is_float: bool) -> str:
        return learner(model).role

    def width(self, model: Any) -> int | None:
        return int(model.num_features())

    def missing(self, model: Any) -> float | None:
        return math.nan

    def readable(self, model: Any, x: Any) -> Any:
        from modelspan.instrumentation.xgboost import matrix

        matrix.know(sys.modules["xgboost.core"])
        return matrix.readable(x)

    def takes_texts(self, model: Any) -> bool:
        return _CATEGORICAL in (model.feature_types or ())


@asked_alone
class ModelKind(Kind):
    """Models of scikit-learn's kind."""

    def framework(self, model: Any) -> str:
        return _FRAMEWORK

    def digest(self, model: Any) -> str:
        if not model.__sklearn_is_fitted__():
            return hashlib.blake2b(type(model).__qualname__.encode(), digest_size=16).hexdigest()
        return BoosterKind().digest(model.get_booster())

    def feature_names(self, model: Any, width: int) -> Sequence[Any]:
        return BoosterKind().feature_names(model.get_booster(), width)

    def missing(self, model: Any) -> float | None:
        return math.nan if model.missing is None else float(model.missing)

    def task(self, model: Any) -> str | None:
        found = learner(model.get_booster()).task if model.__sklearn_is_fitted__() else None
        declared = super().task(model)
        return found if declared is None or found == MULTILABEL else declared

    def role(self, model: Any, operation: str, is_float: bool) -> str:
        found = super().role(model, operation, is_float)
        if super().task(model) is None:  # XGBRanker, XGBModel
            return learner(model.get_booster()).role
        return found

    def takes_texts(self, model: Any) -> bool:
        return BoosterKind().takes_texts(model.get_booster())


KINDS = {"Booster": BoosterKind(), "XGBModel": ModelKind()}
