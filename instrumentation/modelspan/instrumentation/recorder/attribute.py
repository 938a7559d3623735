"""Attributes of models, read without running the program's code: a property of its own may load a model, and `__getattr__` may answer to any name."""

from __future__ import annotations

from types import GetSetDescriptorType, MemberDescriptorType
from typing import Any
from weakref import WeakKeyDictionary

LIBRARIES = frozenset({"catboost", "imblearn", "lightgbm", "mlflow", "onnxruntime", "sklearn", "torch", "xgboost"})
"""Packages whose properties tell what was learnt, and do no more."""

_ABSENT = object()
_OWN, _OWN_OR_CLASS, _CLASS, _ASK, _LEAVE = range(5)
"""Ways to read an attribute: from the instance; from the instance, else the class; from the class; by `getattr`; not at all."""

_ways: WeakKeyDictionary[type, dict[str, int]] = WeakKeyDictionary()
"""By class: how each attribute is read. No value of a class is kept here: it may refer to the class."""

# Not `cls.__mro__` and `vars(cls)`: a metaclass may be the program's.
_bases_of = type.__dict__["__mro__"].__get__
_held_by = type.__dict__["__dict__"].__get__


def attribute(model: Any, name: str, default: Any = None) -> Any:
    """Return an attribute of a model or its class, or the value of a library's own property; otherwise `default`."""
    cls = type(model)
    ways = _ways.get(cls)
    if ways is None:
        ways = _ways[cls] = {}
    way = ways.get(name)
    if way is None:
        way = ways[name] = _way_of(cls, name)
    if way == _ASK:
        return getattr(model, name, default)
    if way == _LEAVE:
        return default
    if way != _CLASS:
        own = object.__getattribute__(model, "__dict__").get(name, _ABSENT)
        if own is not _ABSENT:
            return own
    return default if way == _OWN else _on_class(cls, name, default)


def has_method(model: Any, name: str) -> bool:
    """True if a model or model class has the method; a library's class is asked, as it may offer the method for some models only."""
    cls = model if isinstance(model, type) else type(model)
    owner = _owner(cls, name)
    if is_of_library(cls if owner is None else owner):
        return hasattr(model, name)
    on_class = _on_class(cls, name, None)
    return (on_class if model is cls else own(model).get(name, on_class)) is not None


def own(value: Any) -> dict[str, Any]:
    """The instance dictionary of an object; empty if its class has none."""
    found: dict[str, Any] = object.__getattribute__(value, "__dict__") if _holds(type(value)) else {}
    return found


def is_of_library(cls: type) -> bool:
    """True if the class belongs to a library whose properties are safe to read."""
    return str(cls.__module__).partition(".")[0] in LIBRARIES


def _way_of(cls: type, name: str) -> int:
    owner = _owner(cls, name)
    if owner is None:
        return _OWN if _holds(cls) else _LEAVE
    kind = type(_on_class(cls, name))
    if not hasattr(kind, "__get__"):
        return _OWN_OR_CLASS if _holds(cls) else _CLASS
    if issubclass(kind, MemberDescriptorType) or is_of_library(owner):
        return _ASK
    return _OWN if _holds(cls) and not hasattr(kind, "__set__") and not hasattr(kind, "__delete__") else _LEAVE


def _holds(cls: type) -> bool:
    """True if instances have a real `__dict__`, not one that the program's class replaces."""
    return type(_on_class(cls, "__dict__")) is GetSetDescriptorType


def _owner(cls: type, name: str) -> type | None:
    """The class from which instances of `cls` have an attribute."""
    for base in _bases_of(cls):
        if name in _held_by(base):
            return base  # type: ignore[no-any-return]
    return None


def _on_class(cls: type, name: str, default: Any = _ABSENT) -> Any:
    """Return the raw class attribute that instances of `cls` inherit (no descriptor is run)."""
    owner = _owner(cls, name)
    return default if owner is None else _held_by(owner)[name]
