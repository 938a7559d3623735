"""The public face of the journal: append, take a block, complete it."""

from __future__ import annotations

import threading
import time
from collections import deque
from concurrent.futures import Future
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import lmdb

from modelspan.processor.journal.check import check
from modelspan.processor.journal.errors import JournalFull, JournalTooSmall, JournalUnavailable
from modelspan.processor.journal.lock import DirectoryLock
from modelspan.processor.journal.operations import Append, Claim, Complete, Counters
from modelspan.processor.journal.records import Block, Record, Signal
from modelspan.processor.journal.tables import Tables
from modelspan.processor.journal.writer import Writer

_SPARE = 1 << 30
_LAST = (1 << 64) - 1
_POLL = 0.02
_FRESH = 30.0
"""Seconds for which a refusal says how things are."""


class Journal:
    """A durable queue of raw requests. All methods may be called from any thread.

    Whatever `append` has acknowledged is handed out by `next_block` until it is completed, across crashes and loss of
    power. A block whose limits are durable is handed out with the same limits and the same token after a crash, before
    anything newer, so that whoever stores it can recognise a repetition. Several blocks may be in flight at once.
    """

    def __init__(self, path: Path, *, max_bytes: int, map_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._lock = DirectoryLock(path)
        try:
            check(path, map_bytes)
            self._tables = Tables(path, map_bytes)
        except BaseException:
            self._lock.release()
            raise
        self._counters = Counters()
        self._counters.requests, self._counters.size = self._tables.sizes()
        self._repeat = deque(self._tables.claims())
        self._unclaimed = max((last for _, last in self._repeat), default=0) + 1
        self._counters.ready, self._counters.ready_size = self._tables.sizes(self._unclaimed)
        self._taking = threading.Lock()
        self._reading = threading.Lock()
        self._closing = threading.Event()
        self._writer = Writer(self._tables, self._counters, self._reading)

    @classmethod
    def open(cls, path: Path, *, max_bytes: int = 4 << 30, map_bytes: int | None = None) -> Journal:
        """Open the journal in the directory `path`, or make a new one.

        Args:
            path: directory of its own on a local disk; made, readable only by its owner, where missing.
            max_bytes: payload bytes that may wait for the store.
            map_bytes: largest size of the file. Payloads fill whole pages of 4 KiB and freed pages are not always
                used at once, so the default leaves three times `max_bytes` and 1 GiB.

        Raises:
            JournalInUse: another live process has it open.
            JournalDamaged: its file is cut short or overwritten.
            JournalUnavailable: it cannot be read.
        """
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            return cls(path, max_bytes=max_bytes, map_bytes=map_bytes or 3 * max_bytes + _SPARE)
        except OSError as error:
            raise JournalUnavailable(f"cannot open the journal in {path}: {error}") from error

    @property
    def identity(self) -> str:
        """Random, given once to every new journal: the first part of its tokens."""
        return self._tables.identity

    @property
    def backlog(self) -> tuple[int, int]:
        """Requests, and bytes of their payloads, that are not completed."""
        with self._counters.changed:
            return self._counters.requests, self._counters.size

    @property
    def refusal(self) -> str | None:
        """Why a request was refused within the last seconds; None when none was."""
        with self._counters.changed:
            at, reason = self._counters.refused
        return reason if time.monotonic() - at < _FRESH else None

    def append(self, signal: Signal, payload: bytes) -> Future[int]:
        """Store one request. The future resolves to its sequence after it is on disk, or to a `JournalError`.

        Cancelling the future before its commit has begun takes the request back.

        Raises:
            JournalFull: the payload would exceed `max_bytes` together with what waits.
            JournalTooSmall: it exceeds them alone.
            JournalUnavailable: the journal is closed.
        """
        operation = Append(signal, payload)
        if operation.size > self._max_bytes:
            raise JournalTooSmall(
                f"the request has {operation.size} bytes and journal.max_bytes is {self._max_bytes}: send smaller batches, or "
                "configure a larger journal"
            )
        counters = self._counters
        with counters.changed:
            if counters.size + operation.size > self._max_bytes:
                full = f"{counters.size} bytes wait for the store and the limit is {self._max_bytes}; send again later"
                counters.refused = (time.monotonic(), full)
                raise JournalFull(full)
            counters.requests += 1
            counters.size += operation.size
        try:
            self._writer.submit(operation)
        except JournalUnavailable:
            with counters.changed:
                operation.failed(counters)
            raise
        return operation.future

    def next_block(self, *, max_bytes: int, max_records: int, wait: float, linger: float = 0.2) -> Block | None:
        """Take the oldest records that are in no block yet. Its limits are on disk when this returns.

        Args:
            max_bytes: payload bytes of a block; a single larger record is a block of its own.
            max_records: records of a block.
            wait: seconds to wait for a first record; then None. Also None when the journal is closed.
            linger: seconds to wait for the block to fill after its first record was seen.

        Raises:
            JournalUnavailable, JournalFull: the limits cannot be written, or the records not be read. Nothing has
            changed; try again.
        """
        with self._taking:
            if self._repeat:
                first, last = self._repeat[0]
                records = self._read(first, last, max_bytes=_LAST, max_records=_LAST)
                self._repeat.popleft()
                return replace(self._block(records), again=True)
            if not self._gather(max_bytes, max_records, wait, linger):
                return None
            block = self._block(self._read(self._unclaimed, _LAST, max_bytes=max_bytes, max_records=max_records))
            claim = Claim(block.first, block.last, requests=len(block.records), size=block.size)
            self._writer.submit(claim)
            claim.future.result()
            self._unclaimed = block.last + 1
            return block

    def complete(self, block: Block) -> None:
        """Forget a block that is stored. Returns after it is gone for good.

        The deletion shares the commit of the requests that arrive meanwhile. Were it lost in a crash, the block would
        be handed out once more under its token.

        Raises:
            JournalUnavailable, JournalFull: it cannot be written. The block stays; try again.
        """
        complete = Complete(block.first, block.last, requests=len(block.records), size=block.size)
        self._writer.submit(complete)
        complete.future.result()

    def close(self) -> None:
        """Write what was appended, then close. Does not wait for the store: what is left is handed out next time."""
        with self._counters.changed:
            if self._closing.is_set():
                return
            self._closing.set()
            self._counters.changed.notify_all()
        self._writer.stop()
        with self._taking, self._reading:
            self._tables.close()
        self._lock.release()

    def _gather(self, max_bytes: int, max_records: int, wait: float, linger: float) -> bool:
        """Wait for a first record, then for a full block. False without a record."""
        counters = self._counters
        with counters.changed:
            counters.changed.wait_for(lambda: counters.ready or self._closing.is_set(), wait)
            if not counters.ready or self._closing.is_set():
                return False
        until = time.monotonic() + linger
        while counters.ready_size < max_bytes and counters.ready < max_records and time.monotonic() < until:
            # Polled: a wake-up at every commit would cost more than it is worth.
            if self._closing.wait(min(_POLL, linger)):
                return False
        return True

    def _read(self, first: int, last: int, *, max_bytes: int, max_records: int) -> tuple[Record, ...]:
        records: list[Record] = []
        size = 0
        try:
            with self._reading, closing(self._tables.read(first, last)) as stored:
                for record in stored:
                    size += len(record.payload)
                    if records and (size > max_bytes or len(records) >= max_records):
                        break
                    records.append(record)
        except lmdb.Error as error:
            raise JournalUnavailable(f"the journal cannot be read: {error}") from error
        return tuple(records)

    def _block(self, records: tuple[Record, ...]) -> Block:
        return Block(f"{self.identity}:{records[0].sequence}-{records[-1].sequence}", records)
