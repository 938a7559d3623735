"""Calls on CUDA devices. The caller waits for nothing: the device copies what is recorded into pinned memory and marks
when the call began and ended, and the background thread reads both once they are there.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch

from modelspan.instrumentation.failure import attempt, failed
from modelspan.instrumentation.recorder.calls import CALL_BYTES, QUEUE_FULL, item_of
from modelspan.instrumentation.recorder.clock import perf_counter_ns
from modelspan.instrumentation.recorder.identity import identities
from modelspan.instrumentation.recorder.recorder import CAPTURE_FAILED, Recorder
from modelspan.instrumentation.recorder.scope import PredictionScope
from modelspan.instrumentation.recorder.snapshot import OPAQUE, UNKNOWN, Kept, Snapshot, Taken
from modelspan.instrumentation.recorder.tensors import NONE, VALUES
from modelspan.instrumentation.torch.capture import part_of, row_bytes, rows_of
from modelspan.instrumentation.torch.flatten import Found, in_result
from modelspan.instrumentation.torch.staging import Copied, Staging, pinned, rows_that_fit
from modelspan.semconv.attributes import MlCaptureUnreadableValues as Reason

_cuda: Any = torch.cuda  # without annotations


class Asked(NamedTuple):
    """What the caller knows of a call."""

    model: Any
    operation: str
    context: Any
    said: PredictionScope | None


class Begun(NamedTuple):
    """A call that the device works on."""

    asked: Asked
    rows: int
    keep: Kept | None
    x: list[Copied]
    device: torch.device
    began: Any
    ticks: int


class DeviceCalls:
    """Records calls with tensors on CUDA devices."""

    def __init__(self, recorder: Recorder, mode: str) -> None:
        self._recorder = recorder
        self._mode = mode
        self._staging = Staging()
        self._prepared = False

    def record(self, call: Callable[[], Any], asked: Asked, found: Found) -> Any:
        """Make a call whose input has tensors on a CUDA device, and leave its record to the background thread."""
        begun: Begun | None = None
        try:
            if not torch.cuda.is_current_stream_capturing():
                begun = self._begin(asked, found, next(tensor.device for _, tensor in found if tensor.is_cuda))
        except Exception as problem:
            failed("begin to record a call on a device", problem)
        if begun is None:
            return call()
        try:
            result = call()
        except Exception as error:
            attempt("record a call on a device", self._leave_error, begun, error)
            raise
        try:
            self._end(begun, result)
        except Exception as problem:
            failed("record a call on a device", problem)
            attempt("count a call on a device as lost", self._lose, begun, begun.x, CAPTURE_FAILED)
        return result

    def _begin(self, asked: Asked, found: Found, device: torch.device) -> Begun:
        if not self._prepared:
            self._prepared = self._recorder.submit(lambda: self._staging.use(pinned()))
        rows = rows_of(found)
        parts = [part_of(path, tensor, rows) for path, tensor in found]
        sizes = [row_bytes(part, tensor) for part, (_, tensor) in zip(parts, found, strict=True)]
        keep = None if self._mode == NONE else rows_that_fit(parts, sizes, rows)
        x = [] if self._mode == NONE else self._staging.copy(found, rows, keep, device)
        began = _cuda.Event(enable_timing=True)
        began.record(torch.cuda.current_stream(device))
        return Begun(asked, rows, keep, x, device, began, perf_counter_ns())

    def _end(self, begun: Begun, result: Any) -> None:
        stream = torch.cuda.current_stream(begun.device)
        ended, copied = _cuda.Event(enable_timing=True), _cuda.Event()
        ended.record(stream)
        y = self._staging.copy(in_result(result), begun.rows, begun.keep, begun.device)
        copied.record(stream)
        said, rows = begun.asked.said, Taken(Snapshot(OPAQUE, None, begun.rows, None, 0), begun.keep)
        ids = None if said is None else self._recorder.scoped_ids(said, rows, UNKNOWN)
        size = CALL_BYTES + sum(size for _, _, size in (*begun.x, *y))
        if not self._recorder.submit(partial(self._settle, begun, y, ended, copied, ids), size):
            self._lose(begun, [*begun.x, *y], QUEUE_FULL)

    def _lose(self, begun: Begun, copied: list[Copied], reason: str) -> None:
        # Not waited for: what is copied to these slots next comes after, on the same stream.
        self._staging.release(copied)
        self._recorder.queue.drop(identities.get(begun.asked.model), reason, max(begun.rows, 1))

    def _settle(self, begun: Begun, y: list[Copied], ended: Any, copied: Any, ids: Any) -> None:
        """In the background: wait for the device and leave the call as any other."""
        copied.synchronize()
        asked, keep = begun.asked, begun.keep
        kept = begun.rows if keep is None else len(keep.rows)
        nothing = Snapshot(OPAQUE, Reason.WITHHELD.value if self._mode == NONE else None, kept, None, 0)
        x = Taken(self._staging.read(begun.x, self._mode, kept) if begun.x else nothing, keep)
        output = self._staging.read(y, VALUES, kept) if y else UNKNOWN
        duration = int(begun.began.elapsed_time(ended) * 1e6)
        identity = identities.get(asked.model)
        left = (
            identity,
            asked.model,
            asked.operation,
            x,
            output,
            begun.ticks,
            duration,
            asked.context,
            asked.said,
            ids,
            None,
            1,
        )
        self._recorder.queue.put(item_of(left))

    def _leave_error(self, begun: Begun, error: Exception) -> None:
        """A call that raised: its input is not waited for, since the device may have failed."""
        duration = perf_counter_ns() - begun.ticks
        self._staging.release(begun.x)
        x = Taken(Snapshot(OPAQUE, None, begun.rows, None, 0), None)
        asked = begun.asked
        kind = type(error).__qualname__
        self._recorder.leave(
            asked.model, asked.operation, x, UNKNOWN, begun.ticks, duration, asked.context, asked.said, kind
        )
