"""Which functions and methods of XGBoost are replaced, and which of their calls are predictions."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

from modelspan.instrumentation.failure import failed
from modelspan.instrumentation.patching.patches import Patches
from modelspan.instrumentation.patching.signatures import wraps
from modelspan.instrumentation.patching.wrappers import Described, Usual, guarded, guarded_train
from modelspan.instrumentation.recorder.changing import lock_of
from modelspan.instrumentation.recorder.snapshot import Lasting
from modelspan.instrumentation.xgboost import matrix
from modelspan.instrumentation.xgboost.model import forget
from modelspan.instrumentation.xgboost.values import without
from modelspan.semconv.attributes import MlOperationNameValues as Operation

_PREDICT = Operation.PREDICT.value
_PREDICT_PROBA = Operation.PREDICT_PROBA.value

_OTHER_OUTPUTS = (
    "output_margin",
    "pred_leaf",
    "pred_contribs",
    "approx_contribs",
    "pred_interactions",
    "training",
)
"""Parameters of `Booster.predict` with which it is no prediction."""
_GUARDED = ("Booster.eval", "Booster.eval_set")
_CHANGES = ("Booster.update", "Booster.boost", "Booster.load_model")
_RELEARNS = ("Booster.load_model", "Booster.load_config", "Booster.set_param")
"""What may change the objective."""


def patch(patches: Patches, xgboost: Any) -> None:
    """Replace what predicts and what fits in the package `xgboost`."""
    core = xgboost.core
    matrix.follow(patches, core)
    patches.predicts(
        core,
        "Booster.predict",
        _booster_predict,
        Usual(_PREDICT, _OTHER_OUTPUTS, Lasting(core.DMatrix, matrix.readable, matrix.one_row)),
    )
    patches.predicts(core, "Booster.inplace_predict", _inplace_predict, Usual(_PREDICT, ("predict_type", "missing")))
    for path in _GUARDED:
        patches.guard(core, path)
    for path in _RELEARNS:
        patches.wrap(core, path, _forgetting)
    for path in _CHANGES:
        patches.changes(core, path)
    _patch_training(patches, xgboost)
    models = getattr(xgboost, "sklearn", None)
    for name, cls in list(vars(models).items()) if models is not None else ():
        if isinstance(cls, type) and cls.__module__ == xgboost.__name__ + ".sklearn":
            _patch_model(patches, models, name)


def _forgetting(original: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        alone: Any = nullcontext()
        try:
            alone = lock_of(self)
            forget(self)
        except Exception as problem:
            failed("see that a Booster is changed", problem)
        with alone:
            return original(self, *args, **kwargs)

    return call


def _patch_training(patches: Patches, xgboost: Any) -> None:
    train = guarded_train(xgboost.train, _training_data, patches.recorder)
    patches.replace_function(xgboost.train, train)
    patches.replace_function(xgboost.cv, guarded(xgboost.cv))


def _patch_model(patches: Patches, module: Any, name: str) -> None:
    patches.predicts(module, f"{name}.predict", _model_predict, Usual(_PREDICT, ("output_margin",)))
    patches.predicts(module, f"{name}.predict_proba", _model_predict_proba, Usual(_PREDICT_PROBA))
    patches.fits(module, f"{name}.fit")
    patches.changes(module, f"{name}.load_model")
    for method in ("apply", "score"):
        patches.guard(module, f"{name}.{method}")


def _booster_predict(
    booster: Any,
    data: Any,
    output_margin: bool = False,
    pred_leaf: bool = False,
    pred_contribs: bool = False,
    approx_contribs: bool = False,
    pred_interactions: bool = False,
    validate_features: bool = True,
    training: bool = False,
    iteration_range: Any = None,
    strict_shape: bool = False,
) -> Described | None:
    if output_margin or pred_leaf or pred_contribs or approx_contribs or pred_interactions or training:
        return None
    return Described(booster, _PREDICT, matrix.readable(data))


def _inplace_predict(
    booster: Any,
    data: Any,
    iteration_range: Any = None,
    predict_type: str = "value",
    missing: float = math.nan,
    *args: Any,
    **kwargs: Any,
) -> Described | None:
    return Described(booster, _PREDICT, without(data, missing)) if predict_type == "value" else None


def _model_predict(model: Any, X: Any, output_margin: bool = False, *args: Any, **kwargs: Any) -> Described | None:
    return None if output_margin else Described(model, _PREDICT, X)


def _model_predict_proba(model: Any, X: Any, *args: Any, **kwargs: Any) -> Described:
    return Described(model, _PREDICT_PROBA, X)


def _training_data(params: Any, dtrain: Any, *args: Any, **kwargs: Any) -> Any:
    return matrix.readable(dtrain)
