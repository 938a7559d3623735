"""Which functions load models, and where they say what from."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from modelspan.instrumentation.failure import attempt
from modelspan.instrumentation.loading.files import path_of, seen
from modelspan.instrumentation.loading.function import NotedFunction
from modelspan.instrumentation.loading.names import Keys, key_of
from modelspan.instrumentation.loading.origins import loaded_from, of_file, prepare, reloaded_from
from modelspan.instrumentation.loading.weights import note_weights, took_weights
from modelspan.instrumentation.patching.patches import Patches
from modelspan.instrumentation.patching.signatures import parameters_of, wraps
from modelspan.instrumentation.patching.wrappers import Method
from modelspan.instrumentation.recorder.attribute import is_of_library, own
from modelspan.instrumentation.recorder.identity import booster_of, identities
from modelspan.instrumentation.recorder.takers import is_frozen, recorded_in

PREDICTIONS = ("predict", "predict_proba", "decision_function", "score_samples", "forward")
"""Methods of what is recorded, as far as it is of a library."""

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


def noted(loaded: Any, opened: Any, loader: str) -> None:
    """Something was loaded from a path or an open file: it, or what it holds by name or position, may be models."""
    if path_of(opened) is None:
        return
    models: dict[int, tuple[Keys, Any]] = {}
    for at, held in islice(_held(loaded, _DEPTH), _MOST_HELD):
        if _has(type(held), (*PREDICTIONS, "transform")):
            models.setdefault(id(held), (at, held))
    file = seen(opened) if models else None
    if file is None:
        return
    named = tuple(at for at, held in models.values() if _has(type(held), PREDICTIONS) and _is_recorded(held))
    for at, held in models.values():
        tell = of_file(file, loader, at, named)
        identities.tell(held, tell)
        booster = booster_of(held)
        if booster is not None:
            identities.tell(booster, tell)
    prepare(file)


_MOST_HELD = 1000
_DEPTH = 3
"""Containers within one another: a bundle that holds models by name beside what else it holds."""


def _held(loaded: Any, depth: int, at: Keys = ()) -> Iterator[tuple[Keys, Any]]:
    """The loaded object and the objects that it holds, with the keys that lead there: an object of the program holds by attributes."""
    if not isinstance(loaded, (dict, list, tuple)):
        if isinstance(loaded, type) or type(loaded).__module__ == "builtins":
            return
        if is_frozen(loaded):
            loaded = recorded_in(loaded)
        yield at, loaded
        loaded = {} if _is_recorded(loaded) else own(loaded)
    if depth > 0 and len(loaded) <= _MOST_HELD:
        pairs = loaded.items() if isinstance(loaded, dict) else enumerate(loaded)
        for place, (key, part) in enumerate(pairs):
            if type(part).__module__ != "builtins" or isinstance(part, (dict, list, tuple)):
                yield from _held(part, depth - 1, (*at, key_of(key, place)))


def _has(cls: type, methods: Sequence[str]) -> bool:
    return any(name in vars(base) for base in cls.__mro__ for name in methods)


def _is_recorded(value: Any) -> bool:
    """True if predictions of its class are recorded: a class of a library, or one derived from it."""
    return any(map(is_of_library, type(value).__mro__))
