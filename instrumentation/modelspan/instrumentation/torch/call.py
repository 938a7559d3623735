"""What happens at an outermost call of a module."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from opentelemetry.instrumentation.utils import is_instrumentation_enabled
from torch._C import (
    DisableTorchFunction,
    _functorch,
    _get_tracing_state,
    _len_torch_dispatch_stack,
    _len_torch_function_stack,
)
from torch._C._dynamo.eval_frame import get_eval_frame_callback

from modelspan.instrumentation.failure import attempt, failed
from modelspan.instrumentation.patching.outermost import find_current_context
from modelspan.instrumentation.recorder.budget import MANY_ROWS
from modelspan.instrumentation.recorder.calls import CALL_BYTES, LeftOut
from modelspan.instrumentation.recorder.clock import perf_counter_ns
from modelspan.instrumentation.recorder.identity import Identity, identities
from modelspan.instrumentation.recorder.recorder import Recorder
from modelspan.instrumentation.recorder.scope import INSIDE, PredictionScope, around
from modelspan.instrumentation.recorder.snapshot import UNKNOWN, Snapshot, Taken
from modelspan.instrumentation.recorder.tensors import VALUES
from modelspan.instrumentation.torch.capture import COPY_BYTES, OUTPUT_BYTES, Plans, copy_input, copy_output, rows_of
from modelspan.instrumentation.torch.cuda import Asked, DeviceCalls
from modelspan.instrumentation.torch.flatten import Found, in_arguments, in_result
from modelspan.instrumentation.torch.given import mode_of
from modelspan.instrumentation.torch.kind import WRAPPERS, unwrapped
from modelspan.instrumentation.torch.training import REPLICA, is_prediction
from modelspan.semconv.attributes import MlOperationNameValues

_PREDICT = MlOperationNameValues.PREDICT.value

Call = Callable[..., Any]
_new = tuple.__new__


def outermost_call(recorder: Recorder) -> Callable[[Call, Any, tuple[Any, ...], dict[str, Any]], Any]:
    """A function of what calls a module, the module, and the arguments that makes the call, and records it if it is a prediction.

    Whatever the call is, those within it are not recorded. Few functions, and no object that is not needed: this code is
    cold whenever it runs, between two predictions.
    """
    mode = mode_of(recorder)
    plans, output_plans = Plans((0,), mode), Plans((), VALUES)
    device_calls = DeviceCalls(recorder, mode)
    queue, turns, known = recorder.queue, recorder.turns, recorder.known
    get, enter = around.get, around.set
    current_context, grad_enabled, tensor_type = find_current_context(), torch.is_grad_enabled, torch.Tensor
    frame_callback, tracing_state = get_eval_frame_callback, _get_tracing_state
    transform_level, dispatch_modes = _functorch.maybe_current_level, _len_torch_dispatch_stack
    function_modes = _len_torch_function_stack
    flags = vars(torch.compiler)
    is_compiling = None if "_is_compiling_flag" in flags else torch.compiler.is_compiling
    copy, copy_result = plans.copy, output_plans.copy
    clock, share = perf_counter_ns, recorder.config.overhead
    pays = share < 1

    def read(
        module: Any, args: tuple[Any, ...], kwargs: dict[str, Any], over: bool, said: PredictionScope | None
    ) -> Taken | Found | int | None:
        """A copy of the input of a prediction, or its tensors if a device has to copy them; its rows if it is left out; None of
        any other call.
        """
        identified = said is not None and said.identifies
        limit = recorder.copy_limit(said) if identified else min(queue.plain_bytes, COPY_BYTES)
        if not over and len(args) == 1 and not kwargs and type(args[0]) is torch.Tensor and is_prediction(module, args):
            copied = plans.copy(args[0], limit)
            if copied is not None:
                return _new(Taken, (copied, None))
            sampled = plans.sample(args[0], limit)
            if sampled is not None:
                return sampled
        found = in_arguments(args, kwargs)
        if is_prediction(module, [tensor for _, tensor in found]):
            if any(tensor.is_cuda for _, tensor in found):
                return found
            rows = rows_of(found)
            return rows if over and rows >= MANY_ROWS else copy_input(found, mode, limit)
        if id(module) in known and getattr(module, "training", False):
            # What was predicted so far keeps its version, what follows gets another.
            identities.refit(module, recorder.config)
        return None

    def written(result: Any, x: Taken) -> Snapshot:
        """A copy of the output."""
        snapshot, keep = x
        rows = snapshot.rows if keep is None else keep.total
        try:
            with DisableTorchFunction():
                if keep is not None and type(result) is tensor_type:
                    copied = output_plans.rows(result, keep)
                    if copied is not None:
                        return copied
                return copy_output(in_result(result), rows, keep)
        except Exception as problem:
            failed("read the output of a module", problem)
            return UNKNOWN

    def read_again(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Taken:
        """A copy of the input of a call that was left out, and raised."""
        try:
            with DisableTorchFunction():
                return copy_input(in_arguments(args, kwargs), mode, COPY_BYTES)
        except Exception as problem:
            failed("read the input of a module", problem)
            return Taken(UNKNOWN, None)

    def leave_out(model: Any, rows: int, duration: int, identity: Identity) -> None:
        """Only count a call."""
        try:
            queue.put_left_out(_new(LeftOut, (identity, model, _PREDICT, rows, duration)))
            identity.budget.before += 1
            turns.give_way()
        except Exception as problem:
            failed("count a prediction", problem)

    def record(*call: Any) -> None:
        attempt("record a prediction", recorder.leave, *call)

    def outermost(forward: Call, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        said, began = get(), clock()
        identity: Any = None
        try:  # from here on, since a handler of a signal may raise after any call
            enter(INSIDE)
            x: Taken | Found | int | None = None
            try:
                # Not while the program is compiled, traced, exported or transformed, and the call is part of that.
                if (
                    (recorder.active or recorder.activate())
                    and frame_callback() is None
                    and tracing_state() is None
                    and transform_level() is None
                    and dispatch_modes() == 0
                    and not (flags["_is_compiling_flag"] if is_compiling is None else is_compiling())
                ):
                    context = current_context()
                    if not context or is_instrumentation_enabled():
                        model = unwrapped(module) if type(module).__name__ in WRAPPERS else module
                        identity = known.get(id(model))
                        over = (
                            identity is not None
                            and identity.budget.due
                            and not context
                            and said is None
                            and clock() < identity.budget.due
                        )
                        copied = None
                        if (
                            not kwargs
                            and len(args) == 1
                            and type(args[0]) is tensor_type
                            and not grad_enabled()
                            and function_modes() == 0
                        ):
                            state = model.__dict__
                            if not state.get("training", True) and REPLICA not in state:
                                limit = queue.plain_bytes
                                if over and args[0].dim() and args[0].size(0) >= MANY_ROWS and args[0].is_cpu:
                                    x = args[0].size(0)
                                else:
                                    copied = copy(args[0], limit if limit < COPY_BYTES else COPY_BYTES)
                        if x is None:
                            if copied is not None:
                                x = _new(Taken, (copied, None))
                            else:
                                with DisableTorchFunction():  # neither modes nor subclasses of the program see it
                                    x = read(model, args, kwargs, over, said)
            except Exception as problem:
                failed("read the input of a module", problem)
            if x is None:
                return forward(*args, **kwargs)
            if isinstance(x, list):
                asked = Asked(model, _PREDICT, context, said)
                return device_calls.record(lambda: forward(*args, **kwargs), asked, x)
            ticks = clock()
            try:
                # Not `*args`, where there is one, with which the interpreter enters itself anew: 1 to 2 µs.
                result = forward(args[0]) if len(args) == 1 and not kwargs else forward(*args, **kwargs)
                duration = clock() - ticks
            except Exception as error:
                duration = clock() - ticks
                if isinstance(x, int):
                    x = read_again(args, kwargs)
                record(model, _PREDICT, x, UNKNOWN, ticks, duration, context, said, type(error).__qualname__)
                raise
            if isinstance(x, int):
                leave_out(model, x, duration, identity)
                return result
            y = None
            try:
                if type(result) is tensor_type and x[1] is None and function_modes() == 0:
                    y = copy_result(result, OUTPUT_BYTES)
            except Exception as problem:
                failed("read the output of a module", problem)
            if y is None or y[2] != x[0][2]:
                y = written(result, x)
            identity, calls, size = known.get(id(model)), 1, CALL_BYTES + x[0][4] + y[4]
            try:
                if pays and identity is not None and (x[0][2] if x[1] is None else x[1][1]) >= MANY_ROWS:
                    now = clock()
                    calls = identity.budget.pay(share, now, now - began - duration, size)
            except Exception as problem:
                failed("count what recording takes", problem)
            if said is None and identity is not None and queue.bytes < queue.wake_bytes and ticks < turns.due:
                left = identity, model, _PREDICT, x, y, ticks, duration, context, None, None, None, calls
                queue.items.append((left, size))
                queue.bytes += size
            else:
                record(model, _PREDICT, x, y, ticks, duration, context, said, None, calls)
            return result
        finally:
            enter(said)

    return outermost
