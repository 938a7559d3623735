"""What LightGBM's models are: read from the text of the Booster, in the background."""

from __future__ import annotations

import hashlib
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from modelspan.instrumentation.recorder.changing import asked_alone
from modelspan.instrumentation.recorder.kinds import BINARY, LABEL, MULTICLASS, REGRESSION, SCORE, VALUE, Kind
from modelspan.semconv.attributes import MlFrameworkNameValues, MlTaskTypeValues

RANKING = MlTaskTypeValues.RANKING.value
_FRAMEWORK = MlFrameworkNameValues.LIGHTGBM.value
_TASKS = {
    "binary": BINARY,
    "multiclass": MULTICLASS,
    "multiclassova": MULTICLASS,
    "lambdarank": RANKING,
    "rank_xendcg": RANKING,
}
"""Of the objectives that are no regression."""


class Learner(NamedTuple):
    """What a Booster learns: its objective, empty where that is a function of the program, and the number of its classes."""

    objective: str
    classes: int

    @property
    def task(self) -> str | None:
        return _TASKS.get(self.objective, REGRESSION) if self.objective else None

    @property
    def role(self) -> str:
        """What `Booster.predict` returns."""
        return VALUE if self.task in (REGRESSION, None) else SCORE


_learners: WeakKeyDictionary[Any, Learner] = WeakKeyDictionary()


def learner(booster: Any) -> Learner:
    """What a Booster learns."""
    known = _learners.get(booster)
    if known is None:
        head = booster.model_to_string(num_iteration=1).partition("\nTree=")[0]
        lines = dict(line.split("=", 1) for line in head.splitlines() if "=" in line)
        objective = lines.get("objective", "").partition(" ")[0]
        known = _learners[booster] = Learner(objective, int(lines.get("num_class", 1)))
    return known


@asked_alone
class BoosterKind(Kind):
    """Boosters."""

    def name(self, model: Any) -> str:
        return f"{_FRAMEWORK}.{type(model).__name__}"

    def framework(self, model: Any) -> str:
        return _FRAMEWORK

    def digest(self, model: Any) -> str:
        """Of the iterations that it predicts with, which are those that it saves; without the parameters of its training."""
        trees, _, rest = model.model_to_string().partition("\nparameters:")
        text = trees + rest.partition("end of parameters")[2]
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    def task(self, model: Any) -> str | None:
        return learner(model).task

    def classes(self, model: Any) -> list[Any] | None:
        found = learner(model)
        if found.task == BINARY:
            return [0, 1]
        return list(range(found.classes)) if found.task == MULTICLASS else None

    def feature_names(self, model: Any, width: int) -> list[str]:
        names: list[str] = model.feature_name()
        return names

    def role(self, model: Any, operation: str, is_float: bool) -> str:
        return learner(model).role

    def width(self, model: Any) -> int | None:
        return int(model.num_feature())

    def takes_texts(self, model: Any) -> bool:
        return bool(model.pandas_categorical)


@asked_alone
class ModelKind(Kind):
    """Models of scikit-learn's kind."""

    def framework(self, model: Any) -> str:
        return _FRAMEWORK

    def digest(self, model: Any) -> str:
        if not _is_fitted(model):
            return hashlib.blake2b(type(model).__qualname__.encode(), digest_size=16).hexdigest()
        return BoosterKind().digest(model.booster_)

    def classes(self, model: Any) -> list[Any] | None:
        return super().classes(model) if hasattr(type(model), "classes_") else None

    def task(self, model: Any) -> str | None:
        declared = super().task(model)
        return learner(model.booster_).task if declared is None and _is_fitted(model) else declared

    def feature_names(self, model: Any, width: int) -> list[str]:
        return list(model.feature_name_)

    def role(self, model: Any, operation: str, is_float: bool) -> str:
        found = super().role(model, operation, is_float)
        if super().task(model) is None:  # LGBMRanker, LGBMModel
            return learner(model.booster_).role
        if found == LABEL and callable(model.objective_):  # of which LightGBM returns raw scores
            return SCORE
        return found


def _is_fitted(model: Any) -> bool:
    return bool(model.__sklearn_is_fitted__())


KINDS = {"Booster": BoosterKind(), "LGBMModel": ModelKind()}
