"""The functions that stand in for methods of estimators. They call the original exactly once and let its errors pass."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from time import perf_counter_ns, time_ns
from typing import Any

from modelspan.instrumentation.recorder.identity import identities
from modelspan.instrumentation.recorder.recorder import Recorder
from modelspan.instrumentation.recorder.scope import inside

Method = Callable[..., Any]


def recorded(original: Method, operation: str, recorder: Recorder) -> Method:
    """A prediction method that is recorded when it is the outermost one."""
    argument = _input_argument(original)

    @functools.wraps(original)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        if inside.get() or not (recorder.active or recorder.activate()):
            return original(self, *args, **kwargs)
        opening = recorder.open(args[0] if args else kwargs.get(argument))
        if opening is None:
            return original(self, *args, **kwargs)
        token = inside.set(True)
        started = time_ns()
        ticks = perf_counter_ns()
        try:
            result = original(self, *args, **kwargs)
            duration = perf_counter_ns() - ticks
        except Exception as error:
            duration = perf_counter_ns() - ticks
            recorder.close_call(opening, self, operation, started, duration, None, type(error).__qualname__)
            raise
        finally:
            inside.reset(token)
        recorder.close_call(opening, self, operation, started, duration, result, None)
        return result

    return call


def guarded(original: Method) -> Method:
    """A method within which nothing is recorded."""

    @functools.wraps(original)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        token = inside.set(True)
        try:
            return original(self, *args, **kwargs)
        finally:
            inside.reset(token)

    return call


def guarded_fit(original: Method, recorder: Recorder) -> Method:
    """A method that fits a model anew: nothing is recorded within it, and the model gets another version."""

    @functools.wraps(original)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        token = inside.set(True)
        try:
            identities.refit(self, recorder.config)
            return original(self, *args, **kwargs)
        finally:
            inside.reset(token)

    return call


def _input_argument(original: Method) -> str:
    """Name of the first argument after self."""
    try:
        return [*inspect.signature(original).parameters, "X", "X"][1]
    except (TypeError, ValueError):  # a compiled method without a signature
        return "X"
