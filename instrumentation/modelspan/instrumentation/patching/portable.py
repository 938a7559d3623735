"""Methods that a pickle takes along.

cloudpickle, which joblib, MLflow, Ray and Spark use, writes a class of the main module with its methods and with what these hold. What
stands in for such a method has to arrive where Modelspan is not installed, and is the method itself there.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from types import FunctionType, SimpleNamespace
from typing import Any

from modelspan.instrumentation.patching.signatures import carried, like
from modelspan.instrumentation.patching.unseen import pass_over
from modelspan.instrumentation.recorder.scope import INSIDE, around

Method = Callable[..., Any]


class _Hidden:
    """All that such a method holds of Modelspan. Pickled as something of the standard library by which the method calls the original."""

    __slots__ = ("call", "get", "inside")

    def __init__(self, call: Method, get: Callable[[], Any]) -> None:
        self.call, self.get, self.inside = call, get, INSIDE

    def __reduce__(self) -> Any:
        return SimpleNamespace, (), _CARRIED


_nothing = type(None)
"""Returns None, and is found everywhere."""
_CARRIED = {"get": _nothing, "inside": None}


def portable(original: Method, call: Method) -> Method:
    """A method that is `original` within a prediction and in other processes, and `call` elsewhere."""
    return _method(original, _Hidden(call, around.get))


def portable_fit(original: Method, call: Method) -> Method:
    """A method that is `original` in other processes, and `call` everywhere here."""
    return _method(original, _Hidden(call, _nothing))


def as_defined(method: Any) -> Any:
    """What arrived in a pickle as a method that was portable where it comes from, as the program has defined it."""
    while inspect.isfunction(method) and hasattr(method, "__wrapped__") and _holds_carried(method):
        method = method.__wrapped__
    return method


def _holds_carried(function: Method) -> bool:
    held = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=False))
    found = held["hidden"].cell_contents if "hidden" in held else None
    return isinstance(found, SimpleNamespace) and vars(found) == _CARRIED


def _method(original: Method, hidden: _Hidden) -> Method:
    """Names of this module in it would be looked for where it arrives."""

    def call(*args: Any, **kwargs: Any) -> Any:
        if hidden.get() is hidden.inside:
            return original(*args, **kwargs)
        return hidden.call(*args, **kwargs)

    return _at_home(carried(original, hidden) or call, original)


def _at_home(call: Any, original: Method) -> Method:
    """`call` in the module of `original`: dill writes the names of the module along, if that is another."""
    moved = FunctionType(call.__code__, getattr(original, "__globals__", call.__globals__), closure=call.__closure__)
    return like(original, moved)


pass_over(sys.modules[__name__])  # it may be imported after the others
