"""The functions that stand in for methods of estimators. They call the original exactly once and let its errors pass."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from time import perf_counter_ns
from typing import Any

import numpy as np
from opentelemetry.context import get_current
from opentelemetry.instrumentation.utils import is_instrumentation_enabled

from modelspan.instrumentation.failure import failed
from modelspan.instrumentation.recorder.calls import CALL_BYTES
from modelspan.instrumentation.recorder.identity import identities
from modelspan.instrumentation.recorder.recorder import Recorder
from modelspan.instrumentation.recorder.scope import INSIDE, around
from modelspan.instrumentation.recorder.snapshot import UNKNOWN, Raw, Snapshot, Taken

Method = Callable[..., Any]


def recorded(original: Method, operation: str, recorder: Recorder) -> Method:
    """A prediction method that is recorded when it is the outermost one.

    The case of arrays is written out here rather than called: this code is cold whenever it runs, between two predictions,
    and each further Python function on the way was measured to take 1 to 2 µs.
    """
    ndarray, known = np.ndarray, recorder.known

    @functools.wraps(original)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        state = around.get()
        if state is INSIDE or not (recorder.active or recorder.activate()):
            return original(self, *args, **kwargs)
        context = get_current()
        if context and not is_instrumentation_enabled():
            return original(self, *args, **kwargs)
        x: Raw | Taken
        try:
            value = args[0] if args else _keyword_input(original, kwargs)
            if type(value) is ndarray and value.nbytes <= recorder.plain_bytes and not value.dtype.hasobject:
                x = value.dtype, value.shape, value.tobytes()
            else:
                x = recorder.copy_input(value)
        except Exception as problem:
            failed("copy the input of a model", problem)
            x = _NOT_COPIED
        token = around.set(INSIDE)
        ticks = perf_counter_ns()
        try:
            result = original(self, *args, **kwargs)
            duration = perf_counter_ns() - ticks
        except Exception as error:
            duration = perf_counter_ns() - ticks
            recorder.leave(self, operation, x, UNKNOWN, ticks, duration, context, state, type(error).__qualname__)
            raise
        finally:
            around.reset(token)
        y: Raw | Snapshot
        try:
            if type(result) is ndarray and type(x) is tuple and not result.dtype.hasobject:
                data = result.tobytes()
                y = result.dtype, result.shape, data
                queue, found = recorder.queue, known.get(id(self))
                items = queue.items
                if (
                    state is None
                    and found is not None
                    and found[0]() is self
                    and len(items) < queue.wake_calls
                    and queue.bytes < queue.wake_bytes
                ):
                    size = CALL_BYTES + value.nbytes + len(data)
                    items.append(((found[1], self, operation, x, y, ticks, duration, context, None, None, None), size))
                    queue.bytes += size
                    return result
            else:
                y = recorder.copy_output(result, x)
        except Exception as problem:
            failed("copy the output of a model", problem)
            y = UNKNOWN
        recorder.leave(self, operation, x, y, ticks, duration, context, state, None)
        return result

    return call


def guarded(original: Method) -> Method:
    """A method or function within which nothing is recorded."""

    @functools.wraps(original)
    def call(*args: Any, **kwargs: Any) -> Any:
        token = around.set(INSIDE)
        try:
            return original(*args, **kwargs)
        finally:
            around.reset(token)

    return call


def guarded_fit(original: Method, recorder: Recorder) -> Method:
    """A method that fits a model anew: nothing is recorded within it, and the model gets another version."""

    @functools.wraps(original)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            identities.refit(self, recorder.config)
        except Exception as problem:
            failed("see that a model is fitted", problem)
        token = around.set(INSIDE)
        try:
            return original(self, *args, **kwargs)
        finally:
            around.reset(token)

    return call


def _keyword_input(original: Method, keywords: dict[str, Any]) -> Any:
    """The input of a call without positional arguments: the first parameter after self."""
    return keywords.get([*inspect.signature(original).parameters, "X", "X"][1])


_NOT_COPIED = Taken(UNKNOWN, None)
