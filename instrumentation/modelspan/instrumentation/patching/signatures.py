"""Functions with the parameters of others.

A program may read the parameters of a function from its code (`inspect.getfullargspec`, `__defaults__`, `co_varnames`), not only from
its signature, so what stands in for a function is written with the same ones, as the standard library writes the methods of data
classes. It is faster, too: what is given to a function that takes any arguments is packed and unpacked again, which takes 0.3 to 1 µs.
"""

from __future__ import annotations

import functools
import inspect
import linecache
from collections.abc import Callable, Collection
from types import FunctionType
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np

from modelspan.instrumentation.patching.unseen import MARK
from modelspan.instrumentation.recorder.scope import INSIDE, around

Method = Callable[..., Any]

_PREDICTION = """\
def make(_get, _INSIDE, _type, _kind, _partial, _original, _outside, _usual, _defaults):
    {unpack}
    def call({parameters}):
        if _get() is _INSIDE:
            return _original({arguments})
        {usual}
        return _outside({arguments})
    return call
"""
_USUAL = """\
if _type({x}) is _kind{matrix} and {same}:
            return _usual({model}, {x}, _original if {rest_same} else _partial(_original, {rest}))"""
_FUNCTION = """\
def make(_call):
    def call({parameters}):
        return _call({arguments})
    return call
"""
_COROUTINE = """\
def make(_call):
    async def call({parameters}):
        return await _call({arguments})
    return call
"""
_GENERATOR = """\
def make(_call):
    def call({parameters}):
        return (yield from _call({arguments}))
    return call
"""
_CARRIED = """\
def make(_original, hidden):
    def call({parameters}):
        if hidden.get() is hidden.inside:
            return _original({arguments})
        return hidden.call({arguments})
    return call
"""
_OWN_NAMES = {
    "_get",
    "_INSIDE",
    "_type",
    "_kind",
    "_partial",
    "_original",
    "_outside",
    "_usual",
    "_defaults",
    "_call",
    "hidden",
}


class Parameters(NamedTuple):
    """Parameters of a Python function as its code has them; `True` beside a name says that there is a default."""

    positional: tuple[tuple[str, bool], ...]
    positional_only: int
    rest: str | None
    by_name: tuple[tuple[str, bool], ...]
    others: str | None

    @property
    def names(self) -> list[str]:
        """All of them, without stars."""
        named = [name for name, _ in (*self.positional, *self.by_name)]
        return named + [name for name in (self.rest, self.others) if name]

    def declared(self) -> str:
        """The list of parameters, with None for the defaults."""
        parts = [f"{name}=None" if default else name for name, default in self.positional]
        if self.positional_only:
            parts.insert(self.positional_only, "/")
        if self.rest or self.by_name:
            parts.append(f"*{self.rest or ''}")
        parts += [f"{name}=None" if default else name for name, default in self.by_name]
        return ", ".join(parts + ([f"**{self.others}"] if self.others else []))

    def passed_on(self) -> str:
        """The arguments of a call that passes all of them on."""
        parts = [name for name, _ in self.positional] + ([f"*{self.rest}"] if self.rest else [])
        parts += [f"{name}={name}" for name, _ in self.by_name]
        return ", ".join(parts + ([f"**{self.others}"] if self.others else []))


def parameters_of(function: Any) -> Parameters | None:
    """Parameters of a function itself, not of what it wraps; None of one that is not written in Python."""
    if type(function) is not FunctionType:
        return None
    code, names = function.__code__, function.__code__.co_varnames
    first = code.co_argcount - len(function.__defaults__ or ())
    last = code.co_argcount + code.co_kwonlyargcount
    stars = iter(names[last:])
    return Parameters(
        tuple((name, at >= first) for at, name in enumerate(names[: code.co_argcount])),
        code.co_posonlyargcount,
        next(stars) if code.co_flags & inspect.CO_VARARGS else None,
        tuple((name, name in (function.__kwdefaults__ or ())) for name in names[code.co_argcount : last]),
        next(stars) if code.co_flags & inspect.CO_VARKEYWORDS else None,
    )


def wraps(original: Any) -> Callable[[Callable[..., Any]], Method]:
    """Like `functools.wraps`, and the function has the parameters of `original`, too."""

    def decorate(call: Any) -> Method:
        wanted = parameters_of(original)
        if wanted is None or not _can_be_written(wanted) or wanted == parameters_of(call):
            return like(original, call)
        flags = call.__code__.co_flags
        template = (
            _COROUTINE if flags & inspect.CO_COROUTINE else _GENERATOR if flags & inspect.CO_GENERATOR else _FUNCTION
        )
        return like(original, _written(template, wanted)(call))

    return decorate


def like(original: Any, call: Any) -> Method:
    """`call` with the name, the documentation and, if it has the parameters, the defaults of `original`."""
    wanted = parameters_of(original)
    if wanted is not None and _without_defaults(wanted) == _without_defaults(parameters_of(call)):
        call.__defaults__, call.__kwdefaults__ = original.__defaults__, original.__kwdefaults__
    wrapped: Method = functools.wraps(original)(call)
    return wrapped


def _without_defaults(parameters: Parameters | None) -> tuple[list[str], int, int] | None:
    return parameters and (parameters.names, parameters.positional_only, len(parameters.positional))


def carried(original: Any, hidden: Any) -> Method | None:
    """A function that holds nothing but `original` and `hidden`: see `modelspan.instrumentation.patching.portable`. None where it
    cannot be written.
    """
    wanted = parameters_of(original)
    if wanted is None or not _can_be_written(wanted):
        return None
    made: Method = _written(_CARRIED, wanted)(original, hidden)
    return made


def with_parameters_of(
    original: Method,
    outside: Method,
    usual: Method | None = None,
    decisive: Collection[str] = (),
    kind: type = np.ndarray,
) -> Method | None:
    """A function that calls `original` within a prediction, and `outside` with the same arguments elsewhere. `usual` is called
    instead if the second argument is of a `kind`, an array with two dimensions, and the `decisive` ones, by name, are their
    defaults: with the first two, and what makes the call, given both.

    Returns None where that cannot be written.
    """
    wanted = parameters_of(original)
    if wanted is None or not _can_be_written(wanted):
        return None
    if not set(decisive) <= set(wanted.names) or not _can_be_usual(wanted):
        usual = None
    optional = [name for name, default in (*wanted.positional, *wanted.by_name) if default]
    make = _written(
        _PREDICTION,
        wanted,
        unpack=f"{', '.join(f'_d_{name}' for name in optional)}, = _defaults" if optional else "",
        usual="" if usual is None else _usual(wanted, tuple(decisive), kind is np.ndarray),
    )
    by_name: dict[str, Any] = getattr(original, "__kwdefaults__", None) or {}
    defaults = (
        *(getattr(original, "__defaults__", None) or ()),
        *(by_name[name] for name, given in wanted.by_name if given),
    )
    call = make(around.get, INSIDE, type, kind, functools.partial, original, outside, usual, defaults)
    return like(original, call)


def _can_be_written(parameters: Parameters) -> bool:
    names = parameters.names
    return all(name.isidentifier() for name in names) and not any(
        name in _OWN_NAMES or name.startswith("_d_") for name in names
    )


def _can_be_usual(parameters: Parameters) -> bool:
    """True if the function takes two required positional arguments and everything else is optional and may be given by name."""
    first, rest = parameters.positional[:2], parameters.positional[2:] + parameters.by_name
    return (
        len(first) == 2
        and not any(default for _, default in first)
        and all(default for _, default in rest)
        and parameters.positional_only <= 2
        and parameters.rest is None
    )


@functools.cache
def _written(template: str, parameters: Parameters, **parts: str) -> Callable[..., Any]:
    source = template.format(parameters=parameters.declared(), arguments=parameters.passed_on(), **parts)
    file = f"<modelspan call {crc32(source.encode()):x}({parameters.declared()})>{MARK}"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)  # for tracebacks
    namespace: dict[str, Any] = {}
    exec(compile(source, file, "exec"), namespace)  # of names of parameters
    make: Callable[..., Any] = namespace["make"]
    return make


def _usual(parameters: Parameters, decisive: tuple[str, ...], arrays: bool) -> str:
    (model, _), (x, _) = parameters.positional[:2]
    named = [name for name, _ in (*parameters.positional[2:], *parameters.by_name)]
    same = {name: f"{name} is _d_{name}" for name in named}
    if parameters.others:
        same[parameters.others] = f"not {parameters.others}"
    rest = [name for name in same if name not in decisive]
    return _USUAL.format(
        model=model,
        x=x,
        matrix=f" and {x}.ndim == 2" if arrays else "",
        same=" and ".join(same[name] for name in decisive) or "True",
        rest_same=" and ".join(same[name] for name in rest) or "True",
        rest=", ".join(f"**{name}" if name == parameters.others else f"{name}={name}" for name in rest),
    )
