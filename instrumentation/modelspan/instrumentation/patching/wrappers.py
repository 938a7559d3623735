"""The functions that stand in for methods of models. They call the original exactly once and let its errors pass."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from contextlib import nullcontext
from contextvars import ContextVar
from time import perf_counter_ns
from typing import Any, NamedTuple

import numpy as np
import opentelemetry.context
from opentelemetry.context import Context, get_current
from opentelemetry.instrumentation.utils import is_instrumentation_enabled

from modelspan.instrumentation.failure import attempt, failed
from modelspan.instrumentation.loading.training import fitted_here
from modelspan.instrumentation.patching.signatures import with_parameters_of
from modelspan.instrumentation.recorder.budget import MANY_ROWS
from modelspan.instrumentation.recorder.calls import CALL_BYTES, LeftOut
from modelspan.instrumentation.recorder.changing import lock_of
from modelspan.instrumentation.recorder.identity import Identity, identities
from modelspan.instrumentation.recorder.recorder import Recorder
from modelspan.instrumentation.recorder.scope import INSIDE, around
from modelspan.instrumentation.recorder.snapshot import UNKNOWN, Kept, Packed, Taken, measure
from modelspan.instrumentation.recorder.training import copy_before_fit, reference_after_fit

Method = Callable[..., Any]
Shown = Callable[[Any, Kept | None], Any]
"""Given a result and which rows are kept of the call, where not all: what is recorded, or the rows to keep as `Packed`."""
Outermost = Callable[..., Any]
"""Takes a model, the input of a call, what makes the call given both, and `Shown` if that is not the result itself."""


def outermost_call(operation: str, recorder: Recorder) -> Outermost:
    """A function that makes a call of a model and records it.

    The case of arrays is written out here rather than called: this code is cold whenever it runs, between two predictions,
    and each further Python function or object on the way was measured to take 0.2 to 2 µs.
    """
    ndarray, known, queue, current_context = np.ndarray, recorder.known, recorder.queue, find_current_context()
    get, enter, leave = around.get, around.set, around.reset
    nowhere, clock, new, share = Context(), perf_counter_ns, tuple.__new__, recorder.config.overhead
    pays = share < 1

    def outermost(self: Any, value: Any, predict: Method, shown: Shown | None = None) -> Any:
        state, context, off, identity = get(), nowhere, False, known.get(id(self))
        over = None
        x: Any = _NOT_COPIED  # Raw or Taken
        plain = True
        try:
            context = current_context()
            if (context and not is_instrumentation_enabled()) or (
                queue.plain_bytes < 0 and not (recorder.active or recorder.activate())
            ):
                off = True
            elif (
                identity is not None
                and identity.budget.due
                and not context
                and state is None
                and (value.shape[0] if type(value) is ndarray and value.ndim else measure(value)[0]) >= MANY_ROWS
                and clock() < identity.budget.due
            ):
                over = identity
            elif type(value) is ndarray and value.nbytes <= queue.plain_bytes and not value.dtype.hasobject:
                dtype, shape, data, names = value.dtype, value.shape, value.tobytes(), None
            else:
                x = recorder.copy_input(value)
                plain = type(x) is tuple
                if plain:
                    dtype, shape, data, names = x
        except Exception as problem:
            failed("copy the input of a model", problem)
            plain = False
        if off:
            return predict(self, value)
        if over is not None:
            return left_out(self, value, predict, over)
        token = enter(INSIDE)
        ticks = clock()
        try:
            result = predict(self, value)
            duration = clock() - ticks
        except Exception as error:
            duration = clock() - ticks
            if plain:
                x = dtype, shape, data, names
            record(self, operation, x, UNKNOWN, ticks, duration, context, state, type(error).__qualname__)
            raise
        finally:
            leave(token)
        y: Any = UNKNOWN  # Raw or Snapshot
        try:
            output = result if shown is None else shown(result, None if plain else x[1])
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
            if pays and identity is not None:
                rows = (shape[0] if shape else 1) if plain else x[0][2] if x[1] is None else x[1][1]
                if rows >= MANY_ROWS:
                    calls = identity.budget.pay(share, ticks + duration, size)
            if state is None and identity is not None and queue.bytes < queue.wake_bytes:
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
            y, calls = UNKNOWN, 1
        if plain:
            x = dtype, shape, data, names
        record(self, operation, x, y, ticks, duration, context, state, None, calls)
        return result

    def left_out(self: Any, value: Any, predict: Method, identity: Identity) -> Any:
        """A call that is only counted, unless it raises."""
        token = enter(INSIDE)
        ticks = clock()
        try:
            result = predict(self, value)
            now = clock()
        except Exception as error:
            duration = clock() - ticks
            record(self, operation, copied(value), UNKNOWN, ticks, duration, nowhere, None, type(error).__qualname__)
            raise
        finally:
            leave(token)
        try:
            rows = result.shape[0] if type(result) is ndarray and result.shape else max(measure(value)[0], 1)
            queue.put_left_out(new(LeftOut, (identity, self, operation, rows, now - ticks)))
            identity.budget.before += 1
        except Exception as problem:
            failed("count a prediction", problem)
        return result

    def copied(value: Any) -> Any:
        try:
            return recorder.copy_input(value)
        except Exception as problem:
            failed("copy the input of a model", problem)
            return _NOT_COPIED

    def record(*call: Any) -> None:
        try:
            recorder.leave(*call)
        except Exception as problem:
            failed("record a prediction", problem)

    return outermost


def recorded(original: Method, operation: str, recorder: Recorder) -> Method:
    """A method whose first parameter is the input of a prediction; recorded when it is the outermost one."""
    get = around.get
    outermost = outermost_call(operation, recorder)

    if _takes_only_x(original):
        # What `with_parameters_of` would write, for the most common list of parameters.
        @functools.wraps(original)
        def call(self: Any, X: Any) -> Any:  # may be given by name
            if get() is INSIDE:
                return original(self, X)
            return outermost(self, X, original)

        return call

    @functools.wraps(original)
    def any_call(self: Any, *args: Any, **kwargs: Any) -> Any:
        if get() is INSIDE:
            return original(self, *args, **kwargs)
        value = None
        try:
            value = args[0] if args else _keyword_input(original, kwargs)
        except Exception as problem:
            failed(f"read the arguments of {original.__qualname__}", problem)
        return outermost(self, value, lambda self, _: original(self, *args, **kwargs))

    return with_parameters_of(original, any_call) or any_call


class Described(NamedTuple):
    """What a call is, for the record."""

    model: Any
    operation: str
    input: Any
    shown: Callable[[Any], Any] | None = None
    """What of the result is recorded, where that is not the result itself."""


Describe = Callable[..., Described | None]


class Usual(NamedTuple):
    """A call with a matrix that needs no description."""

    operation: str
    decisive: tuple[str, ...] = ()
    """Parameters that make it another, or none, unless they are their defaults."""


def described(original: Method, describe: Describe, recorder: Recorder, usual: Usual | None = None) -> Method:
    """A function or method that `describe`, given its arguments, says to be a prediction, or not (None). What is none is not
    recorded, nor is what happens within it. `usual`: when there is no need to ask.
    """
    get, enter, leave = around.get, around.set, around.reset
    ndarray = np.ndarray
    outermost: dict[str, Outermost] = {}
    as_usual = None
    if usual is not None:
        as_usual = outermost[usual.operation] = outermost_call(usual.operation, recorder)

    @functools.wraps(original)
    def call(*args: Any, **kwargs: Any) -> Any:
        if get() is INSIDE:
            return original(*args, **kwargs)
        if as_usual is not None and len(args) == 2 and not kwargs and type(args[1]) is ndarray and args[1].ndim == 2:
            return as_usual(args[0], args[1], original)
        what = record = None
        try:
            what = describe(*args, **kwargs)
            if what is not None:
                record = outermost.get(what.operation)
                if record is None:
                    record = outermost[what.operation] = outermost_call(what.operation, recorder)
        except TypeError:  # arguments that the original does not take either
            pass
        except Exception as problem:
            failed(f"read the arguments of {original.__qualname__}", problem)
        if what is not None and record is not None:
            shown = what.shown
            of_rows = None if shown is None else lambda result, keep: shown(result)
            return record(what.model, what.input, lambda model, value: original(*args, **kwargs), of_rows)
        token = enter(INSIDE)
        try:
            return original(*args, **kwargs)
        finally:
            leave(token)

    return with_parameters_of(original, call, as_usual, () if usual is None else usual.decisive) or call


def _takes_only_x(method: Method) -> bool:
    try:
        found = list(inspect.signature(method).parameters.values())
    except (TypeError, ValueError):  # compiled, without a signature
        return False
    return [one.name for one in found] == ["self", "X"] and all(
        one.kind is one.POSITIONAL_OR_KEYWORD and one.default is one.empty for one in found
    )


def find_current_context() -> Callable[[], Context]:
    """`get_current` without the two Python functions on its way, where the runtime context is OpenTelemetry's usual one."""
    variable = getattr(getattr(opentelemetry.context, "_RUNTIME_CONTEXT", None), "_current_context", None)
    return variable.get if isinstance(variable, ContextVar) else get_current


def guarded(original: Method) -> Method:
    """A method or function within which nothing is recorded."""
    get = around.get

    @functools.wraps(original)
    def call(*args: Any, **kwargs: Any) -> Any:
        if get() is INSIDE:
            return original(*args, **kwargs)
        token = around.set(INSIDE)
        try:
            return original(*args, **kwargs)
        finally:
            around.reset(token)

    return call


def guarded_change(original: Method, recorder: Recorder) -> Method:
    """A method that makes its object another model without fitting it: nothing is recorded within it, and the model gets another
    version.
    """

    @functools.wraps(original)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        alone: Any = nullcontext()
        try:
            alone = lock_of(self)
            identities.refit(self, recorder.config)
        except Exception as problem:
            failed("see that a model is changed", problem)
        token = around.set(INSIDE)
        try:
            with alone:
                return original(self, *args, **kwargs)
        finally:
            around.reset(token)

    return call


def guarded_fit(original: Method, recorder: Recorder, readable: Callable[[Any], Any] | None = None) -> Method:
    """A method that fits a model anew: nothing is recorded within it, and the model gets another version. What the outermost
    one is given first, or what `readable` makes of it, becomes the reference of the model, unless the fit raises.
    """

    @functools.wraps(original)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        sample = None
        try:
            if around.get() is not INSIDE:
                value = args[0] if args else _keyword_input(original, kwargs)
                sample = copy_before_fit(recorder, self, value if readable is None else readable(value))
            identities.refit(self, recorder.config)
        except Exception as problem:
            failed("see that a model is fitted", problem)
        token = around.set(INSIDE)
        try:
            result = original(self, *args, **kwargs)
        finally:
            around.reset(token)
        if around.get() is not INSIDE:
            attempt("see in which run a model is fitted", fitted_here, self)
        attempt("make a reference of a fit", reference_after_fit, recorder, self, sample)
        return result

    return call


def guarded_train(original: Method, data: Callable[..., Any], recorder: Recorder) -> Method:
    """A function that fits a model and returns it: nothing is recorded within it. What `data`, given its arguments, returns
    becomes the reference of the model; None makes none. Give it as a prediction on the same data is described.
    """

    @functools.wraps(original)
    def call(*args: Any, **kwargs: Any) -> Any:
        sample = None
        try:
            if around.get() is not INSIDE:
                sample = copy_before_fit(recorder, None, data(*args, **kwargs))
        except TypeError:  # arguments that the original does not take either
            pass
        except Exception as problem:
            failed(f"read the arguments of {original.__qualname__}", problem)
        token = around.set(INSIDE)
        try:
            model = original(*args, **kwargs)
        finally:
            around.reset(token)
        if around.get() is not INSIDE:
            attempt("see in which run a model is fitted", fitted_here, model)
        attempt("make a reference of a fit", reference_after_fit, recorder, model, sample)
        return model

    return call


def _keyword_input(original: Method, keywords: dict[str, Any]) -> Any:
    """The input of a call without positional arguments: the first parameter after self."""
    try:
        return keywords.get([*inspect.signature(original).parameters, "X", "X"][1])
    except (TypeError, ValueError):  # compiled, without a signature
        return keywords.get("X")


_NOT_COPIED = Taken(UNKNOWN, None)
