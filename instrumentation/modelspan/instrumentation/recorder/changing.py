"""A model that its library keeps outside of Python is changed or asked by one thread at a time: a change frees what an answer is
read from, and Python's lock is not held meanwhile.
"""

from __future__ import annotations

import functools
import os
import threading
import weakref
from collections.abc import Callable
from typing import Any, TypeVar

from modelspan.instrumentation.recorder.attribute import attribute
from modelspan.instrumentation.recorder.kinds import Kind

_K = TypeVar("_K", bound=type[Kind])

_locks: dict[int, tuple[Any, Any]] = {}
"""By the address of a model; an entry goes before the memory can be another's."""


def lock_of(model: Any) -> Any:
    """The lock of a model, or of the Booster within one of scikit-learn's kind. Reentrant."""
    booster = attribute(model, "_Booster")
    key = model if booster is None else booster
    place = id(key)  # models of CatBoost have no hash
    found = _locks.get(place)
    if found is None:
        found = _locks.setdefault(place, (weakref.ref(key, lambda _: _locks.pop(place, None)), threading.RLock()))
    return found[1]


def asked_alone(kind: _K) -> _K:
    """A class of answers about models each of which waits for changes of the model, and changes for it."""
    for name, raw in list(vars(Kind).items()):
        if callable(raw) and not name.startswith("_") and name != "input_names":  # which is asked about tensors only
            setattr(kind, name, _alone(getattr(kind, name)))
    return kind


def _alone(answer: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(answer)
    def call(self: Any, model: Any, *args: Any) -> Any:
        with lock_of(model):
            return answer(self, model, *args)

    return call


def _start_over() -> None:
    """In a forked process nobody releases what another thread held."""
    global _locks
    _locks = {}


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_over)
