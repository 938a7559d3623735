"""Copies of tensors, taken by the caller.

Copies, because copying is what can be trusted: 1 MiB takes about 40 µs, and a tensor that is kept to be read later may be changed until then
without a trace, through the NumPy array that shares its memory or in inference mode, where tensors have no version. The memory is read
directly: an operation of PyTorch would be seen by the program's profilers and modes, and `Tensor.numpy` keeps a
tensor from ever being resized.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from modelspan.instrumentation.recorder.snapshot import OPAQUE, TENSORS, Kept, Snapshot, Taken, rows_to_keep
from modelspan.instrumentation.recorder.strata import strata
from modelspan.instrumentation.recorder.tensors import NONE, VALUES, Part, Path, step_of
from modelspan.instrumentation.torch.flatten import Found
from modelspan.semconv.attributes import MlCaptureUnreadableValues as Reason

COPY_BYTES = 1024 * 1024
"""Bytes copied of the inputs of one call."""
OUTPUT_BYTES = 8 * COPY_BYTES
"""Bytes copied of its outputs. They are of the rows that were kept of the inputs; what does not fit is not known at all."""

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
    tensor = found[0][1]
    return int(tensor.size(0)) if tensor.dim() else 1


class Plan(NamedTuple):
    """How tensors of a type and shape are copied."""

    layout: Any
    rows: int
    size: int
    """Bytes."""
    memory_at: Callable[[int], Any]
    """Given an address: the memory of a tensor there."""


class Plans:
    """Copies the common input or output, one dense tensor of the usual kind, by what was found out about those like it."""

    def __init__(self, path: Path, mode: str) -> None:
        self._path = path
        self._mode = mode
        self._plans: dict[Any, Plan | None] = {}

    def sample(self, tensor: torch.Tensor, limit: int) -> Taken | None:
        """A copy of so many rows of a tensor as fit into `limit` bytes; None of one that takes more thought."""
        plan = self._plan_for(tensor)
        if plan is None or plan.rows < 2:
            return None
        keep = Kept(strata.sample(plan.rows, limit * plan.rows // plan.size or 1), plan.rows)
        copied = self._rows(tensor, plan, keep)
        return None if copied is None else Taken(copied, keep)

    def rows(self, tensor: torch.Tensor, keep: Kept) -> Snapshot | None:
        """A copy of the rows of a tensor that are kept; None of one that takes more thought."""
        plan = self._plan_for(tensor)
        return None if plan is None or plan.rows != keep.total else self._rows(tensor, plan, keep)

    def _rows(self, tensor: torch.Tensor, plan: Plan, keep: Kept) -> Snapshot | None:
        layout, rows, size, memory_at = plan
        address = address_of(tensor)
        if not address:
            return None
        table = np.frombuffer(memory_at(address), dtype=f"V{size // rows}")
        data = table.take(keep.rows).tobytes()
        return _new(Snapshot, (TENSORS, layout, len(keep.rows), (data,), len(data)))

    def _plan_for(self, tensor: torch.Tensor) -> Plan | None:
        """The plan of a tensor whose memory can be read from its first byte to its last."""
        try:
            key = tensor.dtype, tensor.shape
            plan = self._plans.get(key, _UNSEEN)
            if plan is _UNSEEN:
                plan = self._plan(key)
            return (
                plan if plan is not None and tensor.is_cpu and tensor.is_contiguous() and not tensor.is_neg() else None
            )
        except RuntimeError:  # sparse or nested: without such a shape, or without memory of its own
            return None

    def copy(self, tensor: torch.Tensor, limit: int) -> Snapshot | None:
        """A copy of the whole tensor; None of one of more than `limit` bytes, or that takes more thought. `_plan_for` is written
        out: it is the common case.
        """
        try:
            key = tensor.dtype, tensor.shape
            plan = self._plans.get(key, _UNSEEN)
            if plan is _UNSEEN:
                plan = self._plan(key)
            if plan is None or plan[2] > limit or not tensor.is_cpu or not tensor.is_contiguous() or tensor.is_neg():
                return None
            layout, rows, size, memory_at = plan
            address = tensor.data_ptr()
            return _new(Snapshot, (TENSORS, layout, rows, (memory_at(address).raw,), size)) if address else None
        except RuntimeError:  # sparse or nested: without such a shape, or without memory of its own
            return None

    def _plan(self, key: tuple[torch.dtype, torch.Size]) -> Plan | None:
        """The plan of tensors of a type and shape, if they can be copied whole."""
        if len(self._plans) > _MOST_PLANS:
            self._plans.clear()
        dtype, shape = key
        plan = None
        if dtype in _DTYPES and not dtype.is_complex:
            inner, size = tuple(shape[1:]), shape.numel() * dtype.itemsize
            part = Part(self._path, _DTYPES[dtype], inner, True, 1)
            if size and self._mode != NONE and step_of(_width(inner)) == 1:
                plan = Plan((self._mode, (part,)), shape[0] if shape else 1, size, _memory(size))
        self._plans[key] = plan
        return plan


_MOST_PLANS = 1000
_UNSEEN: Any = object()
_new = tuple.__new__


def _memory(size: int) -> Callable[[int], Any]:
    """What gives the memory at an address, whose `raw` is a copy: a fifth of the time that calling a function of C takes."""
    return (ctypes.c_char * size).from_address


def copy_input(found: Found, mode: str, limit: int, most: int = COPY_BYTES) -> Taken:
    """Copies of the tensors of an input, or of so many of their rows as fit into `limit` bytes. What is beyond `most` is not copied."""
    rows = rows_of(found)
    if mode == NONE or rows < 0:
        return Taken(Snapshot(OPAQUE, Reason.WITHHELD.value if found else None, rows, None, 0), None)
    parts = [part_of(path, tensor, rows) for path, tensor in found]
    taken = sum(row_bytes(part, tensor) for part, (_, tensor) in zip(parts, found, strict=True) if part.per_row)
    kept = rows_to_keep(rows, taken, limit)
    keep = None if kept is None else Kept(kept, rows)
    return Taken(_snapshot(parts, found, mode, rows, keep, most), keep)


def copy_output(found: Found, rows: int, keep: Kept | None) -> Snapshot:
    """Copies of the tensors of an output, the rows that were kept of the input. `rows` are those of the input, -1 if unknown."""
    if rows < 0:
        rows = rows_of(found) if found else 1
    parts = [part_of(path, tensor, rows) for path, tensor in found]
    return _snapshot(parts, found, VALUES, rows, keep, OUTPUT_BYTES)


def part_of(path: Path, tensor: torch.Tensor, rows: int) -> Part:
    """What is recorded of a tensor, of an input with so many rows."""
    shape = (int(tensor.size(0)),) if tensor.is_nested else tuple(tensor.shape)
    per_row = (bool(shape) and shape[0] == rows) or (not shape and rows == 1)
    inner = shape[1:] if per_row else shape
    dtype = _DTYPES.get(tensor.dtype)
    missing = Reason.UNKNOWN_TYPE.value if dtype is None else _why_unreadable(tensor)
    step = step_of(_width(inner)) if missing is None and per_row and _dense(tensor) is not None else 1
    return Part(path, dtype or str(tensor.dtype).removeprefix("torch."), inner, per_row, step, missing)


def _why_unreadable(tensor: torch.Tensor) -> str | None:
    """Why the memory of a tensor cannot be read; None where it can."""
    if type(tensor) not in _PLAIN or tensor.layout is not torch.strided or tensor.is_nested:
        return Reason.UNKNOWN_TYPE.value
    if not (tensor.is_cpu or tensor.is_cuda):
        return Reason.DEVICE.value
    unread = tensor.is_conj() or tensor.is_neg() or (tensor.numel() > 0 and not address_of(tensor))
    return Reason.UNKNOWN_TYPE.value if unread else None


def address_of(tensor: torch.Tensor) -> int:
    """Where the memory of a tensor begins; 0 of one that has none, as in oneDNN's layout, or whose memory was freed."""
    try:
        return int(tensor.data_ptr())
    except RuntimeError:
        return 0


def _dense(tensor: torch.Tensor) -> torch.Tensor | None:
    """The tensor with its dimensions in the order of its memory, None if rows do not lie one after the other there."""
    if tensor.is_contiguous():
        return tensor
    if tensor.dim() == 4 and tensor.is_contiguous(memory_format=torch.channels_last):
        return tensor.detach().permute(0, 2, 3, 1)
    return None


def _width(shape: Sequence[int]) -> int:
    width = 1
    for size in shape:
        width *= size
    return width


def row_bytes(part: Part, tensor: torch.Tensor) -> int:
    """Bytes that are copied of a row."""
    return -(-_width(part.shape) // part.step) * tensor.itemsize if part.missing is None else 0


def _snapshot(parts: list[Part], found: Found, mode: str, rows: int, keep: Kept | None, most: int) -> Snapshot:
    payload: list[bytes | None] = []
    size = 0
    for i, part in enumerate(parts):
        kept = keep.rows if keep is not None and part.per_row else None
        count = (rows if kept is None else len(kept)) if part.per_row else 1
        data, tensor = None, found[i][1]
        if part.missing is None and not tensor.is_cpu:
            parts[i] = part._replace(missing=Reason.DEVICE.value)
        elif part.missing is None and size + count * row_bytes(part, tensor) > most:
            parts[i] = part._replace(missing=Reason.TOO_LARGE.value)
        elif part.missing is None:
            data = _bytes(tensor, part, kept)
            size += len(data)
        payload.append(data)
    return Snapshot(TENSORS, (mode, tuple(parts)), rows if keep is None else len(keep.rows), payload, size)


def _bytes(tensor: torch.Tensor, part: Part, kept: Any) -> bytes:
    if part.step > 1:
        dense = _dense(tensor)
        tensor = tensor if dense is None else dense
    elif not tensor.is_contiguous():
        tensor = tensor.detach()
        tensor = tensor.contiguous() if kept is None else tensor[torch.from_numpy(kept)].contiguous()
        kept = None
    size = tensor.nbytes
    if size == 0:
        return b""
    if kept is None and part.step == 1:
        whole: bytes = _memory(size)(tensor.data_ptr()).raw
        return whole
    # Read before `tensor` goes.
    memory = _memory(size)(tensor.data_ptr())
    values = np.frombuffer(memory, dtype=f"V{tensor.itemsize}")
    table = values.reshape(tensor.shape[0] if tensor.dim() else 1, -1)[:, :: part.step]
    chosen: bytes = (table if kept is None else table[kept]).tobytes()
    return chosen
