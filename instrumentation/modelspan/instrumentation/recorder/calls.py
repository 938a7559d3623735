"""One recorded call, and the bounded queue in which calls wait for the background thread."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from opentelemetry.context import Context

from modelspan.instrumentation.recorder.identity import Identity
from modelspan.instrumentation.recorder.scope import PredictionScope
from modelspan.instrumentation.recorder.snapshot import Kept, Snapshot


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


Task = Callable[[], None]
"""Other work of the background thread, in the order in which it was asked for."""


class CallQueue:
    """Calls in their order, bounded by number and bytes. What does not fit is dropped and its rows are counted.

    Appending takes no lock: the bytes are a sum that two threads may corrupt by a call, and that is set right each time the
    queue runs empty.
    """

    def __init__(self, most_calls: int, most_bytes: int, wake: Callable[[], None]) -> None:
        self.most_calls = most_calls
        self.most_bytes = most_bytes
        self.bytes = 0
        self._items: deque[tuple[Call | Task, int]] = deque()
        self._wake = wake
        self._wake_calls = min(2048, max(1, most_calls // 4))
        self._wake_bytes = min(2 * 1024 * 1024, max(1, most_bytes // 4))
        self._lock = threading.Lock()
        self._dropped: Counter[tuple[Identity, str]] = Counter()

    def __len__(self) -> int:
        return len(self._items)

    def put(self, call: Call, size: int) -> None:
        """Append a call, or drop it."""
        waiting = len(self._items)
        if waiting >= self.most_calls or self.bytes + size > self.most_bytes:
            self.drop(call.identity, QUEUE_FULL, call.rows)
            return
        self._items.append((call, size))
        self.bytes += size
        if waiting >= self._wake_calls or self.bytes >= self._wake_bytes:
            self._wake()

    def put_task(self, task: Task, size: int = 1000) -> bool:
        """Append other work of about `size` bytes; False if the queue is full."""
        if len(self._items) >= self.most_calls or self.bytes + size > self.most_bytes:
            return False
        self._items.append((task, size))
        self.bytes += size
        return True

    def take(self, most_calls: int = 4096, most_bytes: int = 4 * 1024 * 1024) -> list[Call | Task]:
        """Remove and return the oldest items, at least one if there is one."""
        taken: list[Call | Task] = []
        size = 0
        while self._items and len(taken) < most_calls and size < most_bytes:
            item, item_size = self._items.popleft()
            taken.append(item)
            size += item_size
        self.bytes = self.bytes - size if self._items else 0
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


QUEUE_FULL = "queue_full"
