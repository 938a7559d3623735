"""Slots into which a device copies. Here the processor stands in for the device: it copies at once."""

from __future__ import annotations

import torch

from modelspan.instrumentation.recorder.tensors import SUMMARY
from modelspan.instrumentation.torch.capture import part_of
from modelspan.instrumentation.torch.flatten import Found
from modelspan.instrumentation.torch.staging import SLOT_BYTES, Staging, rows_that_fit

CPU = torch.device("cpu")


def staging(slots: int) -> Staging:
    made = Staging()
    made.use(torch.empty(slots * SLOT_BYTES, dtype=torch.uint8))
    return made


def found(*tensors: torch.Tensor) -> Found:
    return [((i,), tensor) for i, tensor in enumerate(tensors)]


def test_what_was_copied_is_read_and_its_slot_used_again() -> None:
    slots = staging(1)
    for value in range(3):
        tensor = torch.full((4, 3), float(value), dtype=torch.bfloat16)
        copied = slots.copy(found(tensor), 4, None, CPU)
        snapshot = slots.read(copied, SUMMARY, 4)
        assert snapshot.payload == [bytes(tensor.view(torch.uint8).numpy())]
        assert snapshot.rows == 4


def test_without_a_free_slot_the_shape_alone_is_known() -> None:
    slots = staging(1)
    copied = slots.copy(found(torch.ones(4, 3), torch.ones(4, 2)), 4, None, CPU)
    assert [part.missing for part, _, _ in copied] == [None, "too_large"]
    assert slots.read(copied, SUMMARY, 4).payload[1] is None


def test_rows_are_taken_at_equal_distances_so_that_they_fit() -> None:
    tensor = torch.arange(40_000, dtype=torch.float32).reshape(4000, 10)
    part = part_of((0,), tensor, 4000)
    keep = rows_that_fit([part], [40], 4000)
    assert keep is not None
    assert len(keep.rows) * 40 <= SLOT_BYTES
    slots = staging(1)
    snapshot = slots.read(slots.copy(found(tensor), 4000, keep, CPU), SUMMARY, len(keep.rows))
    assert snapshot.payload == [tensor[torch.from_numpy(keep.rows)].numpy().tobytes()]


def test_tensors_of_another_device_are_left() -> None:
    slots = staging(2)
    copied = slots.copy(found(torch.ones(2, 2, device="meta")), 2, None, CPU)
    assert [part.missing for part, _, _ in copied] == ["device"]
