"""Tensors that are too large to be a table: of each row a summary is recorded, or its values if the program asks for them.

Nothing is copied to find out what a tensor is. What is copied of it is what its columns are worked out from: of a long row every
k-th number.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from modelspan.instrumentation.recorder import snapshot as snap
from modelspan.instrumentation.recorder.recorder import Recorder
from modelspan.instrumentation.recorder.snapshot import Snapshot
from modelspan.instrumentation.recorder.strata import Rows
from modelspan.instrumentation.recorder.tensors import NONE, VALUES, Part, step_of
from modelspan.semconv.attributes import MlCaptureUnreadableValues as Reason

MOST_BYTES = 8 * 1024 * 1024
"""Bytes up to which the numbers of one tensor are copied. Of inputs so large that it would be more, rows are sampled before."""

_NUMBERS = frozenset(np.dtype(code).name for code in "?bhilqBHILQefdFD") | {"bfloat16"}
"""NumPy's names of the types whose numbers can be read."""
_ELEMENTS = {"float": "float32", "double": "float64"}
"""ONNX Runtime's names of types, where they are not NumPy's."""


class Tensor:
    """An array with more numbers in a row than a table has, or some rows of it, with what `measure` and `pick` ask of an array."""

    __slots__ = ("array", "dtype", "name", "rows", "shape", "step")

    def __init__(self, array: npt.NDArray[Any], name: str, dtype: str, rows: Rows | None = None) -> None:
        self.array, self.name, self.dtype, self.rows = array, name, dtype, rows
        width = math.prod(array.shape[1:])
        self.step = step_of(width)
        taken = -(-width // self.step) * array.itemsize
        # As wide as a table that takes as many bytes.
        self.shape = (len(array) if rows is None else len(rows), -(-taken // 8))

    def __getitem__(self, rows: Rows) -> Tensor:
        return type(self)(self.array, self.name, self.dtype, rows)

    def taken(self) -> bytes:
        """The numbers that are recorded, in C order. No more is copied on the way, but for what does not lie in that order."""
        array, step = self.array, self.step
        if step > 1 and not array.flags.c_contiguous:
            chosen = range(len(array)) if self.rows is None else self.rows.tolist()
            return b"".join([array[i].reshape(-1)[::step].tobytes() for i in chosen])
        table = array if step == 1 else array.reshape(len(array), -1)[:, ::step]
        return (table if self.rows is None else table[self.rows]).tobytes()


class Input(Tensor):
    """An input."""

    __slots__ = ()


class Output(Tensor):
    """An output. Without a name it is the only one."""

    __slots__ = ()


def follow(recorder: Recorder) -> None:
    """Have tensors copied as the configuration of a recorder says."""
    snap.copied_by(Input, partial(_copy, recorder.config.tensors))
    snap.copied_by(Output, partial(_copy, VALUES))


def of_array(kind: type[Tensor], array: npt.NDArray[Any], name: str) -> Tensor | None:
    """An array as a tensor; None where its values are no numbers."""
    return kind(array, name, array.dtype.name) if array.dtype.name in _NUMBERS else None


def of_ort_value(kind: type[Tensor], value: Any, shape: Sequence[int], name: str) -> Tensor | None:
    """The memory of an OrtValue of the CPU as a tensor, while the value lives; None where its values are no numbers."""
    element = value.data_type().removeprefix("tensor(").removesuffix(")")
    dtype = _ELEMENTS.get(element, element)
    if dtype not in _NUMBERS:
        return None
    numbers = np.dtype(np.uint16 if dtype == "bfloat16" else dtype)
    size = math.prod(shape) * numbers.itemsize
    memory: Any = (ctypes.c_char * size).from_address(value.data_ptr()) if size else b""
    return kind(np.frombuffer(memory, numbers).reshape(shape), name, dtype)


def _copy(mode: str, tensor: Tensor) -> Snapshot:
    rows, width = tensor.shape
    if mode == NONE:
        return Snapshot(snap.OPAQUE, Reason.WITHHELD.value, rows, None, 0)
    fits = rows * width * 8 <= MOST_BYTES
    data = tensor.taken() if fits else None
    path = (tensor.name,) if tensor.name else ()
    missing = None if fits else Reason.TOO_LARGE.value
    part = Part(path, tensor.dtype, tuple(tensor.array.shape[1:]), True, tensor.step, missing)
    return Snapshot(snap.TENSORS, (mode, (part,)), rows, (data,), len(data or b""))
