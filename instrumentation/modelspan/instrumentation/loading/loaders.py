"""Which functions load models, and where they say what from."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from modelspan.instrumentation.failure import attempt
from modelspan.instrumentation.loading.files import path_of
from modelspan.instrumentation.loading.function import NotedFunction
from modelspan.instrumentation.loading.origins import loaded_from, reloaded_from
from modelspan.instrumentation.loading.weights import note_weights, took_weights
from modelspan.instrumentation.patching.patches import Patches
from modelspan.instrumentation.patching.signatures import parameters_of, wraps
from modelspan.instrumentation.patching.wrappers import Method

PREDICTIONS = ("predict", "predict_proba", "decision_function", "score_samples", "transform", "forward")

_SEE = "see what a model is loaded from"


def _joblib(patches: Patches, module: Any) -> None:
    patches.replace_function(module.load, _noting(module.load, "joblib.load", patches))


def _pickle(patches: Patches, module: Any) -> None:
    patches.replace_function(pickle.load, _noting_builtin(pickle.load, "pickle.load", patches))


def _cloudpickle(patches: Patches, module: Any) -> None:
    for owner in (module.cloudpickle, module):
        # Taken over from pickle, which may be put back before.
        original = getattr(owner.load, "__wrapped__", owner.load)
        owner.load = original
        patches.replace(owner, "load", _noting_builtin(original, "cloudpickle.load", patches))


def _skops(patches: Patches, module: Any) -> None:
    patches.replace_function(module.load, _noting(module.load, "skops.io.load", patches))


def _xgboost(patches: Patches, module: Any) -> None:
    core, sklearn = module.core, module.sklearn
    patches.wrap(
        core, "Booster.load_model", lambda original: _reloading(original, "xgboost.Booster.load_model", patches)
    )
    patches.wrap(
        sklearn, "XGBModel.load_model", lambda original: _reloading(original, "xgboost.XGBModel.load_model", patches)
    )


def _lightgbm(patches: Patches, module: Any) -> None:
    def noting(original: Method) -> Method:
        @wraps(original)
        def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
            original(self, *args, **kwargs)
            path = kwargs.get("model_file", args[2] if len(args) > 2 else None)
            if path is not None and patches.in_force:
                attempt(_SEE, loaded_from, self, path, "lightgbm.Booster")

        return __init__

    patches.wrap(module.basic, "Booster.__init__", noting)


def _catboost(patches: Patches, module: Any) -> None:
    patches.wrap(
        module.core,
        "CatBoost.load_model",
        lambda original: _reloading(original, "catboost.CatBoost.load_model", patches),
    )


def _torch(patches: Patches, module: Any) -> None:
    def noting(original: Method) -> Method:
        noted_load = _noting(original, "torch.load", patches)
        names = _names(original)

        @wraps(original)
        def load(*args: Any, **kwargs: Any) -> Any:
            loaded = noted_load(*args, **kwargs)
            if patches.in_force:
                attempt(
                    "see what weights were loaded",
                    lambda: note_weights(loaded, _file(names, args, kwargs), "torch.load"),
                )
            return loaded

        return load

    def taking(original: Method) -> Method:
        @wraps(original)
        def load_state_dict(self: Any, *args: Any, **kwargs: Any) -> Any:
            result = original(self, *args, **kwargs)
            if patches.in_force:
                weights = args[0] if args else kwargs.get("state_dict")
                attempt("see what weights a model is given", took_weights, self, weights, patches.recorder.config)
            return result

        return load_state_dict

    patches.replace_function(module.load, noting(module.load))
    patches.replace_function(module.jit.load, _noting(module.jit.load, "torch.jit.load", patches))
    patches.wrap(module.nn, "Module.load_state_dict", taking)


HOOKS: Mapping[str, Callable[[Patches, Any], None]] = {
    "joblib": _joblib,
    "numpy": _pickle,
    "cloudpickle": _cloudpickle,
    "skops.io": _skops,
    "xgboost": _xgboost,
    "lightgbm": _lightgbm,
    "catboost": _catboost,
    "torch": _torch,
}


def _noting(original: Method, loader: str, patches: Patches) -> Method:
    """A function that is given a path or an open file first, and returns what it holds."""
    names = _names(original)

    @wraps(original)
    def load(*args: Any, **kwargs: Any) -> Any:
        loaded = original(*args, **kwargs)
        if patches.in_force:
            attempt(_SEE, lambda: noted(loaded, _file(names, args, kwargs), loader))
        return loaded

    return load


def _noting_builtin(original: Method, loader: str, patches: Patches) -> NotedFunction:
    def note(loaded: Any, file: Any) -> None:
        if patches.in_force:
            attempt(_SEE, noted, loaded, file, loader)

    return NotedFunction(original, note)


_FILES = ("filename", "file", "f", "fname", "stream")
"""What parameters are called that take a path or an open file."""


def _names(original: Method) -> list[str]:
    """Names of the parameters of a function, as far as it is written in Python."""
    found = parameters_of(original)
    return [] if found is None else found.names


def _file(names: Sequence[str], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    given = {**dict(zip(names, args, strict=False)), **kwargs}
    return next((given[name] for name in _FILES if given.get(name) is not None), args[0] if args else None)


def _reloading(original: Method, loader: str, patches: Patches) -> Method:
    """A method that has an object take over what the file holds that it is given first."""
    names = _names(original)

    @wraps(original)
    def load_model(self: Any, *args: Any, **kwargs: Any) -> Any:
        result = original(self, *args, **kwargs)
        if patches.in_force:
            attempt(
                _SEE,
                lambda: reloaded_from(self, _file(names[1:], args, kwargs), loader, patches.recorder.config),
            )
        return result

    return load_model


def noted(loaded: Any, file: Any, loader: str) -> None:
    """Something was loaded from a path or an open file: it, or what it holds by name or position, may be models."""
    if path_of(file) is None:
        return
    for model in _held(loaded, _DEPTH):
        if _is_model(model):
            loaded_from(model, file, loader)


_MOST_HELD = 100
_DEPTH = 3
"""Containers within one another: a bundle that holds models by name beside what else it holds."""


def _held(loaded: Any, depth: int) -> list[Any]:
    if not isinstance(loaded, (dict, list, tuple)):
        return [loaded]
    if depth == 0 or len(loaded) > _MOST_HELD:
        return []
    parts = loaded.values() if isinstance(loaded, dict) else loaded
    return [held for part in parts for held in _held(part, depth - 1)]


def _is_model(value: Any) -> bool:
    return not isinstance(value, type) and any(name in vars(cls) for cls in type(value).__mro__ for name in PREDICTIONS)
