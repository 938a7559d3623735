"""Which methods of ONNX Runtime are replaced, and what a call of each of them says about its inputs and outputs."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from modelspan.instrumentation.failure import failed
from modelspan.instrumentation.onnxruntime.asynchronous import recorded_async
from modelspan.instrumentation.onnxruntime.bindings import Bindings
from modelspan.instrumentation.onnxruntime.identity import SessionKind, tell_of
from modelspan.instrumentation.onnxruntime.values import input_of, output_names, output_of
from modelspan.instrumentation.patching.patches import Patches
from modelspan.instrumentation.patching.wrappers import Method, outermost_call
from modelspan.instrumentation.recorder import kinds
from modelspan.instrumentation.recorder.recorder import Recorder
from modelspan.instrumentation.recorder.scope import INSIDE, around
from modelspan.semconv.attributes import MlOperationNameValues

_PREDICT = MlOperationNameValues.PREDICT.value


def patch(patches: Patches, module: Any) -> None:
    """Replace what makes and runs sessions."""
    recorder, bindings = patches.recorder, Bindings()
    kinds.register(module.Session, SessionKind())
    patches.wrap(module, "InferenceSession.__init__", _made)
    for path in ("Session.run", "Session.run_with_ort_values"):
        patches.wrap(module, path, lambda original: recorded_run(original, _fed, _returned, recorder))
    patches.wrap(
        module,
        "Session.run_with_iobinding",
        lambda original: recorded_run(original, bindings.inputs, bindings.outputs, recorder),
    )
    patches.wrap(module, "Session.run_async", lambda original: recorded_async(original, recorder))
    for name, follow in bindings.followed().items():
        patches.wrap(module, f"IOBinding.{name}", follow)


def _made(original: Method) -> Method:
    @functools.wraps(original)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        tell_of(self)

    return __init__


Read = Callable[..., Any]
"""Reads the inputs of a call, given its arguments, or its outputs, given its result and its arguments."""


def recorded_run(original: Method, inputs: Read, outputs: Read, recorder: Recorder) -> Method:
    """A method that runs a session; recorded when it is the outermost call. The caller gets what the original returns."""
    get = around.get
    outermost = outermost_call(_PREDICT, recorder)

    @functools.wraps(original)
    def run(self: Any, *args: Any, **kwargs: Any) -> Any:
        if get() is INSIDE or not (recorder.active or recorder.activate()):
            return original(self, *args, **kwargs)
        returned = None

        def predict(_: Any, __: Any) -> Any:
            nonlocal returned
            returned = original(self, *args, **kwargs)
            return _read(outputs, self, returned, *args, **kwargs)

        outermost(self, _read(inputs, self, *args, **kwargs), predict)
        return returned

    return run


def _read(read: Read, *args: Any, **kwargs: Any) -> Any:
    try:
        return read(*args, **kwargs)
    except TypeError:  # arguments that the original does not take either
        return None
    except Exception as problem:
        failed("read what a session is given or returns", problem)
        return None


def _fed(session: Any, output_names: Sequence[str] | None, input_feed: Mapping[str, Any], *_: Any, **__: Any) -> Any:
    return input_of(input_feed)


def _returned(session: Any, returned: Any, names: Sequence[str] | None = None, *_: Any, **named: Any) -> Any:
    return output_of(names or named.get("output_names") or output_names(session), returned, session)
