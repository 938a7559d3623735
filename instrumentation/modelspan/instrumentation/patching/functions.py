"""Modules that have a function of another: `from joblib import load` gives them one that is no attribute of joblib."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from types import BuiltinFunctionType, ModuleType
from typing import Any


def knowing(function: Any) -> Iterator[ModuleType]:
    """Modules that have a function under the name that it has itself. Takes a millisecond with all libraries imported.

    A built-in function stays where it is defined: whatever stands in for it is pickled as what is there.
    """
    own = function.__module__ if isinstance(function, BuiltinFunctionType) else None
    for module in _modules():
        if vars(module).get(function.__name__) is function and module.__name__ != own:
            yield module


def put_back(replaced: Mapping[int, tuple[Any, Any]]) -> None:
    """Give every module that has a replacement, under whatever name, what it stood in for. By the address of the replacement:
    both. Takes some 40 ms with all libraries imported.
    """
    for module in _modules():
        for name, value in list(vars(module).items()):
            if id(value) in replaced:
                setattr(module, name, replaced[id(value)][1])


def _modules() -> list[ModuleType]:
    """All but those of classes of their own, which may import something when they are looked into."""
    return [module for module in list(sys.modules.values()) if type(module) is ModuleType]
