"""Finds the tensors in what a module is given and returns."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch

from modelspan.instrumentation.recorder.tensors import Path

Found = list[tuple[Path, torch.Tensor]]

MAX_TENSORS = 16
_MAX_DEPTH = 4


def in_arguments(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Found:
    """Tensors in the arguments of a call, those given by position first."""
    found: Found = []
    for i, value in enumerate(args):
        _add(value, (i,), found)
    for name, value in kwargs.items():
        _add(value, (name,), found)
    return found


def in_result(result: Any) -> Found:
    """Tensors in the result of a call."""
    found: Found = []
    _add(result, (), found)
    return found


def _add(value: Any, path: Path, found: Found) -> None:
    if isinstance(value, torch.Tensor):
        if len(found) < MAX_TENSORS:
            found.append((path, value))
        return
    if len(path) > _MAX_DEPTH or len(found) >= MAX_TENSORS:
        return
    # The first so many of a long list: its items may be numbers or texts.
    for key, one in _items(value):
        _add(one, (*path, key), found)


def _items(value: Any) -> Any:
    """Keys and values of a collection whose items can be read without running code of the program, the first of them."""
    if isinstance(value, Mapping):
        return [(str(key), value[key]) for key in list(value)[:MAX_TENSORS]]
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return list(zip(value._fields, value, strict=False))[:MAX_TENSORS]
    if isinstance(value, (list, tuple)):
        return list(enumerate(value[:MAX_TENSORS]))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [(one.name, getattr(value, one.name, None)) for one in dataclasses.fields(value)[:MAX_TENSORS]]
    return ()
