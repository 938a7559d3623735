"""The three changes of a journal: what each does to the tables, and to the counters once it is durable."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from dataclasses import dataclass, field
from math import inf
from typing import Protocol

from modelspan.processor.journal.records import Signal
from modelspan.processor.journal.tables import WriteTransaction


@dataclass(slots=True)
class Counters:
    """What is in the journal, guarded by `changed`.

    `requests` and `size` (bytes) count everything that is not completed, with what waits for its commit;
    `ready` and `ready_size` only what is durable and not claimed.
    """

    requests: int = 0
    size: int = 0
    ready: int = 0
    ready_size: int = 0
    refused: tuple[float, str] = (-inf, "")
    """Time (monotonic clock) and reason of the last refused request."""
    changed: threading.Condition = field(default_factory=threading.Condition)


class Operation(Protocol):
    """A change that waits for its commit; `future` hears how it ended."""

    future: Future[int]
    size: int

    def apply(self, txn: WriteTransaction) -> int: ...

    def committed(self, counters: Counters) -> None: ...

    def failed(self, counters: Counters) -> None: ...


class Append:
    """Store a payload; the result is its sequence."""

    __slots__ = ("future", "payload", "signal", "size")

    def __init__(self, signal: Signal, payload: bytes) -> None:
        self.signal = signal
        self.payload = payload
        self.size = len(payload)
        self.future: Future[int] = Future()

    def apply(self, txn: WriteTransaction) -> int:
        return txn.append(self.signal, self.payload)

    def committed(self, counters: Counters) -> None:
        counters.ready += 1
        counters.ready_size += self.size

    def failed(self, counters: Counters) -> None:
        counters.requests -= 1
        counters.size -= self.size


class _Range:
    """A change of the records from `first` to `last`: `requests` records with `bytes` bytes of payload."""

    __slots__ = ("bytes", "first", "future", "last", "requests", "size")

    def __init__(self, first: int, last: int, *, requests: int, size: int) -> None:
        self.first = first
        self.last = last
        self.requests = requests
        self.bytes = size
        self.size = 0  # of the transaction: a range costs next to nothing
        self.future: Future[int] = Future()

    def failed(self, counters: Counters) -> None:
        """Nothing was counted yet."""


class Claim(_Range):
    """Make the limits of a block durable; the result is the last sequence."""

    def apply(self, txn: WriteTransaction) -> int:
        txn.claim(self.first, self.last)
        return self.last

    def committed(self, counters: Counters) -> None:
        counters.ready -= self.requests
        counters.ready_size -= self.bytes


class Complete(_Range):
    """Delete a block and its claim; the result is the last sequence."""

    def apply(self, txn: WriteTransaction) -> int:
        txn.complete(self.first, self.last)
        return self.last

    def committed(self, counters: Counters) -> None:
        counters.requests -= self.requests
        counters.size -= self.bytes
