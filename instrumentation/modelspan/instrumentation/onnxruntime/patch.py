"""Which methods of ONNX Runtime are replaced, and what a call of each of them says about its inputs and outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from modelspan.instrumentation.failure import attempt
from modelspan.instrumentation.onnxruntime import tensors
from modelspan.instrumentation.onnxruntime.asynchronous import recorded_async
from modelspan.instrumentation.onnxruntime.bindings import Bindings
from modelspan.instrumentation.onnxruntime.identity import tell_of
from modelspan.instrumentation.onnxruntime.run import recorded_run
from modelspan.instrumentation.onnxruntime.values import PREDICT, input_of, output_names, output_of
from modelspan.instrumentation.patching.patches import Patches
from modelspan.instrumentation.patching.signatures import wraps
from modelspan.instrumentation.patching.wrappers import Described, Method, described


def patch(patches: Patches, module: Any) -> None:
    """Replace what makes and runs sessions."""
    recorder, bindings = patches.recorder, Bindings()
    tensors.follow(recorder)
    patches.wrap(module, "InferenceSession.__init__", _made)
    patches.wrap(
        module, "Session.run", lambda original: recorded_run(original, described(original, _run, recorder), recorder)
    )
    patches.wrap(module, "Session.run_with_ort_values", lambda original: described(original, _run_values, recorder))
    patches.wrap(module, "Session.run_with_iobinding", lambda original: described(original, bindings.run, recorder))
    patches.wrap(module, "Session.run_async", lambda original: recorded_async(original, recorder))
    for name, follow in bindings.followed().items():
        patches.wrap(module, f"IOBinding.{name}", follow)


def _made(original: Method) -> Method:
    @wraps(original)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        attempt("see what a session is made from", tell_of, self)

    return __init__


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
