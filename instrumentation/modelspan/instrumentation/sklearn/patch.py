"""Which methods of which estimators are replaced.

Every estimator is reached through its class: those that exist when scikit-learn's `BaseEstimator` is found, and each one
that is defined later, through `BaseEstimator.__init_subclass__`. A method is replaced in the class that defines it, by a
plain function, so that instances, pickles, signatures and `hasattr` stay as they are.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

from modelspan.instrumentation.failure import attempt, failed
from modelspan.instrumentation.patching.instrumentor import ModelInstrumentor
from modelspan.instrumentation.patching.patches import Patches, Wrapper, put_around, take_away
from modelspan.instrumentation.patching.portable import as_defined, portable, portable_fit
from modelspan.instrumentation.patching.signatures import wraps
from modelspan.instrumentation.patching.wrappers import guarded, guarded_fit, recorded
from modelspan.instrumentation.sklearn.staged import STAGED, guarded_steps
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
    """Patches the classes that derive from a base. Keeps none of them alive."""

    def __init__(self, patches: Patches) -> None:
        self._patches = patches
        self._done: WeakKeyDictionary[type, dict[str, Wrapper]] = WeakKeyDictionary()
        self._made: WeakSet[Callable[..., Any]] = WeakSet()
        """What was put in the place of methods."""

    def follow(self, base: type) -> None:
        """Patch `base`, the classes derived from it, and those that will be."""
        self._base = base
        _following.add(self)
        self._patches.on_undo(self._leave)
        self._patches.replace(base, "__init_subclass__", classmethod(_then(base, self.patch)))
        for cls in _derived(base):
            self.patch(cls)

    def patch(self, cls: type) -> None:
        """Patch a class, where it or a class that it inherits from defines a method of interest."""
        for owner in cls.__mro__:
            if _is_known_better(owner):
                continue
            for name in (*PREDICTIONS, *FITS, *OTHERS, *STAGED):
                if name in owner.__dict__ and name not in self._done.get(owner, ()):
                    try:
                        self._patch_method(owner, name)
                    except Exception as error:  # a class that cannot be patched is left as it is
                        failed(f"instrument {owner.__qualname__}.{name}", error)

    def patch_anew(self, cls: type) -> None:
        """Patch a class that got its methods, or got them again, after it was made."""
        done = self._done.get(cls, {})
        if not done and not issubclass(cls, self._base):
            return
        for name, raw in list[Any](vars(cls).items()):
            if _is_available_if(raw):
                raw.fn = as_defined(raw.fn)
            elif as_defined(raw) is not raw:
                setattr(cls, name, as_defined(raw))
            if name in done and getattr(raw, "fn", raw) not in self._made:
                del done[name]
        self.patch(cls)

    def _patch_method(self, owner: type, name: str) -> None:
        raw = owner.__dict__[name]
        library = _library(owner)
        wrapper: Wrapper = partial(self._wrapper, name, library)
        if name in STAGED and library == _SKLEARN:
            wrapper = guarded_steps
            put_around(owner, name, wrapper)
        elif name in STAGED:
            return
        elif _is_function(raw):
            if raw in self._made:  # taken over, in the body of the class, from one that was patched before
                setattr(owner, name, self._original(raw))
            put_around(owner, name, wrapper)
        elif _is_available_if(raw):
            # The descriptor decides whether the method exists; only the function that it hands out is replaced.
            raw.fn = wrapper(self._original(raw.fn))
        else:
            return
        self._done.setdefault(owner, {})[name] = wrapper

    def _wrapper(self, name: str, library: str, function: Callable[..., Any]) -> Callable[..., Any]:
        recorder = self._patches.recorder
        if name in FITS:
            found, carried = guarded_fit(function, recorder), portable_fit
        else:
            found, carried = recorded(function, name, recorder) if name in PREDICTIONS else guarded(function), portable
        made = found if library == _SKLEARN else carried(function, found)
        self._made.add(made)
        return made

    def _original(self, function: Any) -> Any:
        return function.__wrapped__ if function in self._made else function

    def _leave(self) -> None:
        _following.discard(self)
        for owner, wrappers in list(self._done.items()):
            for name, wrapper in wrappers.items():
                attempt(f"leave {owner.__qualname__}.{name}", self._unpatch, owner, name, wrapper)

    def _unpatch(self, owner: type, name: str, wrapper: Wrapper) -> None:
        raw: Any = owner.__dict__.get(name)
        if not _is_available_if(raw):
            take_away(owner, name, wrapper)
        elif raw.fn in self._made:
            raw.fn = raw.fn.__wrapped__


_following: WeakSet[Estimators] = WeakSet()


def follow_pickles(patches: Patches, module: Any) -> None:
    """Patch classes that come out of a pickle by value: cloudpickle makes them without methods, and gives them these later. Those
    that come back from where it has sent them are given them again.
    """

    def filling(original: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(original)
        def _class_setstate(cls: Any, *args: Any) -> Any:
            result = original(cls, *args)
            for estimators in list(_following):
                attempt("instrument a class that was unpickled", estimators.patch_anew, cls)
            return result

        return _class_setstate

    patches.wrap(module, "_class_setstate", filling)


_SKLEARN = "sklearn"


def _library(owner: type) -> str:
    return owner.__module__.partition(".")[0]


def _is_known_better(owner: type) -> bool:
    """Whether the library of a class has an instrumentor of its own in use, which knows what its methods return."""
    library = _library(owner)
    return library != _SKLEARN and ModelInstrumentor.instruments(library)


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
    """Whether it is a function that returns its result. A coroutine or generator goes on after the call, and is known to be one."""
    if inspect.iscoroutinefunction(raw) or inspect.isgeneratorfunction(raw) or inspect.isasyncgenfunction(raw):
        return False
    return inspect.isfunction(raw) or type(raw).__name__ == "cython_function_or_method"


def _is_available_if(raw: Any) -> bool:
    return hasattr(raw, "check") and inspect.isfunction(getattr(raw, "fn", None))
