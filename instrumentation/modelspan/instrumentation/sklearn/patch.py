"""Which methods of which estimators are replaced.

Every estimator is reached through its class: those that exist when scikit-learn's `BaseEstimator` is found, and each one
that is defined later, through `BaseEstimator.__init_subclass__`. A method is replaced in the class that defines it, by a
plain function, so that instances, pickles, signatures and `hasattr` stay as they are.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

from modelspan.instrumentation.failure import attempt, failed
from modelspan.instrumentation.patching.instrumentor import ModelInstrumentor
from modelspan.instrumentation.patching.patches import Patches
from modelspan.instrumentation.patching.wrappers import guarded, guarded_fit, recorded
from modelspan.semconv.attributes import MlOperationNameValues as Operation

PREDICTIONS = (
    Operation.PREDICT.value,
    Operation.PREDICT_PROBA.value,
    Operation.PREDICT_LOG_PROBA.value,
    Operation.DECISION_FUNCTION.value,
    Operation.SCORE_SAMPLES.value,
)
FITS = ("fit", "fit_predict", "fit_transform")
OTHERS = ("partial_fit", "score")
"""Methods that predict on the way, without being predictions or starting from nothing."""


class Estimators:
    """Patches the classes that derive from a base."""

    def __init__(self, patches: Patches) -> None:
        self._patches = patches
        self._done: set[tuple[type, str]] = set()

    def follow(self, base: type) -> None:
        """Patch `base`, the classes derived from it, and those that will be."""
        self._patches.replace(base, "__init_subclass__", classmethod(_then(base, self.patch)))
        for cls in _derived(base):
            self.patch(cls)

    def patch(self, cls: type) -> None:
        """Patch a class, where it or a class that it inherits from defines a method of interest."""
        for owner in cls.__mro__:
            if _is_known_better(owner):
                continue
            for name in (*PREDICTIONS, *FITS, *OTHERS):
                if name in owner.__dict__ and (owner, name) not in self._done:
                    self._done.add((owner, name))
                    try:
                        self._patch_method(owner, name)
                    except Exception as error:  # a class that cannot be patched is left as it is
                        failed(f"instrument {owner.__qualname__}.{name}", error)

    def _patch_method(self, owner: type, name: str) -> None:
        raw = owner.__dict__[name]
        if _is_function(raw):
            self._patches.wrap(owner, name, lambda original: self._wrapper(original, name))
        elif _is_available_if(raw):
            # The descriptor decides whether the method exists; only the function that it hands out is replaced.
            original, raw.fn = raw.fn, self._wrapper(raw.fn, name)
            self._patches.on_undo(lambda: setattr(raw, "fn", original))

    def _wrapper(self, function: Callable[..., Any], name: str) -> Callable[..., Any]:
        if name in PREDICTIONS:
            return recorded(function, name, self._patches.recorder)
        return guarded_fit(function, self._patches.recorder) if name in FITS else guarded(function)


def _is_known_better(owner: type) -> bool:
    """Whether the library of a class has an instrumentor of its own in use, which knows what its methods return."""
    library = owner.__module__.partition(".")[0]
    return library != "sklearn" and ModelInstrumentor.instruments(library)


def _then(base: type, patch: Callable[[type], None]) -> Callable[..., None]:
    """An `__init_subclass__` for `base` that does what it did before and then patches the new class."""
    own: Any = base.__dict__.get("__init_subclass__")

    def __init_subclass__(cls: type, **kwargs: Any) -> None:
        if own is not None:
            own.__func__(cls, **kwargs)
        else:
            parent: Any = super(base, cls)
            parent.__init_subclass__(**kwargs)
        attempt(f"instrument {cls.__qualname__}", patch, cls)

    return __init_subclass__


def _derived(base: type) -> Iterator[type]:
    seen = {base}
    waiting: list[type] = [base]
    while waiting:
        cls = waiting.pop()
        yield cls
        derived: list[type] = type.__subclasses__(cls)
        waiting.extend(one for one in derived if one not in seen)
        seen.update(derived)


def _is_function(raw: Any) -> bool:
    return inspect.isfunction(raw) or type(raw).__name__ == "cython_function_or_method"


def _is_available_if(raw: Any) -> bool:
    return hasattr(raw, "check") and inspect.isfunction(getattr(raw, "fn", None))
