"""The outermost call of a model, which is recorded or counted. It calls the original exactly once and lets its errors pass."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any

import numpy as np
import opentelemetry.context
from opentelemetry.context import Context, get_current
from opentelemetry.instrumentation.utils import is_instrumentation_enabled

from modelspan.instrumentation.failure import failed
from modelspan.instrumentation.recorder.budget import MANY_ROWS
from modelspan.instrumentation.recorder.calls import CALL_BYTES, LeftOut
from modelspan.instrumentation.recorder.clock import perf_counter_ns
from modelspan.instrumentation.recorder.identity import Identity
from modelspan.instrumentation.recorder.recorder import Recorder
from modelspan.instrumentation.recorder.scope import INSIDE, around
from modelspan.instrumentation.recorder.snapshot import UNKNOWN, Kept, Lasting, Packed, Taken, measure

Method = Callable[..., Any]
Shown = Callable[[Any, Any, Kept | None], Any]
"""Given the arguments of a call, its result and which rows are kept, where not all: what is recorded, or the rows to keep as
`Packed`."""
Outermost = Callable[..., Any]
"""Takes a model, the input of a call, and the function to call with both, or with other arguments that are given after `Shown`,
which is None where the result itself is recorded."""


def outermost_call(operation: str, recorder: Recorder, lasting: Lasting | None = None) -> Outermost:
    """A function that makes a call of a model and records it. `lasting` is a type of inputs that need not be copied before it.

    The case of arrays is written out here rather than called: this code is cold whenever it runs, between two predictions,
    and each further Python function or object on the way was measured to take 0.2 to 2 µs.
    """
    ndarray, known, queue, current_context = np.ndarray, recorder.known, recorder.queue, find_current_context()
    turns = recorder.turns
    get, enter = around.get, around.set
    nowhere, clock, new, share = Context(), perf_counter_ns, tuple.__new__, recorder.config.overhead
    pays = share < 1
    lasts, hold, one_row = lasting or _NOTHING_LASTS

    def outermost(
        self: Any,
        value: Any,
        predict: Method,
        shown: Shown | None = None,
        args: tuple[Any, ...] | None = None,
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        state, context, off, over = get(), nowhere, False, None
        began = 0
        x: Any = _NOT_COPIED  # Raw or Taken
        plain = True
        try:
            context = current_context()
            if (context and not is_instrumentation_enabled()) or (
                queue.plain_bytes < 0 and not (recorder.active or recorder.activate())
            ):
                off = True
            elif (
                type(value) is ndarray
                and (nbytes := value.nbytes) <= queue.plain_bytes
                and not (dtype := value.dtype).hasobject
            ):
                if nbytes >= MANY_ROWS:
                    began = clock()
                    if state is None and not context:
                        over = exhausted(self, value)
                if over is None:
                    shape, data, names = value.shape, value.tobytes(), None
            elif state is not None or context or (over := exhausted(self, value)) is None:
                began = clock()
                if type(value) is lasts:
                    plain, x = False, None
                else:
                    x = recorder.copy_input(value)
                    plain = type(x) is tuple
                    if plain:
                        dtype, shape, data, names = x
        except Exception as problem:
            failed("copy the input of a model", problem)
            plain = False
        if off:
            return predict(self, value) if args is None else predict(*args, **(kwargs or {}))
        ticks = clock()
        try:  # from here on, since a handler of a signal may raise after any call
            enter(INSIDE)
            if args is None:  # not `*args`, with which the interpreter enters itself anew: 1 to 2 µs
                result = predict(self, value)
            elif kwargs:
                result = predict(*args, **kwargs)
            else:
                result = predict(*args)
            duration = clock() - ticks
        except Exception as error:
            duration = clock() - ticks
            if over is not None or x is None:
                x = copied(value)
            elif plain:
                x = dtype, shape, data, names
            record(self, operation, x, UNKNOWN, ticks, duration, context, state, type(error).__qualname__)
            raise
        finally:
            enter(state)
        if over is not None:
            leave_out(self, value, result, duration, over)
            return result
        y: Any = UNKNOWN  # Raw or Snapshot
        try:
            if x is None:
                one = type(result) is ndarray and result.shape[:1] == _ONE
                x = one_row(value) if one else copied(value)
            output = result if shown is None or args is None else shown(args, result, None if plain else x[1])
            raw = True
            if type(output) is ndarray and (plain or x[1] is None) and not output.dtype.hasobject:
                y_dtype, y_shape, y_data = output.dtype, output.shape, output.tobytes()
            elif type(output) is Packed:
                y_dtype, y_shape, y_data, _ = output
            else:
                raw = False
                y = recorder.copy_output(output, None if plain else x)
            identity = known.get(id(self))
            calls, size = 1, CALL_BYTES + (len(data) if plain else x[0][4]) + (len(y_data) if raw else y[4])
            if pays and began and identity is not None:
                rows = (shape[0] if shape else 1) if plain else x[0][2] if x[1] is None else x[1][1]
                if rows >= MANY_ROWS:
                    now = clock()
                    calls = identity.budget.pay(share, now, now - began - duration, size)
            if state is None and identity is not None and queue.bytes < queue.wake_bytes and ticks < turns.due:
                if plain and raw:
                    item: Any = (
                        identity, operation, dtype, shape, y_dtype, y_shape, names,
                        self, data, y_data, ticks, duration, context, calls, size,
                    )  # fmt: skip
                else:
                    if plain:
                        x = dtype, shape, data, names
                    if raw:
                        y = y_dtype, y_shape, y_data, None
                    item = (identity, self, operation, x, y, ticks, duration, context, None, None, None, calls), size
                queue.items.append(item)
                queue.bytes += size
                return result
            if raw:
                y = y_dtype, y_shape, y_data, None
        except Exception as problem:
            failed("copy the output of a model", problem)
            x, y, calls = x or _NOT_COPIED, UNKNOWN, 1
        if plain:
            x = dtype, shape, data, names
        record(self, operation, x, y, ticks, duration, context, state, None, calls)
        return result

    def exhausted(model: Any, value: Any) -> Identity | None:
        """The identity of a model of which this large call is left out."""
        identity = known.get(id(model))
        if identity is None or not identity.budget.due:
            return None
        if type(value) is lasts:
            value = hold(value)
        rows = value.shape[0] if type(value) is ndarray and value.ndim else measure(value)[0]
        return identity if rows >= MANY_ROWS and clock() < identity.budget.due else None

    def leave_out(model: Any, value: Any, result: Any, duration: int, identity: Identity) -> None:
        """Only count a call."""
        try:
            rows = result.shape[0] if type(result) is ndarray and result.shape else max(measure(value)[0], 1)
            queue.put_left_out(new(LeftOut, (identity, model, operation, rows, duration)))
            identity.budget.before += 1
            turns.give_way()
        except Exception as problem:
            failed("count a prediction", problem)

    def copied(value: Any) -> Any:
        try:
            return recorder.copy_input(hold(value) if type(value) is lasts else value)
        except Exception as problem:
            failed("copy the input of a model", problem)
            return _NOT_COPIED

    def record(*call: Any) -> None:
        try:
            recorder.leave(*call)
        except Exception as problem:
            failed("record a prediction", problem)

    return outermost


def find_current_context() -> Callable[[], Context]:
    """`get_current` without the two Python functions on its way, where the runtime context is OpenTelemetry's usual one."""
    variable = getattr(getattr(opentelemetry.context, "_RUNTIME_CONTEXT", None), "_current_context", None)
    return variable.get if isinstance(variable, ContextVar) else get_current


_ONE = (1,)
_NOTHING_LASTS: Any = None, None, None
_NOT_COPIED = Taken(UNKNOWN, None)
