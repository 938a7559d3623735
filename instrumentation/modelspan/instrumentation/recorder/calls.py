"""One recorded call, and the bounded queue in which calls wait for the background thread."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from opentelemetry.context import Context

from modelspan.instrumentation.recorder.identity import Identity
from modelspan.instrumentation.recorder.scope import PredictionScope
from modelspan.instrumentation.recorder.snapshot import Kept, Raw, Snapshot, Taken, finish


class Call(NamedTuple):
    """What the caller leaves for the background thread."""

    identity: Identity
    model: Any
    operation: str
    x: Snapshot
    y: Snapshot
    rows: int
    """Rows of the call; more than were captured where `keep` names those."""
    keep: Kept | None
    started: int
    """Nanoseconds since 1970."""
    duration: int
    """Nanoseconds."""
    context: Context
    scope: PredictionScope | None
    ids: Sequence[str] | None
    error: str | None


Left = tuple[
    Identity,
    Any,
    str,
    Raw | Taken,
    Raw | Snapshot,
    int,
    int,
    Context,
    PredictionScope | None,
    Sequence[str] | None,
    str | None,
]
"""A call as the caller leaves it: the fields of Call without `rows` and `keep`, with the processor's ticks for its start."""


def shapes(x: Raw | Taken, y: Raw | Snapshot) -> tuple[Snapshot, Kept | None, Snapshot, int]:
    """Snapshots of input and output, the rows kept of them, and how many the call had."""
    taken, keep = x if isinstance(x, Taken) else (finish(x), None)
    result = y if isinstance(y, Snapshot) else finish(y)
    if keep is not None:
        return taken, keep, result, keep.total
    return taken, None, result, result.rows if result.rows >= 0 else max(taken.rows, 1)


def receive(left: Left, clock: int) -> Call:
    """The call that was left. `clock` is what to add to ticks to make them nanoseconds since 1970."""
    identity, model, operation, x, y, ticks, duration, context, said, ids, error = left
    a, keep, b, rows = shapes(x, y)
    return _new(
        Call, (identity, model, operation, a, b, rows, keep, ticks + clock, duration, context, said, ids, error)
    )


_new = tuple.__new__

Task = Callable[[], None]
"""Other work of the background thread, in the order in which it was asked for."""


class CallQueue:
    """Calls in their order, bounded by number and bytes. What does not fit is dropped and its rows are counted.

    Appending takes no lock: the bytes are a sum that two threads may corrupt by a call, and that is set right each time the
    queue runs empty. Below `wake_calls` and `wake_bytes` a caller may append to `items` and add to `bytes` by itself.
    """

    def __init__(self, most_calls: int, most_bytes: int, wake: threading.Event) -> None:
        self.most_calls = most_calls
        self.most_bytes = most_bytes
        self.bytes = 0
        self.items: deque[tuple[Left | Task, int]] = deque()
        self._wake = wake
        self.wake_calls = min(2048, max(1, most_calls // 4))
        self.wake_bytes = min(2 * 1024 * 1024, max(1, most_bytes // 4))
        self._lock = threading.Lock()
        self._dropped: Counter[tuple[Identity, str]] = Counter()

    def __len__(self) -> int:
        return len(self.items)

    def put(self, call: Left) -> None:
        """Append a call, or drop it."""
        x, y = call[3], call[4]
        size = CALL_BYTES + (len(x[2]) if len(x) == 3 else x.snapshot.size) + (len(y[2]) if len(y) == 3 else y.size)
        waiting = len(self.items)
        if waiting >= self.most_calls or self.bytes + size > self.most_bytes:
            self.drop(call[0], QUEUE_FULL, shapes(call[3], call[4])[3])
            return
        self.items.append((call, size))
        self.bytes += size
        if (waiting >= self.wake_calls or self.bytes >= self.wake_bytes) and not self._wake.is_set():
            self._wake.set()

    def put_task(self, task: Task, size: int = 1000) -> bool:
        """Append other work of about `size` bytes; False if the queue is full."""
        if len(self.items) >= self.most_calls or self.bytes + size > self.most_bytes:
            return False
        self.items.append((task, size))
        self.bytes += size
        return True

    def take(self, most_calls: int = 4096, most_bytes: int = 4 * 1024 * 1024) -> list[Call | Task]:
        """Remove and return the oldest items, at least one if there is one."""
        taken: list[Call | Task] = []
        size = 0
        clock = time.time_ns() - time.perf_counter_ns()
        while self.items and len(taken) < most_calls and size < most_bytes:
            item, item_size = self.items.popleft()
            taken.append(receive(item, clock) if type(item) is tuple else item)  # type: ignore[arg-type]  # not a Task
            size += item_size
        self.bytes = self.bytes - size if self.items else 0
        return taken

    def drop(self, identity: Identity, reason: str, rows: int) -> None:
        """Count rows that are lost."""
        with self._lock:
            self._dropped[identity, reason] += rows

    def take_dropped(self) -> Counter[tuple[Identity, str]]:
        """Rows lost since the last time this was asked, by model and reason."""
        with self._lock:
            dropped, self._dropped = self._dropped, Counter()
        return dropped


CALL_BYTES = 500
"""Bytes of a call beside its arrays."""
QUEUE_FULL = "queue_full"
