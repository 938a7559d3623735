"""One recorded call, and the bounded queue in which calls wait for the background thread."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from opentelemetry.context import Context

from modelspan.instrumentation.recorder.identity import Identity
from modelspan.instrumentation.recorder.scope import PredictionScope
from modelspan.instrumentation.recorder.snapshot import SEQUENCE, UNKNOWN, Kept, Raw, Snapshot, Taken, finish


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
    calls: int
    """Calls that it stands for: itself, and those left out before it."""


Plain = tuple[
    Identity,
    str,
    Any,
    tuple[int, ...],
    Any,
    tuple[int, ...],
    Any,
    Any,
    bytes,
    bytes,
    int,
    int,
    Context,
    int,
    int,
]
"""The common call, as the caller leaves it: of one array or frame of one type, to one array, without error and outside of
`prediction_context`. Identity, operation, dtype and shape of the input, dtype and shape of the output, column names or None,
model, bytes of the input, bytes of the output, the processor's ticks at its start, duration, context, calls that it stands for, bytes in the queue.
Flat, because each further object costs the caller, and the first ones in a row are what calls of one kind share."""

PLAIN = 15
"""Length of `Plain`, by which it is told from what else waits."""

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
    int,
]
"""Any other call as the caller leaves it: the fields of Call without `rows` and `keep`, with ticks for its start."""


def shapes(x: Raw | Taken, y: Raw | Snapshot) -> tuple[Snapshot, Kept | None, Snapshot, int]:
    """Snapshots of input and output, the rows kept of them, and how many the call had."""
    taken, keep = x if isinstance(x, Taken) else (finish(x), None)
    result = y if isinstance(y, Snapshot) else finish(y)
    if keep is not None:
        return taken, keep, result, keep.total
    if result.kind == SEQUENCE and result.rows < 0:  # one value, which is the prediction for one row
        result = result._replace(rows=1) if taken.rows in (-1, 1) else UNKNOWN
    known = next((rows for rows in (result.rows, taken.rows) if rows >= 0), 1)
    return taken, None, result, known


def item_of(left: Left) -> Item:
    """A call as it waits in the queue."""
    identity, model, operation, x, y, ticks, duration, context, said, _, error, calls = left
    if not isinstance(x, Taken) and not isinstance(y, Snapshot) and said is None and error is None:
        (xd, xs, x_data, names), (yd, ys, y_data, _) = x, y
        size = CALL_BYTES + len(x_data) + len(y_data)
        return identity, operation, xd, xs, yd, ys, names, model, x_data, y_data, ticks, duration, context, calls, size
    a, _, b, _ = shapes(x, y)
    return left, CALL_BYTES + a.size + b.size


def receive(item: Item, clock: int) -> Call:
    """The call that was left. `clock` is what to add to ticks to make them nanoseconds since 1970."""
    identity, model, operation, x, y, ticks, duration, context, said, ids, error, calls = _left(item)
    a, keep, b, rows = shapes(x, y)
    return _new(
        Call, (identity, model, operation, a, b, rows, keep, ticks + clock, duration, context, said, ids, error, calls)
    )


def _left(item: Any) -> Left:
    if len(item) != PLAIN:
        left: Left = item[0]
        return left
    identity, operation, xd, xs, yd, ys, names, model, x_data, y_data, ticks, duration, context, calls, _ = item
    x, y = (xd, xs, x_data, names), (yd, ys, y_data, None)
    return identity, model, operation, x, y, ticks, duration, context, None, None, None, calls


_new = tuple.__new__

Task = Callable[[], None]
"""Other work of the background thread, in the order in which it was asked for."""

Item = Plain | tuple[Left | Task, int]
"""What waits in the queue; the last of each is its size in bytes."""


class LeftOut(NamedTuple):
    """A call that is counted and not recorded."""

    identity: Identity
    model: Any
    operation: str
    rows: int
    duration: int


class CallQueue:
    """Calls in their order, bounded by number and bytes. What does not fit is dropped and its rows are counted.

    Appending takes no lock: the bytes are a sum that two threads may corrupt by a call, and that is set right each time the
    queue runs empty. Below `wake_bytes` a caller may append a `Plain` to `items` and add to `bytes` by itself. The object is one
    and the same as long as the recorder, so that callers can hold it.
    """

    __slots__ = (
        "_dropped",
        "_lock",
        "_wake",
        "bytes",
        "items",
        "left_out",
        "most_bytes",
        "most_calls",
        "plain_bytes",
        "wake_bytes",
    )

    def __init__(self, most_calls: int, most_bytes: int, wake: Callable[[], None]) -> None:
        self.plain_bytes = -1
        """Size of arrays up to which the caller copies them itself; -1 while nothing is recorded, or no features."""
        self.most_calls = most_calls
        self.most_bytes = most_bytes
        # A call takes CALL_BYTES at least, so that this bounds their number, too.
        self.wake_bytes = min(2 * 1024 * 1024, max(1, most_bytes // 4), max(1, most_calls // 4) * CALL_BYTES)
        self._wake = wake
        """Tells the background thread that much waits."""
        self.start_over()

    def start_over(self) -> None:
        """Forget what waits, as a forked process does."""
        self.bytes = 0
        self.items: deque[Item] = deque()
        self.left_out: deque[LeftOut] = deque()
        self._lock = threading.RLock()  # a handler of a signal may predict while its thread drops a call
        self._dropped: Counter[tuple[Identity, str]] = Counter()

    def __len__(self) -> int:
        return len(self.items)

    def put(self, item: Item) -> None:
        """Append a call, or drop it."""
        size = item[-1]
        if len(self.items) >= self.most_calls or self.bytes + size > self.most_bytes:
            call = receive(item, 0)
            self.drop(call.identity, QUEUE_FULL, call.rows)
            return
        self.items.append(item)
        self.bytes += size
        if self.bytes >= self.wake_bytes:
            self._wake()

    def put_left_out(self, call: LeftOut) -> None:
        """Append a call that is only counted, or drop it."""
        waiting = len(self.left_out)
        if waiting >= self.most_calls:
            self.drop(call.identity, QUEUE_FULL, call.rows)
            return
        self.left_out.append(call)
        if waiting >= self.most_calls // 4:
            self._wake()

    def take_left_out(self) -> list[LeftOut]:
        """Remove and return the calls that are only counted."""
        return [self.left_out.popleft() for _ in range(len(self.left_out))]

    def put_task(self, task: Task, size: int = 1000) -> bool:
        """Append other work of about `size` bytes; False if the queue is full."""
        if len(self.items) >= self.most_calls or self.bytes + size > self.most_bytes:
            return False
        self.items.append((task, size))
        self.bytes += size
        if self.bytes >= self.wake_bytes:
            self._wake()
        return True

    def take(self, most_calls: int = 4096, most_bytes: int = 2 * 1024 * 1024) -> list[Item]:
        """Remove and return the oldest items, at least one if there is one."""
        taken: list[Item] = []
        size = 0
        items = self.items
        while items and len(taken) < most_calls and size < most_bytes:
            item = items.popleft()
            taken.append(item)
            size += item[-1]
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
