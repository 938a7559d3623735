"""Which functions and methods of CatBoost are replaced, and which of their calls are predictions."""

from __future__ import annotations

from typing import Any

import numpy as np

from modelspan.instrumentation.catboost import data as inputs
from modelspan.instrumentation.patching.patches import Patches
from modelspan.instrumentation.patching.wrappers import Described, Usual, guarded, guarded_train
from modelspan.instrumentation.recorder.attribute import attribute
from modelspan.semconv.attributes import MlOperationNameValues as Operation

_PREDICT = Operation.PREDICT.value
_PREDICT_PROBA = Operation.PREDICT_PROBA.value
_PREDICT_LOG_PROBA = Operation.PREDICT_LOG_PROBA.value
_DECISION_FUNCTION = Operation.DECISION_FUNCTION.value

_CLASS, _RAW = "Class", "RawFormulaVal"
_OPERATIONS = {
    None: _PREDICT,
    _CLASS: _PREDICT,
    _RAW: _PREDICT,
    "Exponent": _PREDICT,
    "RMSEWithUncertainty": _PREDICT,
    "Probability": _PREDICT_PROBA,
    "MultiProbability": _PREDICT_PROBA,
    "LogProbability": _PREDICT_LOG_PROBA,
}
"""By prediction type; None is a regressor's choice."""

_CLASSES = ("CatBoost", "CatBoostClassifier", "CatBoostRegressor", "CatBoostRanker")
_CHANGES = ("load_model", "shrink", "drop_unused_features", "set_scale_and_bias", "set_leaf_values")
_GUARDED = (
    "score",
    "calc_feature_statistics",
    "compare",
    "eval_metrics",
    "get_feature_importance",
    "grid_search",
    "plot_partial_dependence",
    "plot_predictions",
    "randomized_search",
    "select_features",
    "virtual_ensembles_predict",
)


def patch(patches: Patches, catboost: Any) -> None:
    """Replace what predicts and what fits in the package `catboost`."""
    core = catboost.core
    inputs.follow(catboost.Pool)
    patches.predicts(core, "CatBoost.predict", _predict)
    patches.predicts(core, "CatBoostClassifier.predict", _classifier_predict, Usual(_PREDICT, ("prediction_type",)))
    patches.predicts(core, "CatBoostRegressor.predict", _regressor_predict, Usual(_PREDICT, ("prediction_type",)))
    patches.predicts(core, "CatBoostRanker.predict", _ranker_predict)
    patches.predicts(core, "CatBoostClassifier.predict_proba", _predict_proba, Usual(_PREDICT_PROBA))
    patches.predicts(core, "CatBoostClassifier.predict_log_proba", _predict_log_proba)
    for cls in ("_CatBoostBase", *_CLASSES):
        patches.fits(core, f"{cls}.fit", _readable)
        for name in _CHANGES:
            patches.changes(core, f"{cls}.{name}")
        for name in _GUARDED:
            patches.guard(core, f"{cls}.{name}")
    _patch_training(patches, catboost)


def _patch_training(patches: Patches, catboost: Any) -> None:
    train = guarded_train(catboost.train, _training_data, patches.recorder)
    patches.replace_function(catboost.train, train)
    patches.replace_function(catboost.cv, guarded(catboost.cv))


def _predict(model: Any, data: Any, prediction_type: Any = _RAW, *args: Any, **kwargs: Any) -> Described | None:
    operation = _OPERATIONS.get(prediction_type)
    if operation is None:
        return None
    if prediction_type == _RAW and attribute(model, "_estimator_type") == "classifier":
        operation = _DECISION_FUNCTION
    is_single, x = inputs.readable(data)
    return Described(model, operation, x, _one if is_single else None)


def _classifier_predict(
    model: Any, data: Any, prediction_type: Any = _CLASS, *args: Any, **kwargs: Any
) -> Described | None:
    return _predict(model, data, prediction_type)


def _regressor_predict(
    model: Any, data: Any, prediction_type: Any = None, *args: Any, **kwargs: Any
) -> Described | None:
    return _predict(model, data, prediction_type)


def _ranker_predict(model: Any, X: Any, *args: Any, **kwargs: Any) -> Described | None:
    return _predict(model, X)


def _predict_proba(model: Any, X: Any, *args: Any, **kwargs: Any) -> Described | None:
    return _predict(model, X, "Probability")


def _predict_log_proba(model: Any, X: Any, *args: Any, **kwargs: Any) -> Described | None:
    return _predict(model, X, "LogProbability")


def _one(result: Any) -> Any:
    """The result for one object as that for a list of one."""
    return np.asarray(result)[np.newaxis]


def _training_data(pool: Any = None, params: Any = None, dtrain: Any = None, *args: Any, **kwargs: Any) -> Any:
    return _readable(dtrain if pool is None else pool)


def _readable(data: Any) -> Any:
    return None if data is None else inputs.readable(data)[1]
