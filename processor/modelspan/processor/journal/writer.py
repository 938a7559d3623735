"""Group commit: one thread writes whatever has gathered during the last commit in one transaction."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import deque

import lmdb

from modelspan.processor.journal.errors import JournalError, JournalFull, JournalUnavailable
from modelspan.processor.journal.operations import Append, Counters, Operation
from modelspan.processor.journal.tables import Tables

_logger = logging.getLogger(__name__)

_COMMIT_BYTES = 32 << 20
"""A transaction takes no further payload beyond this; it bounds the memory and the latency of one commit."""


class Writer:
    """Applies operations in the order of `submit` and resolves their futures after the transaction is on disk.

    An operation that cannot be written fails alone: its group is split until the others are through.
    """

    def __init__(self, tables: Tables, counters: Counters, readers: threading.Lock) -> None:
        """`readers` is held while a read transaction is open: the map can only grow without one."""
        self._tables = tables
        self._counters = counters
        self._readers = readers
        self._queue: deque[Operation] = deque()
        self._work = threading.Condition()
        self._stopping = False
        self._failing = False
        self._thread = threading.Thread(target=self._run, name="journal-writer", daemon=True)
        self._thread.start()

    def submit(self, operation: Operation) -> None:
        with self._work:
            if self._stopping:
                raise JournalUnavailable("the journal is closed")
            self._queue.append(operation)
            self._work.notify()

    def stop(self) -> None:
        """Write what was submitted, then end the thread."""
        with self._work:
            self._stopping = True
            self._work.notify()
        self._thread.join()

    def _run(self) -> None:
        while group := self._next_group():
            self._commit([operation for operation in group if self._starts(operation)])

    def _next_group(self) -> list[Operation]:
        """Waits for work; empty at the end."""
        group: list[Operation] = []
        with self._work:
            while not self._queue and not self._stopping:
                self._work.wait()
            size = 0
            while self._queue and (not group or size + self._queue[0].size <= _COMMIT_BYTES):
                group.append(self._queue.popleft())
                size += group[-1].size
        return group

    def _starts(self, operation: Operation) -> bool:
        """False where the caller has given up before anything was written."""
        if operation.future.set_running_or_notify_cancel():
            return True
        with self._counters.changed:
            operation.failed(self._counters)
        return False

    def _commit(self, group: list[Operation]) -> None:
        if not group:
            return
        try:
            results = self._write(group)
        except Exception:
            if len(group) == 1:
                self._retry(group[0])
                return
            middle = len(group) // 2
            self._commit(group[:middle])
            self._commit(group[middle:])
        else:
            self._succeed(group, results)

    def _write(self, group: list[Operation]) -> list[int]:
        with self._tables.write() as txn:
            return [operation.apply(txn) for operation in group]

    def _retry(self, operation: Operation) -> None:
        """Once more with all the room there is: a full journal must still delete, and take again what was deleted."""
        try:
            self._make_room(operation)
            results = self._write([operation])
        except Exception as error:
            self._fail(operation, error)
        else:
            self._succeed([operation], results)

    def _make_room(self, operation: Operation) -> None:
        with contextlib.suppress(lmdb.Error):
            self._tables.turn()
        if not isinstance(operation, Append):
            with self._readers:
                self._tables.grow()

    def _succeed(self, group: list[Operation], results: list[int]) -> None:
        with self._counters.changed:
            was_empty = not self._counters.ready
            for operation in group:
                operation.committed(self._counters)
            if was_empty:
                self._counters.changed.notify_all()
        for operation, result in zip(group, results, strict=True):
            operation.future.set_result(result)
        if self._failing:
            self._failing = False
            _logger.warning("the journal can be written again")

    def _fail(self, operation: Operation, error: Exception) -> None:
        explained = _explain(error)
        with self._counters.changed:
            operation.failed(self._counters)
            self._counters.refused = (time.monotonic(), str(explained))
        if not self._failing:
            self._failing = True
            _logger.error("the journal cannot be written; clients are told to send again", exc_info=error)
        operation.future.set_exception(explained)


def _explain(error: Exception) -> JournalError:
    if isinstance(error, lmdb.MapFullError):
        return JournalFull(f"no room in the file of the journal: {error}; let the store catch up")
    # LMDB calls a write that a full disk cut short an input/output error.
    return JournalUnavailable(f"the journal cannot be written: {error}; is its disk full?")
