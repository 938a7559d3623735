"""Which methods of ONNX Runtime are replaced, and what a call of each of them says about its inputs and outputs."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from modelspan.instrumentation.failure import attempt
from modelspan.instrumentation.onnxruntime import tensors
from modelspan.instrumentation.onnxruntime.asynchronous import recorded_async
from modelspan.instrumentation.onnxruntime.bindings import Bindings
from modelspan.instrumentation.onnxruntime.identity import SessionKind, tell_of
from modelspan.instrumentation.onnxruntime.packing import MAX_WIDTH, pack_rows, plan_of
from modelspan.instrumentation.onnxruntime.values import PREDICT, input_of, output_names, output_of
from modelspan.instrumentation.patching.outermost import outermost_call
from modelspan.instrumentation.patching.patches import Patches
from modelspan.instrumentation.patching.wrappers import Described, Method, described
from modelspan.instrumentation.recorder import kinds
from modelspan.instrumentation.recorder.recorder import Recorder
from modelspan.instrumentation.recorder.scope import INSIDE, around
from modelspan.instrumentation.recorder.snapshot import Kept


def patch(patches: Patches, module: Any) -> None:
    """Replace what makes and runs sessions."""
    recorder, bindings = patches.recorder, Bindings()
    kinds.register(module.Session, SessionKind())
    tensors.follow(recorder)
    patches.wrap(module, "InferenceSession.__init__", _made)
    patches.wrap(module, "Session.run", lambda original: _recorded_run(original, recorder))
    patches.wrap(module, "Session.run_with_ort_values", lambda original: described(original, _run_values, recorder))
    patches.wrap(module, "Session.run_with_iobinding", lambda original: described(original, bindings.run, recorder))
    patches.wrap(module, "Session.run_async", lambda original: recorded_async(original, recorder))
    for name, follow in bindings.followed().items():
        patches.wrap(module, f"IOBinding.{name}", follow)


def _made(original: Method) -> Method:
    @functools.wraps(original)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        attempt("see what a session is made from", tell_of, self)

    return __init__


def _recorded_run(original: Method, recorder: Recorder) -> Method:
    """`run`: that of a table of numbers, the only input, without a function that is not needed."""
    get, ndarray, known = around.get, np.ndarray, recorder.known
    record = outermost_call(PREDICT, recorder)
    any_run = described(original, _run, recorder)

    @functools.wraps(original)
    def run(self: Any, output_names: Any, input_feed: Any, run_options: Any = None) -> Any:
        if get() is INSIDE:
            return original(self, output_names, input_feed, run_options)
        if run_options is None and type(input_feed) is dict and len(input_feed) == 1:
            (value,) = input_feed.values()
            if type(value) is ndarray and value.ndim == 2 and value.shape[1] <= MAX_WIDTH:
                return record(self, value, original, shown, (self, output_names, input_feed))
        return any_run(self, output_names, input_feed, run_options)

    def shown(args: tuple[Any, ...], returned: Sequence[Any], keep: Kept | None) -> Any:
        session, names, _ = args
        identity = known.get(id(session))
        plan = None if identity is None else identity.plan
        if plan is not None and keep is None and plan.names == names:
            packed = plan.pack(returned)
            if packed is not None:
                return packed
        asked = output_names(session) if names is None else tuple(names)
        if keep is not None:
            return pack_rows(asked, returned, keep) or output_of(asked, returned, session)
        output = output_of(asked, returned, session)
        found = plan_of(names, returned, output)
        if identity is not None and found is not None:
            identity.plan = found
        return output

    return run if list(inspect.signature(original).parameters) == _PARAMETERS else any_run


_PARAMETERS = ["self", "output_names", "input_feed", "run_options"]


def _run(
    session: Any, output_names: Sequence[str] | None, input_feed: Mapping[str, Any], run_options: Any = None
) -> Described:
    return _described(session, output_names, input_feed)


def _run_values(
    session: Any, output_names: Sequence[str] | None, input_dict_ort_values: Mapping[str, Any], run_options: Any = None
) -> Described:
    return _described(session, output_names, input_dict_ort_values)


def _described(session: Any, names: Sequence[str] | None, feed: Mapping[str, Any]) -> Described:
    return Described(
        session,
        PREDICT,
        input_of(feed),
        lambda returned: output_of(names or output_names(session), returned, session),
    )
