"""Functions that warnings pass over.

`warnings.warn(..., stacklevel=2)` names the line that called the function that warns, and whether Python shows the warning depends on it.
A function of ours in between would be named instead. Python passes over the frames of its import system, which it knows by
"importlib" and "_bootstrap" in the name of their file (`is_internal_frame` of `warnings` and of `logging`), so our functions have both in theirs.
"""

from __future__ import annotations

import inspect
import linecache
from collections.abc import Iterator
from types import CodeType, FunctionType
from typing import Any

MARK = " (passed over as importlib._bootstrap is)"


def pass_over(*modules: Any) -> None:
    """Have warnings pass over the functions of modules, and over the functions that these will make."""
    for module in modules:
        for function in _functions(module):
            function.__code__ = _marked(function.__code__)


def _functions(module: Any) -> Iterator[FunctionType]:
    for value in list(vars(module).values()):
        if getattr(value, "__module__", None) != module.__name__:
            continue
        for one in vars(value).values() if inspect.isclass(value) else (value,):
            if isinstance(one, FunctionType):
                yield one


def _marked(code: CodeType) -> CodeType:
    file = code.co_filename
    if file.endswith(MARK):
        return code
    linecache.cache.setdefault(file + MARK, (lambda: "".join(linecache.getlines(file)),))  # for tracebacks
    constants = tuple(_marked(one) if isinstance(one, CodeType) else one for one in code.co_consts)
    return code.replace(co_filename=file + MARK, co_consts=constants)
