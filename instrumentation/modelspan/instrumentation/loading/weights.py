"""Weights that are loaded from a file and given to a module later."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from functools import partial
from typing import Any

from modelspan.instrumentation.config import Config
from modelspan.instrumentation.failure import attempt
from modelspan.instrumentation.loading.files import File, seen
from modelspan.instrumentation.loading.origins import of_file, prepare
from modelspan.instrumentation.recorder.identity import identities

_DEPTH = 2
"""Mappings within the one that was loaded: a checkpoint holds the weights beside the epoch and the optimizer's state."""
_MOST = 1000

_sources: dict[int, tuple[Any, File, str]] = {}
"""By the address of a tensor, while it lives: a reference to it, the file that it came from, and what loaded that."""


def note_weights(loaded: Any, opened: Any, loader: str) -> None:
    """Note the file of each set of weights, by the first tensor of the set: its keys may be renamed, and it copied."""
    file = seen(opened) if isinstance(loaded, Mapping) else None
    if file is None:
        return
    for tensor in _first_tensors(loaded, _DEPTH):
        _sources[id(tensor)] = (
            weakref.ref(tensor, partial(attempt, "forget weights", _forget, id(tensor))),
            file,
            loader,
        )
    prepare(file)


def took_weights(model: Any, weights: Any, config: Config) -> None:
    """A module has taken weights over: another model from now on, if they were those of a file."""
    found = next((_sources.get(id(tensor)) for tensor in _first_tensors(weights, 0)), None)
    if found is not None:
        identities.refit(model, config)
        identities.tell(model, of_file(found[1], found[2]))


def _forget(address: int, gone: Any) -> None:
    found = _sources.get(address)
    if found is not None and found[0] is gone:
        del _sources[address]


def _first_tensors(values: Any, depth: int) -> list[Any]:
    """The first tensor of a mapping, and of those within it."""
    found: list[Any] = []
    for value in list(values.values())[:_MOST]:
        if isinstance(value, Mapping):
            found += _first_tensors(value, depth - 1) if depth > 0 else []
        elif not found and hasattr(value, "data_ptr"):
            found.append(value)
    return found
