"""Data that a program gives as a reference, read as the arguments of the module that it is for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch

from modelspan.instrumentation.recorder import snapshot as snap
from modelspan.instrumentation.recorder.feature_names import columns_of
from modelspan.instrumentation.recorder.recorder import Recorder
from modelspan.instrumentation.recorder.snapshot import Snapshot
from modelspan.instrumentation.recorder.strata import Rows
from modelspan.instrumentation.recorder.tensors import NONE
from modelspan.instrumentation.torch.capture import copy_input, rows_of
from modelspan.instrumentation.torch.flatten import Found, in_arguments

_BYTES = 16 * 1024 * 1024
"""Bytes copied of a reference, of more a random sample of its rows."""
_NUMBERS = "fiub"


class Given:
    """Tensors as arguments of a module. Has what `measure` and `pick` ask of an array."""

    def __init__(self, found: Found, columns: Sequence[Any] | None) -> None:
        self.found = found
        self.columns = columns
        first = found[0][1]
        self.shape = (rows_of(found), *first.shape[1:])

    def __getitem__(self, rows: Rows) -> Given:
        chosen, total = torch.from_numpy(np.asarray(rows, dtype=np.int64)), self.shape[0]
        picked = [
            (path, one.detach().cpu()[chosen] if one.dim() and len(one) == total else one) for path, one in self.found
        ]
        return Given(picked, self.columns)


def follow(recorder: Recorder) -> None:
    """Have references copied as the configuration of a recorder says."""
    snap.copied_by(Given, partial(_copy, mode_of(recorder)))


def mode_of(recorder: Recorder) -> str:
    """The part of tensors that is recorded."""
    return NONE if recorder.config.capture == frozenset() else recorder.config.tensors


def _copy(mode: str, given: Given) -> Snapshot:
    found = [(path, tensor.detach().cpu()) for path, tensor in given.found]
    return copy_input(found, mode, _BYTES, _BYTES).snapshot


def readable(x: Any, module: Any, parameters: Sequence[str]) -> Any:
    """The tensors that `x` is or holds; what holds none is left as it is. A tuple is the arguments by position, a mapping those by name
    if the module has such parameters, and a table of numbers the first argument in the type of the module.
    """
    columns = columns_of(x)[0]
    if isinstance(x, Mapping) and set(x) <= set(parameters):
        found = in_arguments((), dict(x))
    else:
        found = in_arguments(x if type(x) is tuple else (x,), {})
    if not found:
        table = _table(x)
        found = [] if table is None else in_arguments((_as_floats_of(module, table),), {})
    return Given(found, columns) if found else x


def _table(x: Any) -> Any:
    """A table or list of numbers as an array; None of anything else."""
    if not (isinstance(x, (list, tuple)) or hasattr(x, "__array__")):
        return None
    try:
        values = np.asarray(x)
    except ValueError:  # rows of several lengths
        return None
    return np.ascontiguousarray(values) if values.dtype.kind in _NUMBERS and values.ndim else None


def _as_floats_of(module: Any, values: Any) -> torch.Tensor:
    """An array as a tensor, of floating-point numbers in the type of those of the module, as a program converts them."""
    tensor = torch.from_numpy(values.copy())
    own = next((one.dtype for one in module.parameters() if one.is_floating_point()), torch.float32)
    return tensor.to(own) if tensor.is_floating_point() else tensor
