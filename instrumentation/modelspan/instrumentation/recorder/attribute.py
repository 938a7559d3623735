"""Attributes of models, read without running the program's code: a property of its own may load a model, and `__getattr__` may answer to any name."""

from __future__ import annotations

import inspect
from types import MemberDescriptorType
from typing import Any

LIBRARIES = frozenset({"catboost", "imblearn", "lightgbm", "mlflow", "onnxruntime", "sklearn", "torch", "xgboost"})
"""Packages whose properties tell what was learnt, and do no more."""

_ABSENT = object()


def attribute(model: Any, name: str, default: Any = None) -> Any:
    """What a model or its class holds under a name, or what a property of a library says; `default` where it is neither."""
    found = inspect.getattr_static(model, name, _ABSENT)
    if found is _ABSENT:
        return default
    owner = _owner(type(model), name)
    if owner is None or found is not vars(owner)[name] or not hasattr(type(found), "__get__"):
        return found
    if isinstance(found, MemberDescriptorType) or _is_of_library(owner):
        return getattr(model, name, default)
    return default


def has_method(model: Any, name: str) -> bool:
    """Whether a model, or class of models, has a method; one of a library may have it only for some models."""
    cls = model if isinstance(model, type) else type(model)
    owner = _owner(cls, name)
    if (owner is None and _is_of_library(cls)) or (owner is not None and _is_of_library(owner)):
        return hasattr(model, name)
    return inspect.getattr_static(model, name, None) is not None


def _owner(cls: type, name: str) -> type | None:
    """The class from which instances of `cls` have an attribute."""
    return next((base for base in cls.__mro__ if name in vars(base)), None)


def _is_of_library(cls: type) -> bool:
    return str(cls.__module__).partition(".")[0] in LIBRARIES
