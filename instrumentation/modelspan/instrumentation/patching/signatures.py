"""Functions with the parameters of others.

What is given to a function that takes any arguments is packed and unpacked again, which takes 0.3 to 1 µs; of one with the
parameters of the function that it stands in for, the interpreter passes them on in some 50 ns. Such a function has to be written
for each list of parameters, as the standard library writes the methods of data classes.
"""

from __future__ import annotations

import functools
import inspect
import linecache
from collections.abc import Callable, Collection
from inspect import Parameter
from typing import Any

import numpy as np

from modelspan.instrumentation.patching.unseen import MARK
from modelspan.instrumentation.recorder.scope import INSIDE, around

Method = Callable[..., Any]

_NAMED = Parameter.POSITIONAL_OR_KEYWORD
_BY_NAME = Parameter.KEYWORD_ONLY
_OTHERS = Parameter.VAR_KEYWORD

_TEMPLATE = """\
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

_Parameters = tuple[tuple[str, Any, bool], ...]
"""Name, kind, and whether there is a default."""


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
    if not inspect.isfunction(original) or "__signature__" in vars(original):
        return None
    found = inspect.signature(original, follow_wrapped=False).parameters.values()
    parameters = tuple((one.name, one.kind, one.default is not one.empty) for one in found)
    if not _is_writable(parameters):
        return None
    defaults = tuple(one.default for one in found if one.default is not one.empty)
    make = _maker(parameters, None if usual is None else tuple(decisive), kind is np.ndarray)
    call: Any = make(around.get, INSIDE, type, kind, functools.partial, original, outside, usual, defaults)
    call.__defaults__, call.__kwdefaults__ = original.__defaults__, original.__kwdefaults__
    wrapped: Method = functools.wraps(original)(call)
    return wrapped


def _is_writable(parameters: _Parameters) -> bool:
    return (
        len(parameters) >= 2
        and all(kind in (_NAMED, _BY_NAME, _OTHERS) and not name.startswith("_") for name, kind, _ in parameters)
        and all(kind is _NAMED and not default for _, kind, default in parameters[:2])
        and all(default or kind is _OTHERS for _, kind, default in parameters[2:])
    )


@functools.cache
def _maker(parameters: _Parameters, decisive: tuple[str, ...] | None, arrays: bool) -> Callable[..., Method]:
    names = [name for name, _, _ in parameters]
    optional = [name for name, _, default in parameters if default]
    source = _TEMPLATE.format(
        unpack=f"{', '.join(f'_d_{name}' for name in optional)}, = _defaults" if optional else "",
        parameters=_list(parameters, lambda name, default: f"{name}=None" if default else name, "*, "),
        arguments=_list(parameters, lambda name, _: name, ""),
        usual="" if decisive is None or not set(decisive) <= set(names) else _usual(parameters, decisive, arrays),
    )
    file = f"<modelspan call({', '.join(names)})>{MARK}"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)  # for tracebacks
    namespace: dict[str, Any] = {}
    exec(compile(source, file, "exec"), namespace)  # of names of parameters
    maker: Callable[..., Method] = namespace["make"]
    return maker


def _usual(parameters: _Parameters, decisive: tuple[str, ...], arrays: bool) -> str:
    rest = [one for one in parameters[2:] if one[0] not in decisive]
    same = {name: f"{name} is _d_{name}" if kind is not _OTHERS else f"not {name}" for name, kind, _ in parameters}
    return _USUAL.format(
        model=parameters[0][0],
        x=parameters[1][0],
        matrix=f" and {parameters[1][0]}.ndim == 2" if arrays else "",
        same=" and ".join(same[name] for name in decisive) or "True",
        rest_same=" and ".join(same[name] for name, _, _ in rest) or "True",
        rest=", ".join(f"**{name}" if kind is _OTHERS else f"{name}={name}" for name, kind, _ in rest),
    )


def _list(parameters: _Parameters, write: Callable[[str, bool], str], star: str) -> str:
    """A list of parameters, or of the arguments to pass for them where there is no `star`."""
    found, by_name = [], False
    for name, kind, default in parameters:
        if kind is _OTHERS:
            found.append(f"**{name}")
        elif kind is _BY_NAME:
            found.append(("" if by_name else star) + (write(name, default) if star else f"{name}={name}"))
            by_name = True
        else:
            found.append(write(name, default))
    return ", ".join(found)
