"""A function that stands in for another takes what the other takes, refuses what it refuses, and passes on what it was given."""

from __future__ import annotations

import asyncio
import functools
import inspect
import traceback
from typing import Any

import numpy as np
import pytest

from modelspan.instrumentation.patching.portable import portable
from modelspan.instrumentation.patching.signatures import with_parameters_of, wraps
from modelspan.instrumentation.recorder.scope import INSIDE, around

MATRIX = np.zeros((2, 3))


def only_x(self: Any, X: Any) -> Any:
    return "original", self, X


def several(self: Any, data: Any, get: int = 1, *, type: str = "a", original: Any = None, **kwargs: Any) -> Any:  # noqa: A002
    return "original", self, data, get, type, original, kwargs


def outside(*args: Any, **kwargs: Any) -> Any:
    return "outside", args, kwargs


def usual(model: Any, value: Any, predict: Any) -> Any:
    return "usual", predict(model, value)


def written(original: Any, **options: Any) -> Any:
    found = with_parameters_of(original, outside, **options)
    assert found is not None
    return found


def inside(call: Any, *args: Any, **kwargs: Any) -> Any:
    token = around.set(INSIDE)
    try:
        return call(*args, **kwargs)
    finally:
        around.reset(token)


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        ((1, 2), {}),
        ((1,), {"data": 2}),
        ((1, 2, 3), {"type": "b"}),
        ((), {"self": 1, "data": 2, "original": 4, "other": 5}),
    ],
)
def test_within_a_prediction_the_original_gets_what_was_given(args: Any, kwargs: Any) -> None:
    assert inside(written(several), *args, **kwargs) == several(*args, **kwargs)


def test_elsewhere_another_gets_the_same_with_all_defaults() -> None:
    assert written(several)(1, 2, other=3) == ("outside", (1, 2, 1), {"type": "a", "original": None, "other": 3})
    assert written(only_x)(1, X=2) == ("outside", (1, 2), {})


def test_a_matrix_is_the_usual_call_unless_a_decisive_parameter_is_given() -> None:
    call = written(several, usual=usual, decisive=("type",))
    assert call(1, MATRIX)[:1] == ("usual",)
    assert call(1, MATRIX, 7, original=8, other=9) == ("usual", several(1, MATRIX, 7, original=8, other=9))
    assert call(1, MATRIX, type="b")[0] == "outside"
    assert call(1, MATRIX[0])[0] == call(1, [[0.0]])[0] == "outside", "no matrix"


def test_a_decisive_parameter_that_an_old_version_lacks_makes_no_call_usual() -> None:
    assert written(only_x, usual=usual, decisive=("type",))(1, MATRIX)[0] == "outside"


@pytest.mark.parametrize(
    ("args", "kwargs"), [((), {}), ((1,), {}), ((1, 2, 3, 4), {}), ((1, 2), {"data": 3}), ((1, 2), {"self": 1})]
)
def test_wrong_arguments_are_refused_in_the_words_of_the_original(args: Any, kwargs: Any) -> None:
    with pytest.raises(TypeError) as expected:
        several(*args, **kwargs)
    with pytest.raises(TypeError) as found:
        written(several)(*args, **kwargs)
    assert str(found.value) == str(expected.value)


def test_it_looks_like_the_original() -> None:
    call = written(several)
    assert inspect.signature(call) == inspect.signature(several)
    assert inspect.getfullargspec(call) == inspect.getfullargspec(several)
    assert (call.__name__, call.__qualname__, call.__module__) == ("several", "several", __name__)
    assert (call.__defaults__, call.__kwdefaults__) == (several.__defaults__, several.__kwdefaults__)


def test_a_traceback_through_it_has_its_lines() -> None:
    def broken(self: Any, X: Any) -> Any:
        raise ValueError(X)

    with pytest.raises(ValueError, match="7") as found:
        inside(written(broken), 1, 7)
    assert "return _original(self, X)" in "".join(traceback.format_exception(found.value))


def decorated(self: Any, X: Any) -> Any:
    return self, X


decorated.__signature__ = inspect.signature(lambda self: None)  # type: ignore[attr-defined]


@pytest.mark.parametrize("original", [len, functools.partial(only_x), lambda self, _original: None])
def test_what_cannot_be_written_is_left(original: Any) -> None:
    assert with_parameters_of(original, outside) is None


SHAPES = [
    decorated,
    several,
    lambda self: self,
    lambda self, *args: args,
    lambda self, X, *args, flag=1, **others: (X, args, flag, others),
    lambda self, X=None: X,
    lambda self, X, required: (X, required),
    lambda self, X, *, required, other=2: (X, required, other),
    lambda self, _X: _X,
    lambda self, X, /, y=1: (X, y),
    lambda self, X, y, /, z=1, *, w: (X, y, z, w),
]


def introspected(function: Any) -> Any:
    """All that a program can read of the parameters without asking for a signature."""
    code = function.__code__
    return (
        inspect.getfullargspec(function),
        inspect.signature(function, follow_wrapped=False),
        function.__defaults__,
        function.__kwdefaults__,
        code.co_varnames[: code.co_argcount + code.co_kwonlyargcount],
        (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount),
        code.co_flags & (inspect.CO_VARARGS | inspect.CO_VARKEYWORDS),
    )


@pytest.mark.parametrize("original", SHAPES)
def test_arguments_are_introspected_as_those_of_the_original(original: Any) -> None:
    @wraps(original)
    def call(*args: Any, **kwargs: Any) -> Any:
        return original(*args, **kwargs)

    assert introspected(call) == introspected(original)
    assert introspected(written(original)) == introspected(original)
    assert introspected(portable(original, call)) == introspected(original)


@pytest.mark.parametrize(
    ("original", "args", "kwargs"),
    [
        (SHAPES[4], (1, 2, 3, 4), {"flag": 5, "six": 6}),
        (SHAPES[6], (1,), {"X": 2, "required": 3}),
        (SHAPES[7], (1, 2), {"required": 3}),
        (SHAPES[10], (1, 2, 3), {"w": 4}),
    ],
)
def test_every_kind_of_argument_is_passed_on(original: Any, args: Any, kwargs: Any) -> None:
    @wraps(original)
    def call(*args: Any, **kwargs: Any) -> Any:
        return original(*args, **kwargs)

    expected = original(*args, **kwargs)
    assert call(*args, **kwargs) == inside(written(original), *args, **kwargs) == expected
    assert inside(portable(original, call), *args, **kwargs) == expected


def test_coroutines_and_generators_stay_what_they_are() -> None:
    async def coroutine(self: Any, X: Any) -> Any:
        return X

    def generator(self: Any, X: Any) -> Any:
        return (yield from X)

    @wraps(coroutine)
    async def later(*args: Any) -> Any:
        return await coroutine(*args)

    @wraps(generator)
    def steps(*args: Any) -> Any:
        yield from generator(*args)

    assert inspect.iscoroutinefunction(later)
    assert asyncio.run(later(1, 2)) == 2
    assert inspect.isgeneratorfunction(steps)
    assert list(steps(1, [2, 3])) == [2, 3]
