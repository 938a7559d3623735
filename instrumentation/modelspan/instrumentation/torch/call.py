"""What happens at an outermost call of a module."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter_ns
from typing import Any

import torch
from opentelemetry.context import get_current
from opentelemetry.instrumentation.utils import is_instrumentation_enabled
from torch._C import _functorch, _get_tracing_state, _len_torch_dispatch_stack
from torch._C._dynamo.eval_frame import get_eval_frame_callback
from torch.fx._symbolic_trace import is_fx_symbolic_tracing

from modelspan.instrumentation.failure import failed
from modelspan.instrumentation.recorder.identity import identities
from modelspan.instrumentation.recorder.recorder import Recorder
from modelspan.instrumentation.recorder.scope import INSIDE, around
from modelspan.instrumentation.recorder.snapshot import UNKNOWN, Snapshot, Taken
from modelspan.instrumentation.recorder.tensors import NONE
from modelspan.instrumentation.torch import capture
from modelspan.instrumentation.torch.flatten import Found, in_arguments, in_result
from modelspan.instrumentation.torch.kind import unwrapped
from modelspan.instrumentation.torch.training import is_prediction
from modelspan.semconv.attributes import MlOperationNameValues

_PREDICT = MlOperationNameValues.PREDICT.value

Call = Callable[..., Any]


def outermost_call(recorder: Recorder) -> Callable[[Call, Any, tuple[Any, ...], dict[str, Any]], Any]:
    """A function of `nn.Module.__call__`, a module and its arguments that makes the call, and records it if it is a prediction.

    Whatever the call is, those within it are not recorded.
    """
    mode = NONE if recorder.config.capture == frozenset() else recorder.config.tensors
    limit = min(recorder.config.call_bytes, capture.COPY_BYTES)
    get, enter, leave = around.get, around.set, around.reset

    def outermost(original: Call, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        said = get()
        x: Taken | None = None
        token = enter(INSIDE)
        try:
            try:
                found = _read(recorder, module, args, kwargs)
                if found is not None:
                    x = capture.copy_input(found, mode, limit)
                    model = unwrapped(module)
                    context = get_current()
            except Exception as problem:
                failed("read the input of a module", problem)
                x = None
            if x is None:
                return original(module, *args, **kwargs)
            ticks = perf_counter_ns()
            try:
                result = original(module, *args, **kwargs)
                duration = perf_counter_ns() - ticks
            except Exception as error:
                duration = perf_counter_ns() - ticks
                recorder.leave(model, _PREDICT, x, UNKNOWN, ticks, duration, context, said, type(error).__qualname__)
                raise
            recorder.leave(model, _PREDICT, x, _output(result, x, mode, limit), ticks, duration, context, said, None)
            return result
        finally:
            leave(token)

    return outermost


def _read(recorder: Recorder, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Found | None:
    """The tensors in the arguments of a prediction; None of any other call."""
    if get_current() and not is_instrumentation_enabled():
        return None
    if not (recorder.active or recorder.activate()) or _is_looked_at():
        return None
    found = in_arguments(args, kwargs)
    if is_prediction(module, [tensor for _, tensor in found]):
        return None if module.__dict__.get("_is_replica") else found
    if id(module) in recorder.known and getattr(module, "training", False):
        identities.refit(module, recorder.config)
    return None


def _is_looked_at() -> bool:
    """Whether the program is compiled, traced, exported or transformed, and the call is part of that."""
    return (
        get_eval_frame_callback() is not None
        or torch.compiler.is_compiling()
        or _get_tracing_state() is not None
        or _functorch.maybe_current_level() is not None
        or _len_torch_dispatch_stack() > 0
        or is_fx_symbolic_tracing()
    )


def _output(result: Any, x: Taken, mode: str, limit: int) -> Snapshot:
    try:
        rows = x.snapshot.rows if x.keep is None else x.keep.total
        return capture.copy_output(in_result(result), mode, rows, x.keep, limit)
    except Exception as problem:
        failed("read the output of a module", problem)
        return UNKNOWN
