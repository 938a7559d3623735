"""Weights that are loaded from a file and given to a module later."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import islice
from typing import Any

from modelspan.instrumentation.config import Config
from modelspan.instrumentation.failure import attempt
from modelspan.instrumentation.loading.files import seen
from modelspan.instrumentation.loading.names import Keys, key_of
from modelspan.instrumentation.loading.origins import of_file, prepare
from modelspan.instrumentation.recorder.identity import Tell, identities

_DEPTH = 2
"""Mappings within the one that was loaded: a checkpoint holds the weights beside the epoch and the optimizer's state."""
_MOST = 1000

_sources: dict[int, tuple[Any, Tell]] = {}
"""By the address of a tensor, while it lives: a reference to it, and what is known from the file that it came from."""


def note_weights(loaded: Any, opened: Any, loader: str) -> None:
    """Note the file of each set of weights, by the first tensor of the set: its keys may be renamed, and it copied."""
    file = seen(opened) if isinstance(loaded, Mapping) else None
    if file is None:
        return
    found = dict(_first_tensors(loaded, _DEPTH))
    for at, tensor in found.items():
        reference = weakref.ref(tensor, partial(attempt, "forget weights", _forget, id(tensor)))
        _sources[id(tensor)] = reference, of_file(file, loader, at, tuple(found))
    prepare(file)


def took_weights(model: Any, weights: Any, config: Config) -> None:
    """A module has taken weights over: another model from now on, if they were those of a file."""
    found = next((_sources.get(id(tensor)) for _, tensor in _first_tensors(weights, 0)), None)
    if found is not None:
        identities.reload(model, config)
        identities.tell(model, found[1])


def _forget(address: int, gone: Any) -> None:
    found = _sources.get(address)
    if found is not None and found[0] is gone:
        del _sources[address]


def _first_tensors(values: Any, depth: int, at: Keys = ()) -> Iterator[tuple[Keys, Any]]:
    """The first tensor of a mapping, and of those within it, with the keys that lead to the mapping."""
    is_first = True
    for place, (key, value) in enumerate(islice(values.items(), _MOST)):
        if isinstance(value, Mapping):
            if depth > 0:
                yield from _first_tensors(value, depth - 1, (*at, key_of(key, place)))
        elif is_first and hasattr(value, "data_ptr"):
            is_first = False
            yield at, value
