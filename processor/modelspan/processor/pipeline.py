"""From the journal to the store: take a block, decode it, insert it, complete it, say what it touched.

A block is repeated until it is stored, with the same token, so that nothing is lost and nothing is stored twice. Only rows
that the store will never accept are taken out, one request at a time, and kept as files.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Final, NamedTuple, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import structlog
from prometheus_client import REGISTRY, CollectorRegistry, Counter

from modelspan.processor import memory
from modelspan.processor.decode import Decoded, Model, decode
from modelspan.processor.decode.tables import INGESTED, ORDER, PREDICTIONS, arrow_table
from modelspan.processor.journal import Block, JournalError, Record
from modelspan.processor.prometheus import prometheus_name
from modelspan.processor.store import MAX_ROWS, Store, StoreRejected, StoreUnavailable
from modelspan.processor.store.repeats import MARK, Repeats, mark_key
from modelspan.semconv import attributes, metrics

_log = structlog.get_logger(__name__)

OK: Final = "ok"
QUARANTINED: Final = "quarantined"
"""Reason in the count of rejected payloads: requests that the store would not take."""

MAX_BLOCK_BYTES: Final = 6 * 1024 * 1024
"""Some 25,000 predictions of 20 features as batches, 10,000 as spans. Larger blocks make fewer parts to merge, and each byte more
takes some twelve of memory on its way."""
MAX_BLOCK_RECORDS: Final = 5_000
_LINGER: Final = 0.5
"""Seconds for which a block waits for more rows: every table costs some ten milliseconds for each block, and a part."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 15.0


class Queue(Protocol):
    """What the pipeline needs of the journal."""

    def next_block(self, *, max_bytes: int, max_records: int, wait: float, linger: float) -> Block | None: ...

    def complete(self, block: Block) -> None: ...


class _Work(NamedTuple):
    """A block and what it holds."""

    block: Block
    decoded: Decoded
    unreadable: list[Record]
    now: int


_Fetched: TypeAlias = tuple[Block, "_Work | None"]


class Pipeline:
    """Between a journal and a store: one thread stores a block while another decodes the next one."""

    def __init__(
        self,
        journal: Queue,
        store: Store,
        *,
        quarantine: Path,
        on_block: Callable[[Decoded], None] = lambda decoded: None,
        registry: CollectorRegistry = REGISTRY,
    ) -> None:
        """`quarantine`: folder for requests that cannot be stored. `on_block` is called after each stored block."""
        self.state = OK
        """`ok`, or since when and why the store does not take rows."""
        self._journal = journal
        self._store = store
        self._repeats = Repeats(store)
        self._quarantine = quarantine
        self._on_block = on_block
        self._rows, self._rejected = _counters(registry)
        self._stopping = threading.Event()
        self._deadline = float("inf")
        self._drained = False
        self._thread = threading.Thread(target=self._run, name="pipeline", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        memory.share()
        memory.forget_startup()
        self._thread.start()

    def stop(self, timeout: float) -> bool:
        """Store what the journal holds, for at most `timeout` seconds, then stop. Whether the journal was emptied.

        What is left stays in the journal and is stored after the next start.
        """
        self._deadline = time.monotonic() + timeout
        self._stopping.set()
        self._thread.join(timeout + 30)
        return not self._thread.is_alive() and self._drained

    def _run(self) -> None:
        release = memory.Release()
        with ThreadPoolExecutor(1, "decode") as decoder:
            last, coming = False, decoder.submit(self._fetch, frozenset())
            while time.monotonic() < self._deadline:
                fetched = self._fetched(coming)
                if fetched is None and last and coming.exception() is None:
                    self._drained = True
                    return
                # Only a look that began after the last append finds nothing for good.
                last = self._stopping.is_set()
                if fetched is None:
                    coming = decoder.submit(self._fetch, frozenset())
                    continue
                block, work = fetched
                coming = decoder.submit(self._fetch, frozenset(work.decoded.batch_keys) if work else None)
                if not self._until_stored(block, work):
                    return
                release()

    def _fetched(self, coming: Future[_Fetched | None]) -> _Fetched | None:
        try:
            return coming.result()
        except JournalError as error:
            _log.error("cannot read the journal; trying again", reason=str(error))
            self.state = f"cannot read the journal: {error}"
            self._pause(_LONGEST_PAUSE / 3)
            return None

    def _fetch(self, before: frozenset[int] | None) -> _Fetched | None:
        """The next block, decoded if that is possible now. `before`: keys of the block that is being stored; None: unknown."""
        wait, linger = (0.0, 0.0) if self._stopping.is_set() else (0.2, _LINGER)
        block = self._journal.next_block(
            max_bytes=MAX_BLOCK_BYTES, max_records=MAX_BLOCK_RECORDS, wait=wait, linger=linger
        )
        if block is None:
            return None
        try:
            return block, None if before is None else self._work(block, before)
        except Exception:  # whoever stores the block tries again, and says why
            return block, None

    def _until_stored(self, block: Block, work: _Work | None) -> bool:
        """Repeat until the block is stored; False when stopped before."""
        pause = _FIRST_PAUSE
        while True:
            try:
                self._finish(work or self._work(block))
            except StoreUnavailable as error:
                self._unreachable(error)
            except Exception:
                _log.exception("could not process a block; it stays in the journal", token=block.token)
                self.state = "failed to process a block; see the log"
            else:
                self._reachable()
                return True
            work = None
            if self._pause(pause):
                return False
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _pause(self, seconds: float) -> bool:
        """Wait, or return at once when stopping. Whether the time to stop is over."""
        self._stopping.wait(seconds)
        if self._stopping.is_set():
            time.sleep(max(0.0, min(_FIRST_PAUSE, self._deadline - time.monotonic())))
        return time.monotonic() >= self._deadline

    def _unreachable(self, error: StoreUnavailable) -> None:
        if not self.state.startswith(error.problem):
            since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            self.state = f"{error.problem} since {since}: {error}"
            _log.warning(f"{error.problem}; the journal holds what arrives", reason=str(error))

    def _reachable(self) -> None:
        if self.state != OK:
            _log.info("store takes rows again")
            self.state = OK

    def process(self, block: Block) -> None:
        """Store one block and complete it. Raises `StoreUnavailable`; the block can then be processed again."""
        self._finish(self._work(block))

    def _work(self, block: Block, before: frozenset[int] = frozenset()) -> _Work:
        now = time.time_ns() // 1_000_000
        return _Work(block, *self._decode(block, now, before), now)

    def _finish(self, work: _Work) -> None:
        self._hold_back(work.unreadable)
        self._insert(work.decoded, work.block, work.now)
        self._journal.complete(work.block)
        for reason, count in work.decoded.rejected.items():
            self._rejected.labels(reason).inc(count)
        self._on_block(work.decoded)

    def _decode(self, block: Block, now: int, before: frozenset[int] = frozenset()) -> tuple[Decoded, list[Record]]:
        """A block, and its requests that cannot be decoded."""
        try:
            decoded = self._decode_records(block.records, block.token, now, before)
        except StoreUnavailable:
            raise
        except Exception:
            _log.exception("could not decode a block; looking for the request", token=block.token)
            bad = [record for record in block.records if not self._decodes(record, block.token, now)]
            good = [record for record in block.records if record not in bad]
            decoded = self._decode_records(good, block.token, now, before)
            return decoded, [*bad, *decoded.unreadable]
        return decoded, decoded.unreadable

    def _decode_records(self, records: Sequence[Record], token: str, now: int, before: frozenset[int]) -> Decoded:
        def stored(keys: Collection[int]) -> set[int]:
            return self._repeats.batches(keys, token) | before.intersection(keys)

        return decode(records, token=token, now=now, stored=stored)

    def _decodes(self, record: Record, token: str, now: int) -> bool:
        try:
            decode([record], token=token, now=now)
        except Exception:
            return False
        return True

    def _insert(self, decoded: Decoded, block: Block, now: int) -> None:
        marks = self._repeats.marks(decoded, now)
        for table in ORDER:
            if table == INGESTED:
                self._insert_ingested(decoded, marks, block.token, now)
            elif table in decoded.tables:
                self._insert_table(table, decoded, block, now)
        self._repeats.marked(marks, now)

    def _insert_table(self, table: str, decoded: Decoded, block: Block, now: int) -> None:
        try:
            self._insert_rows(table, decoded, block.token, now)
        except StoreRejected as error:
            _log.error("the store rejects rows; looking for their request", table=table, reason=str(error))
            self._isolate(table, block, block.records, now)

    def _isolate(self, table: str, block: Block, records: Sequence[Record], now: int) -> None:
        """Insert all that the store takes of the records' rows, and quarantine the requests whose rows it does not.

        The halves are always the same, and so are their tokens: a replay changes nothing.
        """
        if len(records) == 1:
            self._hold_back(records)
            return
        middle = len(records) // 2
        for half in (records[:middle], records[middle:]):
            decoded, _ = self._decode(Block(block.token, tuple(half)), now)
            try:
                if table in decoded.tables:
                    self._insert_rows(table, decoded, f"{block.token}/{half[0].sequence}-{half[-1].sequence}", now)
            except StoreRejected:
                self._isolate(table, block, half, now)

    def _insert_rows(self, table: str, decoded: Decoded, token: str, now: int) -> None:
        """Insert in slices that are atomic. What is repeated is left out of its slice, so that a slice keeps its token."""
        rows = decoded.tables[table]
        keep = self._repeats.predictions(decoded, rows, now) if table == PREDICTIONS else None
        for start in range(0, rows.num_rows, MAX_ROWS):
            part = rows.slice(start, MAX_ROWS)
            if keep is not None:
                part = _kept(part, keep[start : start + MAX_ROWS])
            if part.num_rows:
                self._store.insert(table, part, f"{token}#{start}" if start else token)
        self._rows.labels(table).inc(rows.num_rows if keep is None else int(keep.sum()))

    def _insert_ingested(self, decoded: Decoded, marks: Sequence[Model], token: str, now: int) -> None:
        rows = [decoded.tables[INGESTED]] if INGESTED in decoded.tables else []
        if marks:
            keys = [(mark_key(model).to_bytes(16, "little"), MARK, token, now) for model in marks]
            rows.append(arrow_table(INGESTED, keys))
        if rows:
            self._store.insert(INGESTED, pa.concat_tables(rows), token)

    def _hold_back(self, records: Sequence[Record]) -> None:
        """Keep requests that cannot be stored as files, each as it arrived."""
        for record in records:
            self._quarantine.mkdir(parents=True, exist_ok=True)
            file = self._quarantine / f"{record.sequence:020d}.{record.signal.name.lower()}.pb"
            _write_durably(file, record.payload)
            self._rejected.labels(QUARANTINED).inc()
            _log.error("request quarantined", file=str(file))


def _kept(rows: pa.Table, keep: npt.NDArray[np.bool_]) -> pa.Table:
    return rows if keep.all() else rows.take(pa.array(np.flatnonzero(keep)))


def _write_durably(file: Path, payload: bytes) -> None:
    new = file.with_suffix(".new")
    with new.open("wb") as handle:
        handle.write(payload)
        handle.flush()
        os.fsync(handle.fileno())
    new.replace(file)


def _counters(registry: CollectorRegistry) -> tuple[Counter, Counter]:
    """Rows by table, and rejected payloads by reason."""
    return (
        Counter(
            prometheus_name(metrics.MODELSPAN_STORE_ROWS),
            "Rows written to the store.",
            [prometheus_name(attributes.MODELSPAN_TABLE)],
            registry=registry,
        ),
        Counter(
            prometheus_name(metrics.MODELSPAN_DECODE_REJECTED),
            "Payloads or rows that were not taken as what they claim to be.",
            [prometheus_name(attributes.ML_DATA_QUALITY_REASON)],
            registry=registry,
        ),
    )
