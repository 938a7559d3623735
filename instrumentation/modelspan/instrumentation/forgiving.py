"""Public functions that take any arguments: a mistake in a call costs what it says, and never the program."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from modelspan.instrumentation.failure import failed, warn_once

_P = ParamSpec("_P")
_R = TypeVar("_R")

_NO_MODELS = (str, bytes, bool, int, float, complex, list, tuple, dict, set, frozenset)


def forgiving(instead: Callable[[], Any]) -> Callable[[Callable[_P, _R]], Callable[_P, _R]]:
    """Decorate a function so that it never raises. Unknown keywords are ignored and named in one warning; what `instead` gives is
    returned where the rest does not fit the parameters either, or the function fails.
    """

    def decorate(function: Callable[_P, _R]) -> Callable[_P, _R]:
        signature = inspect.signature(function)
        name = function.__name__

        @functools.wraps(function)
        def call(*args: _P.args, **kwargs: _P.kwargs) -> _R:
            for unknown in kwargs.keys() - signature.parameters.keys():
                del kwargs[unknown]
                takes = ", ".join(signature.parameters)
                warn_once(
                    f"{name}:{unknown}", f"{name}() has no parameter {unknown!r}, which is ignored; it has {takes}."
                )
            try:
                signature.bind(*args, **kwargs)
            except TypeError as error:
                warn_once(f"{name}:{error}", f"{name}() did nothing: {error}.")
                return instead()  # type: ignore[no-any-return]
            try:
                return function(*args, **kwargs)
            except Exception as error:
                failed(f"do what {name}() was called for", error)
                return instead()  # type: ignore[no-any-return]

        return call

    return decorate


def is_model(caller: str, model: Any, *, or_name: bool = False) -> bool:
    """True if the argument may be a model, or with `or_name` the name of one. Else warn once."""
    if or_name and isinstance(model, str):
        found = bool(model.strip())
    else:
        is_data = hasattr(type(model), "shape") and not hasattr(type(model), "predict") and not callable(model)
        found = model is not None and not isinstance(model, (*_NO_MODELS, type)) and not is_data
    if not found:
        shown = _shown(model)
        wanted = "the model or its name" if or_name else "the model itself"
        warn_once(f"{caller}:{shown}", f"{caller}() did nothing: it takes {wanted} first, and was given {shown}.")
    return found


def _shown(given: Any) -> str:
    if given is None or isinstance(given, str):
        return repr(given)
    return f"the class {given.__name__}" if isinstance(given, type) else f"a {type(given).__name__}"
