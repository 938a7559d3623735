"""Group commit: one thread writes whatever has gathered during the last commit in one transaction."""

from __future__ import annotations

import errno
import logging
import threading
from collections import deque

import lmdb

from modelspan.processor.journal.errors import JournalError, JournalFull, JournalUnavailable
from modelspan.processor.journal.operations import Complete, Counters, Operation
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
            with self._tables.write() as txn:
                results = [operation.apply(txn) for operation in group]
        except Exception as error:
            self._recover(group, error)
            return
        with self._counters.changed:
            was_empty = not self._counters.ready
            for operation in group:
                operation.committed(self._counters)
            if was_empty:
                self._counters.changed.notify_all()
        for operation, result in zip(group, results, strict=True):
            operation.future.set_result(result)

    def _recover(self, group: list[Operation], error: Exception) -> None:
        if len(group) > 1:
            middle = len(group) // 2
            self._commit(group[:middle])
            self._commit(group[middle:])
        elif isinstance(error, lmdb.MapFullError) and isinstance(group[0], Complete):
            with self._readers:
                self._tables.grow()
            self._commit(group)
        else:
            with self._counters.changed:
                group[0].failed(self._counters)
            group[0].future.set_exception(_explain(error))


def _explain(error: Exception) -> JournalError:
    if isinstance(error, lmdb.MapFullError) or (isinstance(error, lmdb.Error) and error.code == errno.ENOSPC):
        return JournalFull(f"no room on disk for the journal: {error}; free some space or let the store catch up")
    _logger.error("the journal cannot be written", exc_info=error)
    return JournalUnavailable(f"the journal cannot be written: {error}")
