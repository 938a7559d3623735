"""Memory into which a device copies tensors while nobody waits for it."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from modelspan.instrumentation.recorder.snapshot import TENSORS, Kept, Snapshot
from modelspan.instrumentation.recorder.tensors import Part
from modelspan.instrumentation.torch.capture import part_of
from modelspan.instrumentation.torch.flatten import Found
from modelspan.semconv.attributes import MlCaptureUnreadableValues as Reason

SLOT_BYTES = 64 * 1024
"""Most bytes copied of one tensor."""
SLOTS = 64

Slot = torch.Tensor
Copied = tuple[Part, Slot | None, int]
"""A tensor, the slot that it is copied to, and its bytes; no slot if its values are not known."""


def rows_that_fit(parts: Sequence[Part], sizes: Sequence[int], rows: int) -> Kept | None:
    """None if all rows of each tensor fit into a slot, else every k-th row from a random one on. `sizes`: bytes of a row."""
    widest = max([size for part, size in zip(parts, sizes, strict=True) if part.per_row], default=0)
    step = -(-rows * widest // SLOT_BYTES)
    if step <= 1 or rows < 2:
        return None
    step = min(step, rows)
    return Kept(np.arange(random.randrange(step), rows, step), rows)


class Staging:
    """A fixed number of slots. What finds none free is not copied."""

    def __init__(self) -> None:
        self._free: deque[Slot] = deque()

    def use(self, memory: torch.Tensor) -> None:
        """Make slots of `memory`, bytes that are pinned for copies not to wait."""
        self._free.extend(memory[i : i + SLOT_BYTES] for i in range(0, len(memory), SLOT_BYTES))

    def copy(self, found: Found, rows: int, keep: Kept | None, device: torch.device) -> list[Copied]:
        """Begin to copy tensors of the processor and of a device, on its current stream."""
        parts = [(tensor, part_of(path, tensor, rows)) for path, tensor in found]
        return [
            self._copy(tensor, part, keep)
            if tensor.is_cpu or tensor.device == device
            else _unknown(part, Reason.DEVICE)
            for tensor, part in parts
        ]

    def _copy(self, tensor: torch.Tensor, part: Part, keep: Kept | None) -> Copied:
        if part.missing is None:
            source = tensor.detach()
            if keep is not None and part.per_row:
                source = source[
                    int(keep.rows[0]) :: int(keep.rows[1] - keep.rows[0]) if len(keep.rows) > 1 else keep.total
                ]
            if part.step > 1:
                source = source.reshape(len(source), -1)[:, :: part.step]
            if 0 < source.nbytes <= SLOT_BYTES and self._free:
                return self._begin(source, part)
        return _unknown(part, Reason.TOO_LARGE)

    def _begin(self, source: torch.Tensor, part: Part) -> Copied:
        try:
            slot = self._free.popleft()
        except IndexError:  # another thread took the last one
            return _unknown(part, Reason.TOO_LARGE)
        size = source.nbytes
        slot[:size].view(source.dtype).view(source.shape).copy_(source, non_blocking=True)
        return part, slot, size

    def read(self, copied: Sequence[Copied], mode: str, rows: int) -> Snapshot:
        """The snapshot of copies that are complete, whose slots are free then. `rows`: those that were copied."""
        payload = [None if slot is None else bytes(slot[:size].numpy().data) for _, slot, size in copied]
        self.release(copied)
        return Snapshot(
            TENSORS, (mode, tuple(part for part, _, _ in copied)), rows, payload, sum(s for _, _, s in copied)
        )

    def release(self, copied: Sequence[Copied]) -> None:
        """Make slots free whose copies are complete, or of no interest any more."""
        self._free.extend(slot for _, slot, _ in copied if slot is not None)


def _unknown(part: Part, reason: Reason) -> Copied:
    return part._replace(missing=part.missing or reason.value), None, 0


def pinned() -> Any:
    """Memory for `Staging`, pinned. Takes a while and may wait for the device: not for a caller."""
    return torch.empty(SLOTS * SLOT_BYTES, dtype=torch.uint8, pin_memory=True)
