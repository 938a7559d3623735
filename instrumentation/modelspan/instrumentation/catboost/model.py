"""What CatBoost's models are."""

from __future__ import annotations

import hashlib
import json
import sys
from typing import Any

import numpy as np

from modelspan.instrumentation.recorder.attribute import attribute
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
from modelspan.semconv.attributes import MlOperationNameValues as Operation

RANKING = MlTaskTypeValues.RANKING.value
_FRAMEWORK = MlFrameworkNameValues.CATBOOST.value
_PREDICT = Operation.PREDICT.value
_LEARNT = ("model_guid", "class_params", "binclass_probability_threshold")
"""Metadata that say what was learnt; CatBoost keeps others, in no order, such as when that was."""
_MULTILABEL = ("MultiLogloss", "MultiCrossEntropy")
_RANKING = (
    "YetiRank",
    "PairLogit",
    "StochasticFilter",
    "StochasticRank",
    "QueryRMSE",
    "QuerySoftMax",
    "QueryCrossEntropy",
    "LambdaMart",
    "GroupQuantile",
)


@asked_alone
class CatBoostKind(Kind):
    """CatBoost and what derives from it."""

    def framework(self, model: Any) -> str:
        return _FRAMEWORK

    def digest(self, model: Any) -> str:
        """Every fit has an identifier of its own; what changes a model afterwards changes its trees or leaves.

        The bytes of a saved model are not digested, because their order is another in each process; leaves in single
        precision, because a model that was saved as JSON differs in the last digit.
        """
        learnt = hashlib.blake2b(type(model).__name__.encode() if not model.is_fitted() else b"", digest_size=16)
        if model.is_fitted():
            metadata = dict(model.get_metadata())
            facts = [[name, metadata.get(name)] for name in _LEARNT], model.tree_count_, model.get_scale_and_bias()
            learnt.update(json.dumps(facts, default=str).encode())
            learnt.update(np.asarray(model.get_leaf_values(), dtype=np.float32).tobytes())
        return learnt.hexdigest()

    def task(self, model: Any) -> str | None:
        loss = _loss(model)
        if loss in _MULTILABEL:
            return MULTILABEL
        classes = self.classes(model)
        if classes is not None:
            return BINARY if len(classes) == 2 else MULTICLASS
        if attribute(model, "_estimator_type") == "ranker" or loss.startswith(_RANKING):
            return RANKING
        return REGRESSION

    def classes(self, model: Any) -> list[Any] | None:
        found = np.asarray(model.classes_).tolist() if model.is_fitted() else []
        return found or None

    def feature_names(self, model: Any, width: int) -> list[str]:
        names: list[str] = model.feature_names_
        return names

    def width(self, model: Any) -> int | None:
        return len(model.feature_names_)

    def readable(self, model: Any, x: Any) -> Any:
        from modelspan.instrumentation.catboost import data

        data.follow(sys.modules["catboost"].Pool)
        return data.readable_pool(x)

    def takes_texts(self, model: Any) -> bool:
        return not model.is_fitted() or bool(model.get_cat_feature_indices() or model.get_text_feature_indices())

    def role(self, model: Any, operation: str, is_float: bool) -> str:
        if operation != _PREDICT:
            return SCORE
        task = self.task(model)
        if task == REGRESSION:
            return VALUE
        # A plain CatBoost returns raw values unless it is asked for classes; only where classes are floats it does not show.
        is_classifier = attribute(model, "_estimator_type") == "classifier"
        return SCORE if is_float and not is_classifier else LABEL


def _loss(model: Any) -> str:
    """Name of the loss function without its parameters; empty where the model does not say."""
    try:
        loss = model.get_all_params().get("loss_function")
    except Exception:  # a sum of models
        return ""
    return loss.partition(":")[0] if isinstance(loss, str) else ""


KINDS = {"CatBoost": CatBoostKind()}
