"""Copies of tensors, taken by the caller.

Copies, because copying is what can be trusted: 1 MiB takes about 40 µs, and a tensor that is kept to be read later may be changed until then
without a trace, through the NumPy array that shares its memory or in inference mode, where tensors have no version. The memory is read
directly: an operation of PyTorch would be seen by the program's profilers and modes, and `Tensor.numpy` keeps a
tensor from ever being resized.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from modelspan.instrumentation.recorder.snapshot import OPAQUE, Kept, Snapshot, Taken, rows_to_keep
from modelspan.instrumentation.recorder.tensors import NONE, TENSORS, Part, step_of
from modelspan.instrumentation.torch.flatten import Found

COPY_BYTES = 1024 * 1024
"""Bytes copied of the inputs, and of the outputs, of one call."""

_PLAIN = frozenset((torch.Tensor, torch.nn.Parameter, torch.nn.Buffer))
_DTYPES = {
    getattr(torch, name): name
    for name in (
        [
            "float64",
            "float32",
            "float16",
            "bfloat16",
            "complex128",
            "complex64",
            "int64",
            "int32",
            "int16",
            "int8",
            "uint64",
            "uint32",
            "uint16",
            "uint8",
            "bool",
        ]
    )
}
"""Of which the numbers can be read; by their names in NumPy, beside bfloat16."""


def rows_of(found: Found) -> int:
    """The first dimension of the first tensor; 1 if it has none; -1 without tensors."""
    if not found:
        return -1
    shape = found[0][1].shape
    return int(shape[0]) if len(shape) else 1


def copy_input(found: Found, mode: str, limit: int) -> Taken:
    """Copies of the tensors of an input, or of so many of their rows as fit into `limit` bytes."""
    rows = rows_of(found)
    if mode == NONE or rows < 0:
        return Taken(Snapshot(OPAQUE, None, rows, None, 0), None)
    parts = [_part(path, tensor, rows) for path, tensor in found]
    taken = sum(_row_bytes(part, tensor) for part, (_, tensor) in zip(parts, found, strict=True) if part.per_row)
    kept = rows_to_keep(rows, taken, limit)
    keep = None if kept is None else Kept(kept, rows)
    return Taken(_snapshot(parts, found, mode, rows, keep, limit), keep)


def copy_output(found: Found, mode: str, rows: int, keep: Kept | None, limit: int) -> Snapshot:
    """Copies of the tensors of an output, the rows that were kept of the input. `rows` are those of the input, -1 if unknown."""
    known = rows >= 0
    if not known:
        rows = max(rows_of(found), 1) if not found or not found[0][1].shape else rows_of(found)
    parts = [_part(path, tensor, rows) for path, tensor in found]
    return _snapshot(parts, found, mode, rows, keep, limit)


def _part(path: Any, tensor: torch.Tensor, rows: int) -> Part:
    shape = tuple(tensor.shape)
    per_row = (bool(shape) and shape[0] == rows) or (not shape and rows == 1)
    inner = shape[1:] if per_row else shape
    dtype = _DTYPES.get(tensor.dtype)
    known = dtype is not None and _is_readable(tensor)
    step = step_of(_width(inner)) if known and per_row and tensor.is_contiguous() else 1
    return Part(path, dtype or str(tensor.dtype).removeprefix("torch."), inner, per_row, step, known)


def _is_readable(tensor: torch.Tensor) -> bool:
    return (
        type(tensor) in _PLAIN
        and tensor.layout is torch.strided
        and tensor.is_cpu
        and not tensor.is_conj()
        and not tensor.is_neg()
    )


def _width(shape: Sequence[int]) -> int:
    width = 1
    for size in shape:
        width *= size
    return width


def _row_bytes(part: Part, tensor: torch.Tensor) -> int:
    return -(-_width(part.shape) // part.step) * tensor.itemsize if part.known else 0


def _snapshot(parts: list[Part], found: Found, mode: str, rows: int, keep: Kept | None, limit: int) -> Snapshot:
    payload: list[bytes | None] = []
    size = 0
    for i, part in enumerate(parts):
        kept = keep.rows if keep is not None and part.per_row else None
        count = (rows if kept is None else len(kept)) if part.per_row else 1
        data = None
        if part.known and size + count * _row_bytes(part, found[i][1]) <= limit:
            data = _bytes(found[i][1], part, kept)
            size += len(data)
        elif part.known:
            parts[i] = part._replace(known=False)
        payload.append(data)
    return Snapshot(TENSORS, (mode, tuple(parts)), rows if keep is None else len(keep.rows), payload, size)


def _bytes(tensor: torch.Tensor, part: Part, kept: Any) -> bytes:
    if not tensor.is_contiguous():
        tensor = tensor.detach()
        tensor = tensor.contiguous() if kept is None else tensor[torch.from_numpy(kept)].contiguous()
        kept = None
    size = tensor.nbytes
    if size == 0:
        return b""
    if kept is None and part.step == 1:
        return ctypes.string_at(tensor.data_ptr(), size)
    # Read before `tensor` goes.
    memory = np.frombuffer((ctypes.c_char * size).from_address(tensor.data_ptr()), dtype=f"V{tensor.itemsize}")
    table = memory.reshape(tensor.shape[0] if tensor.dim() else 1, -1)[:, :: part.step]
    return (table if kept is None else table[kept]).tobytes()
