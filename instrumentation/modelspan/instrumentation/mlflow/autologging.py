"""What MLflow's autologging predicts around a fit, for its metrics and signatures, is no prediction of the program."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from modelspan.instrumentation.failure import failed
from modelspan.instrumentation.patching.patches import Patches
from modelspan.instrumentation.patching.signatures import wraps
from modelspan.instrumentation.patching.wrappers import guarded
from modelspan.instrumentation.recorder.scope import around


def autologging(patches: Patches, module: Any) -> None:
    """Record nothing while MLflow's replacement of a fit runs, but for the fit itself."""
    patches.wrap(module, "safe_patch", _guarding)


def _guarding(original: Callable[..., Any]) -> Callable[..., Any]:
    signature = inspect.signature(original)

    @wraps(original)
    def safe_patch(*args: Any, **kwargs: Any) -> Any:
        try:
            bound = signature.bind(*args, **kwargs)
            replacement = bound.arguments.get("patch_function")
            # Only what fits has a run managed for it.
            if bound.arguments.get("manage_run") and _is_plain(replacement):
                bound.arguments["patch_function"] = _guarded(replacement)
                args, kwargs = bound.args, bound.kwargs
        except TypeError:  # arguments that the original does not take either
            pass
        except Exception as problem:
            failed("tell what autologging predicts from what the program does", problem)
        return original(*args, **kwargs)

    return safe_patch


def _is_plain(replacement: Any) -> bool:
    return callable(replacement) and not inspect.isclass(replacement) and not inspect.iscoroutinefunction(replacement)


def _guarded(replacement: Any) -> Callable[..., Any]:
    inside = guarded(replacement)

    @wraps(replacement)
    def call(original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        try:
            original = _within(around.get(), original)
        except Exception as problem:
            failed("tell a fit from what autologging predicts", problem)
        return inside(original, *args, **kwargs)

    return call


def _within(scope: Any, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function as it is when it is called in a scope."""

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        state = around.get()
        try:
            around.set(scope)
            return function(*args, **kwargs)
        finally:
            around.set(state)

    return call
