"""The functions that stand in for methods of models. They call the original exactly once and let its errors pass."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, NamedTuple

import numpy as np

from modelspan.instrumentation.failure import attempt, failed
from modelspan.instrumentation.loading.training import fitted_here
from modelspan.instrumentation.patching.outermost import Outermost, outermost_call
from modelspan.instrumentation.patching.signatures import with_parameters_of, wraps
from modelspan.instrumentation.recorder.changing import lock_of
from modelspan.instrumentation.recorder.feature_names import note_columns
from modelspan.instrumentation.recorder.identity import identities
from modelspan.instrumentation.recorder.recorder import Recorder
from modelspan.instrumentation.recorder.scope import INSIDE, around
from modelspan.instrumentation.recorder.snapshot import Lasting
from modelspan.instrumentation.recorder.training import copy_before_fit, reference_after_fit

Method = Callable[..., Any]


def recorded(original: Method, operation: str, recorder: Recorder) -> Method:
    """A method whose first parameter is the input of a prediction; recorded when it is the outermost one."""
    get = around.get
    outermost = outermost_call(operation, recorder)

    if _takes_only_x(original):
        # What `with_parameters_of` would write, for the most common list of parameters.
        @wraps(original)
        def call(self: Any, X: Any) -> Any:  # may be given by name
            if get() is INSIDE:
                return original(self, X)
            return outermost(self, X, original)

        return call

    @functools.wraps(original)
    def any_call(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        if get() is INSIDE:
            return original(self, *args, **kwargs)
        value = None
        try:
            value = args[0] if args else _keyword_input(original, kwargs)
        except Exception as problem:
            failed(f"read the arguments of {original.__qualname__}", problem)
        return outermost(self, value, original, None, (self, *args), kwargs)

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
    lasting: Lasting | None = None
    """The type of the matrix, where that is no array."""


def described(original: Method, describe: Describe, recorder: Recorder, usual: Usual | None = None) -> Method:
    """A function or method that `describe`, given its arguments, says to be a prediction, or not (None). What is none is not
    recorded, nor is what happens within it. `usual`: when there is no need to ask.
    """
    get, enter = around.get, around.set
    outermost: dict[str, Outermost] = {}
    as_usual = None
    operation, decisive, lasting = usual or Usual("")
    kind: Any = np.ndarray if lasting is None else lasting.kind
    if usual is not None:
        as_usual = outermost[operation] = outermost_call(operation, recorder, lasting)

    @functools.wraps(original)
    def call(*args: Any, **kwargs: Any) -> Any:
        if get() is INSIDE:
            return original(*args, **kwargs)
        if (
            as_usual is not None
            and len(args) == 2
            and not kwargs
            and type(args[1]) is kind
            and (kind is not np.ndarray or args[1].ndim == 2)
        ):
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
            of_result = None if shown is None else lambda args, result, keep: shown(result)
            return record(what.model, what.input, original, of_result, args, kwargs)
        state = get()
        try:  # from here on, since a handler of a signal may raise after any call
            enter(INSIDE)
            return original(*args, **kwargs)
        finally:
            enter(state)

    return with_parameters_of(original, call, as_usual, decisive, kind) or call


def _takes_only_x(method: Method) -> bool:
    try:
        found = list(inspect.signature(method).parameters.values())
    except (TypeError, ValueError):  # compiled, without a signature
        return False
    return [one.name for one in found] == ["self", "X"] and all(
        one.kind is one.POSITIONAL_OR_KEYWORD and one.default is one.empty for one in found
    )


def guarded(original: Method) -> Method:
    """A method or function within which nothing is recorded."""
    get = around.get

    @wraps(original)
    def call(*args: Any, **kwargs: Any) -> Any:
        state = get()
        if state is INSIDE:
            return original(*args, **kwargs)
        try:
            around.set(INSIDE)
            return original(*args, **kwargs)
        finally:
            around.set(state)

    return call


def guarded_change(original: Method, recorder: Recorder) -> Method:
    """A method that makes its object another model without fitting it: nothing is recorded within it, and the model gets another
    version.
    """

    @wraps(original)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        alone: Any = nullcontext()
        try:
            alone = lock_of(self)
            identities.refit(self, recorder.config)
        except Exception as problem:
            failed("see that a model is changed", problem)
        state = around.get()
        try:
            around.set(INSIDE)
            with alone:
                return original(self, *args, **kwargs)
        finally:
            around.set(state)

    return call


def guarded_fit(original: Method, recorder: Recorder, readable: Callable[[Any], Any] | None = None) -> Method:
    """A method that fits a model anew: nothing is recorded within it, and the model gets another version. What the outermost
    one is given first, or what `readable` makes of it, becomes the reference of the model, unless the fit raises.
    """

    @wraps(original)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        value = sample = None
        try:
            if around.get() is not INSIDE:
                value = args[0] if args else _keyword_input(original, kwargs)
                sample = copy_before_fit(recorder, self, value if readable is None else readable(value))
            identities.refit(self, recorder.config)
        except Exception as problem:
            failed("see that a model is fitted", problem)
        state = around.get()
        try:
            around.set(INSIDE)
            result = original(self, *args, **kwargs)
        finally:
            around.set(state)
        if state is not INSIDE:
            attempt("see in which run a model is fitted", fitted_here, self)
            attempt("note the columns of a fit", note_columns, self, value)
        attempt("make a reference of a fit", reference_after_fit, recorder, self, sample)
        return result

    return call


def guarded_train(original: Method, data: Callable[..., Any], recorder: Recorder) -> Method:
    """A function that fits a model and returns it: nothing is recorded within it. What `data`, given its arguments, returns
    becomes the reference of the model; None makes none. Give it as a prediction on the same data is described.
    """

    @wraps(original)
    def call(*args: Any, **kwargs: Any) -> Any:
        sample = None
        try:
            if around.get() is not INSIDE:
                sample = copy_before_fit(recorder, None, data(*args, **kwargs))
        except TypeError:  # arguments that the original does not take either
            pass
        except Exception as problem:
            failed(f"read the arguments of {original.__qualname__}", problem)
        state = around.get()
        try:
            around.set(INSIDE)
            model = original(*args, **kwargs)
        finally:
            around.set(state)
        if state is not INSIDE:
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
