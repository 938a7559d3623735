"""From the journal to the store: take a block, decode it, insert it, complete it, say what it touched.

A block is repeated until it is stored, with the same token, so that nothing is lost and nothing is stored twice. Only rows
that the store will never accept are taken out, one request at a time, and kept as files.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple, Protocol, TypeAlias

import pyarrow as pa
import structlog
from prometheus_client import REGISTRY, CollectorRegistry, Counter

from modelspan.processor import memory, row_identity
from modelspan.processor.decode import Decoded, Model, decode
from modelspan.processor.decode.salvage import salvage
from modelspan.processor.decode.tables import INGESTED, ORDER, PREDICTIONS, arrow_table
from modelspan.processor.inserts import Inserts
from modelspan.processor.journal import Block, JournalError, Record
from modelspan.processor.prometheus import prometheus_name
from modelspan.processor.quarantine import Quarantine
from modelspan.processor.store import Store, StoreUnavailable
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

_DAMAGED: Final = "its bytes in the journal are not those that were written: is the disk at fault?"
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 15.0
_LONG: Final = 60.0
"""Seconds of work on one block that are worth saying."""


class Queue(Protocol):
    """What the pipeline needs of the journal."""

    def next_block(self, *, max_bytes: int, max_records: int, wait: float, linger: float) -> Block | None: ...

    def complete(self, block: Block) -> None: ...


class Held(NamedTuple):
    """A request that is not stored, or not whole."""

    record: Record
    reason: str
    table: str = ""
    rows: int = 0


class _Work(NamedTuple):
    """A block and what it holds."""

    block: Block
    decoded: Decoded
    unreadable: list[Held]
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
        self._since: float | None = None
        """Start of the block in work, on the monotonic clock."""
        self._journal = journal
        self._store = store
        self._repeats = Repeats(store)
        self._inserts = Inserts(store, wait=self._pause, trouble=self._unreachable)
        self._quarantine = Quarantine(quarantine, store)
        self._on_block = on_block
        self._rows, self._rejected = _counters(registry)
        self._stopping = threading.Event()
        self._deadline = float("inf")
        self._drained = False
        self._thread = threading.Thread(target=self._run, name="pipeline", daemon=True)

    @property
    def said(self) -> str:
        """The state; while one block is in work for long, that too."""
        since = self._since
        if self.state == OK and since is not None and time.monotonic() - since > _LONG:
            return f"one block has been in work for {time.monotonic() - since:.0f} s"
        return self.state

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
        return not self.is_alive and self._drained

    @property
    def is_alive(self) -> bool:
        """True while its thread works, which may be in an insert that does not return."""
        return self._thread.is_alive()

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
                self._since = time.monotonic()
                if not self._until_stored(block, work):
                    return
                self._since = None
                release()

    def _fetched(self, coming: Future[_Fetched | None]) -> _Fetched | None:
        try:
            return coming.result()
        except JournalError as error:
            _log.error("cannot read the journal; trying again", reason=str(error))
            self._not_ok("cannot read the journal", str(error))
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
                self._not_ok("failed to process a block", "see the log")
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
        if self._not_ok(error.problem, str(error)):
            _log.warning(f"{error.problem}; the journal holds what arrives", reason=str(error))

    def _not_ok(self, problem: str, reason: str) -> bool:
        """Note a problem of the store; False if it is known already."""
        if self.state.startswith(problem):
            return False
        since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self.state = f"{problem} since {since}: {reason}"
        return True

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
        if work.block.again:
            self._inserts.recall(work.block.token)
        held = [*work.unreadable, *self._insert(work.decoded, work.block, work.now)]
        for one in held:
            self._quarantine.keep(*one)
        self._journal.complete(work.block)
        self._inserts.forget()
        self._rejected.labels(QUARANTINED).inc(len(held))
        for reason, count in work.decoded.rejected.items():
            self._rejected.labels(reason).inc(count)
        try:
            self._on_block(work.decoded)
        except Exception:  # the rows are stored: doing that again would change nothing
            _log.exception("could not announce a stored block; its windows are judged after the next start")

    def _decode(self, block: Block, now: int, before: frozenset[int] = frozenset()) -> tuple[Decoded, list[Held]]:
        """A block, and its requests that cannot be decoded."""
        bad = [Held(record, _DAMAGED) for record in block.records if not record.intact]
        if bad:
            block = replace(block, records=tuple(record for record in block.records if record.intact))
        try:
            decoded = self._decode_records(block.records, block.token, now, before)
        except StoreUnavailable:
            raise
        except Exception:
            _log.exception("could not decode a block; looking for the request", token=block.token)
            good, undecodable = self._sorted_out(block, now)
            bad += undecodable
            try:
                decoded = self._decode_records(good, block.token, now, before)
            except StoreUnavailable:
                raise
            except Exception as error:
                bad += [Held(record, _said("it cannot be decoded", error)) for record in good]
                decoded = self._decode_records([], block.token, now, before)
        return decoded, [*bad, *(Held(record, "it is no OTLP request") for record in decoded.unreadable)]

    def _sorted_out(self, block: Block, now: int) -> tuple[list[Record], list[Held]]:
        """Requests that can be decoded, without the parts that cannot, which are held back."""
        good, bad = [], []
        for record in block.records:
            whole, parts = salvage(record, lambda part: decode([part], token=block.token, now=now))
            good += [whole] if whole is not None else []
            bad += [Held(part, _said("it cannot be decoded", error)) for part, error in parts]
        return good, bad

    def _decode_records(self, records: Sequence[Record], token: str, now: int, before: frozenset[int]) -> Decoded:
        def stored(keys: Collection[int]) -> set[int]:
            return self._repeats.batches(keys, token) | before.intersection(keys)

        return decode(records, token=token, now=now, stored=stored)

    def _insert(self, decoded: Decoded, block: Block, now: int) -> list[Held]:
        """The requests that are not stored whole."""
        marks = self._repeats.marks(decoded, now)
        held: list[Held] = []
        for table in ORDER:
            if table == INGESTED:
                self._insert_ingested(decoded, marks, block.token, now)
            elif table in decoded.tables:
                held += self._insert_table(table, decoded, block, now)
        self._repeats.marked(marks, now)
        return held

    def _insert_table(self, table: str, decoded: Decoded, block: Block, now: int, part: str = "") -> Iterable[Held]:
        """Requests with rows that are not stored. `part`: what the token has beside that of the block."""
        try:
            return self._insert_rows(table, decoded, block, now, block.token + part)
        except StoreUnavailable:
            raise
        except Exception as error:
            if len(block.records) == 1:
                rows = decoded.tables[table].num_rows
                return [Held(block.records[0], _said("it cannot be stored", error), table, rows)]
            _log.exception("could not store rows; looking for the request", table=table, token=block.token)
        return self._insert_halves(table, block, now)

    def _insert_halves(self, table: str, block: Block, now: int) -> Iterable[Held]:
        middle = len(block.records) // 2
        held: list[Held] = []
        for records in (block.records[:middle], block.records[middle:]):
            half = replace(block, records=records)
            decoded, _ = self._decode(half, now)
            if table in decoded.tables:
                part = f"/{records[0].sequence}-{records[-1].sequence}"
                held += self._insert_table(table, decoded, half, now, part)
        return held

    def _insert_rows(self, table: str, decoded: Decoded, block: Block, now: int, token: str) -> Iterable[Held]:
        rows = decoded.tables[table]
        keep = self._repeats.predictions(decoded, rows, now) if table == PREDICTIONS else None
        unstored = self._inserts.insert(table, rows, token, keep)
        self._rows.labels(table).inc((rows.num_rows if keep is None else int(keep.sum())) - len(unstored))
        if not unstored:
            return ()
        whose = row_identity.identities(rows, [row for row, _ in unstored])
        reasons = {identity: reason for identity, (_, reason) in zip(whose, unstored, strict=True)}
        found = self._requests_of(table, reasons.keys(), block, now)
        return [Held(record, reasons[identities[0]], table, len(identities)) for record, identities in found]

    def _requests_of(
        self, table: str, wanted: Collection[tuple[str, str]], block: Block, now: int
    ) -> Iterator[tuple[Record, list[tuple[str, str]]]]:
        """Requests of a block that hold rows of these identities, found by decoding ever fewer of them."""
        decoded, _ = self._decode(block, now)
        rows = decoded.tables.get(table)
        found = [] if rows is None else list(row_identity.found(rows, wanted))
        if found and len(block.records) == 1:
            yield block.records[0], found
        elif found:
            middle = len(block.records) // 2
            for half in (block.records[:middle], block.records[middle:]):
                yield from self._requests_of(table, wanted, Block(block.token, half), now)

    def _insert_ingested(self, decoded: Decoded, marks: Sequence[Model], token: str, now: int) -> None:
        rows = [decoded.tables[INGESTED]] if INGESTED in decoded.tables else []
        if marks:
            keys = [(mark_key(model).to_bytes(16, "little"), MARK, token, now) for model in marks]
            rows.append(arrow_table(INGESTED, keys))
        if rows:
            self._store.insert(INGESTED, pa.concat_tables(rows), token)


def _said(what: str, error: Exception) -> str:
    return f"{what}: {type(error).__name__}: {error}"[:500]


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
