"""Which functions and methods of LightGBM are replaced, and which of their calls are predictions."""

from __future__ import annotations

from typing import Any

from modelspan.instrumentation.patching.patches import Patches
from modelspan.instrumentation.patching.wrappers import Described, Usual, guarded, guarded_train
from modelspan.semconv.attributes import MlOperationNameValues as Operation

_PREDICT = Operation.PREDICT.value
_PREDICT_PROBA = Operation.PREDICT_PROBA.value
_DECISION_FUNCTION = Operation.DECISION_FUNCTION.value

_OTHER_OUTPUTS = ("raw_score", "pred_leaf", "pred_contrib")
_GUARDED = ("Booster.eval", "Booster.eval_train", "Booster.eval_valid", "Booster.refit")
_CHANGES = (
    "Booster.update",
    "Booster.rollback_one_iter",
    "Booster.shuffle_models",
    "Booster.set_leaf_output",
    "Booster.model_from_string",
)


def patch(patches: Patches, lightgbm: Any) -> None:
    """Replace what predicts and what fits in the package `lightgbm`."""
    basic = lightgbm.basic
    patches.predicts(basic, "Booster.predict", _booster_predict, Usual(_PREDICT, _OTHER_OUTPUTS))
    for path in _GUARDED:
        patches.guard(basic, path)
    for path in _CHANGES:
        patches.changes(basic, path)
    _patch_training(patches, lightgbm)
    models = getattr(lightgbm, "sklearn", None)
    for name, cls in list(vars(models).items()) if models is not None else ():
        if isinstance(cls, type) and cls.__module__ == lightgbm.__name__ + ".sklearn":
            _patch_model(patches, models, name)


def _patch_training(patches: Patches, lightgbm: Any) -> None:
    train = guarded_train(lightgbm.train, _training_data, patches.recorder)
    patches.replace_function(lightgbm.train, train)
    patches.replace_function(lightgbm.cv, guarded(lightgbm.cv))


def _patch_model(patches: Patches, module: Any, name: str) -> None:
    patches.predicts(module, f"{name}.predict", _model_predict, Usual(_PREDICT, _OTHER_OUTPUTS))
    patches.predicts(module, f"{name}.predict_proba", _model_predict_proba, Usual(_PREDICT_PROBA, _OTHER_OUTPUTS))
    patches.predicts(module, f"{name}.decision_function", _model_decision_function)
    patches.fits(module, f"{name}.fit")


def _booster_predict(
    booster: Any,
    data: Any,
    start_iteration: int = 0,
    num_iteration: int | None = None,
    raw_score: bool = False,
    pred_leaf: bool = False,
    pred_contrib: bool = False,
    *args: Any,
    **kwargs: Any,
) -> Described | None:
    return None if raw_score or pred_leaf or pred_contrib else Described(booster, _PREDICT, data)


def _model_predict(
    model: Any,
    X: Any,
    raw_score: bool = False,
    start_iteration: int = 0,
    num_iteration: int | None = None,
    pred_leaf: bool = False,
    pred_contrib: bool = False,
    *args: Any,
    **kwargs: Any,
) -> Described | None:
    return None if raw_score or pred_leaf or pred_contrib else Described(model, _PREDICT, X)


def _model_predict_proba(*args: Any, **kwargs: Any) -> Described | None:
    what = _model_predict(*args, **kwargs)
    return None if what is None else what._replace(operation=_PREDICT_PROBA)


def _model_decision_function(model: Any, X: Any, **kwargs: Any) -> Described:
    return Described(model, _DECISION_FUNCTION, X)


def _training_data(params: Any, train_set: Any, *args: Any, **kwargs: Any) -> Any:
    return getattr(train_set, "data", None)  # LightGBM lets go of it once it has its own copy
