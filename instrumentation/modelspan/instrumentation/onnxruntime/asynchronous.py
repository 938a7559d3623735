"""Runs that end in a callback, on a thread of ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from opentelemetry.context import get_current
from opentelemetry.instrumentation.utils import is_instrumentation_enabled

from modelspan.instrumentation.failure import failed
from modelspan.instrumentation.onnxruntime.values import PREDICT, input_of, output_names, output_of
from modelspan.instrumentation.patching.signatures import wraps
from modelspan.instrumentation.patching.wrappers import Method
from modelspan.instrumentation.recorder.clock import perf_counter_ns
from modelspan.instrumentation.recorder.recorder import Recorder
from modelspan.instrumentation.recorder.scope import INSIDE, around
from modelspan.instrumentation.recorder.snapshot import UNKNOWN, Taken

_FAILURE = RuntimeError.__qualname__
"""Type of every error: ONNX Runtime tells a callback no more than a message."""


def recorded_async(original: Method, recorder: Recorder) -> Method:
    """`run_async`, recorded when its callback is called, with the context of the call."""

    @wraps(original)
    def run_async(self: Any, *args: Any, **kwargs: Any) -> Any:
        if around.get() is INSIDE or len(args) < 3 or not callable(args[2]):
            return original(self, *args, **kwargs)
        try:
            done = _start(self, recorder, args[0], args[1], args[2])
        except Exception as problem:
            failed("copy the input of a model", problem)
            done = None
        if done is None:
            return original(self, *args, **kwargs)
        return original(self, args[0], args[1], done, *args[3:], **kwargs)

    return run_async


def _start(
    session: Any,
    recorder: Recorder,
    names: Sequence[str] | None,
    feed: Mapping[str, Any],
    callback: Callable[[Any, Any, str], None],
) -> Callable[[Any, Any, str], None] | None:
    """A callback that records the call and then calls the program's own; None where nothing is to be recorded."""
    if not is_instrumentation_enabled() or not (recorder.active or recorder.activate()):
        return None
    state, context = around.get(), get_current()
    x = recorder.copy_input(input_of(feed))
    ticks = perf_counter_ns()

    @wraps(callback)
    def done(results: Any, user_data: Any, error: str) -> None:
        duration = perf_counter_ns() - ticks
        try:
            y = UNKNOWN
            if not error:
                found = output_of(names or output_names(session), results, session)
                y = recorder.copy_output(found, x if isinstance(x, Taken) else None)
            recorder.leave(session, PREDICT, x, y, ticks, duration, context, state, _FAILURE if error else None)
        except Exception as problem:
            failed("record a prediction", problem)
        callback(results, user_data, error)

    return done
