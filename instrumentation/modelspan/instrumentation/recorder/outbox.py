"""Events of ours between a batch processor of the SDK and its exporter.

The SDK bounds its queue and its requests by records, gives up what fails once, and a flush of it never ends while the export itself logs.
So our records are taken out of the way into an outbox: bounded by bytes, exported by the same exporter, in requests that servers take
by default, in smaller ones where these are refused, and again until they are delivered. What else the program logs goes as it did.
"""

from __future__ import annotations

import math
import os
import threading
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import islice
from typing import Any

from opentelemetry.instrumentation.utils import suppress_instrumentation

from modelspan.instrumentation.failure import attempt, failed, safely, warn_once
from modelspan.instrumentation.recorder.export_request import (
    AWAY,
    DELIVERED,
    TOO_LARGE,
    UNKNOWN,
    Outcome,
    endpoint,
    request,
)
from modelspan.instrumentation.recorder.imports import imported
from modelspan.semconv import attributes as ml

REQUEST_BYTES = 3_500_000
"""Bytes of one export request. A gRPC server takes 4 MiB unless told otherwise."""
_GROWTH = REQUEST_BYTES // 16
"""Bytes by which requests grow again with each that is delivered, after one was refused."""
PATIENCE = 5.0
"""Seconds after a failure until the next attempt."""
MOST_REFUSALS = 3
"""Times that a record may be refused while others are delivered, until it is lost."""
_SMALLER = "modelspan.instrumentation.recorder.smaller"
"""Imported where it is needed, as it imports most of the recorder."""
_RECORD_BYTES = 200
"""Bytes of a record beside its attributes."""

Exporting = Callable[[], AbstractContextManager[None]]
"""Gives the context within which a thread that emits events exports them."""
Loss = tuple[str, str]
"""Model and event of rows that were lost."""


class Waiting:
    """A record that waits to be delivered."""

    __slots__ = ("event", "record", "refusals", "rows", "settles", "size")

    def __init__(self, record: Any, settles: int = 1) -> None:
        attributes = record.log_record.attributes or {}
        self.record = record
        self.size = _RECORD_BYTES + _size(attributes) + _size(record.log_record.body)
        rows = attributes.get(ml.ML_PREDICTION_BATCH_ROW_COUNT)
        self.rows = 1 if rows is None else int(rows)
        """Rows that it holds, one of an event that is no batch."""
        self.event = str(record.log_record.event_name)
        self.refusals = 0
        self.settles = settles
        """Records of the program that are settled with it: none with a piece of one, but with its last."""


class Outbox:
    """Stands between a batch processor and its queue. Like an exporter, one thread at a time exports."""

    def __init__(self, processor: Any, scope: str, most_bytes: int, exporting: Exporting = nullcontext) -> None:
        owner: Any = processor._batch_processor
        while isinstance(owner, Outbox) and not owner.holds():
            owner = owner._owner
        self._processor: Any = processor
        self._owner: Any = owner
        self._scope = scope
        self._most_bytes = most_bytes
        self._exporting = exporting
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._waiting: deque[Waiting] = deque()
        self.bytes = 0
        """Bytes of what waits, that which is being exported included."""
        self.waiting: Counter[str] = Counter()
        """Rows of it by event; an event without rows counts as one."""
        self._accepted = self._settled = 0
        self._never_taken = math.inf
        """Bytes of the smallest record that was refused in this export and cannot be cut: another one of the size is not tried."""
        self._limit = self._taken = REQUEST_BYTES
        """Bytes of the next request, and of those that the collector takes, as far as is known. Larger records are cut."""
        self.away = False
        """True if the last export attempt failed."""
        self.why = ""
        """... for what reason, in a sentence."""
        self._is_missed = False
        self._lost: Counter[Loss] = Counter()
        self._closed = self._shut = False
        self._filled, self._hurry = threading.Event(), threading.Event()
        processor._batch_processor = self
        self._start()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._owner, name)

    def _start(self) -> None:
        run = safely("export events", self._run)
        self._thread = threading.Thread(target=run, name="modelspan-export", daemon=True)
        try:
            self._thread.start()
        except RuntimeError:  # at the exit, when no thread can start: it is exported at the shutdown
            return

    # What the processor calls.

    def emit(self, record: Any) -> None:
        """Take a record of ours; leave any other to the SDK."""
        ours = getattr(record.instrumentation_scope, "name", None) == self._scope
        if ours and self._process == os.getpid():
            one = Waiting(record)
            self._make_room(one.size)
            self._put(one)
        else:
            self._owner.emit(record)

    def force_flush(self, *args: Any, **kwargs: Any) -> bool:
        """Export what waits, ours first."""
        delivered = self.export()
        return self._owner.force_flush(*args, **kwargs) is not False and delivered

    def shutdown(self, *args: Any, **kwargs: Any) -> Any:
        """Export what waits, then as the SDK does."""
        attempt("export at the shutdown", self.export)
        self._shut = True
        if self.holds():
            self._lose(self._take(self._most_bytes), "OpenTelemetry was shut down before")
        self._hurry.set()
        self._filled.set()
        return self._owner.shutdown(*args, **kwargs)

    # What the recorder calls.

    def holds(self) -> bool:
        """True if events of this process wait for export. After a fork the parent delivers its own."""
        return self.bytes > 0 and self._process == os.getpid()

    def export(self) -> bool:
        """Export what waits now; False if some of it could not be delivered. Waits as long as the exporter does."""
        until, self._never_taken = self._accepted, math.inf
        if not self.holds() or self._shut:
            return not self.holds()
        with self._owner._export_lock, suppress_instrumentation():
            while self.holds() and self._settled < until:
                if not self._export_some():
                    if threading.current_thread() is not self._thread:
                        self._hurry.set()
                    return False
        oldest = next(iter(self._waiting), None)
        return oldest is None or oldest.refusals == 0

    def relieve(self, share: float) -> None:
        """Export if so large a share of what may wait does, unless the collector is away."""
        if self.bytes >= share * self._most_bytes and not self.away:
            self.export()

    def take_lost(self) -> Counter[Loss]:
        """Rows lost since the last time this was asked, by model and event; an event without rows counts as one."""
        with self._lock:
            lost, self._lost = self._lost, Counter()
        return lost

    def close(self) -> None:
        """Give the processor back its own once nothing waits any more."""
        self._closed = True
        if not self.holds() and self._processor._batch_processor is self:
            self._processor._batch_processor = self._owner
        self._hurry.set()
        self._filled.set()

    # Exporting.

    def _run(self) -> None:
        while not self._shut and (self.holds() or not self._closed):
            if not self._closed:
                self._filled.wait()
            hurried = self._hurry.wait(PATIENCE if self.away else self._owner._schedule_delay)
            self._hurry.clear()
            if hurried and not self._closed:  # another thread tried, and failed
                continue
            self._filled.clear()
            if not self.export():
                self._filled.set()
        if not self._shut:
            self.close()

    def _export_some(self) -> bool:
        """One request; False if it is no use to go on now."""
        part = self._take(self._limit)
        size = sum(one.size for one in part)
        if size > self._taken and self._cut(part):
            return True
        if len(part) == 1 and size >= self._never_taken:
            self._lose_too_large(part)
            return True
        outcome = self._request(part)
        if outcome == DELIVERED:
            self._taken = min(REQUEST_BYTES, self._taken + self._taken // 16)
            self._limit = min(self._taken, self._limit + _GROWTH)
            return True
        if outcome == AWAY:
            self._put_back(part)
            return False
        if len(part) > 1:
            self._put_back(part)
            self._shrink(size // 2, outcome)
            return True
        return self._refused(part, outcome)

    def _shrink(self, size: int, outcome: str) -> None:
        self._limit = size
        if outcome == TOO_LARGE:
            self._taken = size

    def _cut(self, part: list[Waiting]) -> bool:
        """Have one record that is larger than what is taken go out in pieces. False if it cannot be cut, or there are several."""
        if len(part) != 1:
            return False
        (one,) = part
        try:
            records = imported(_SMALLER).pieces(one.record, -(-one.size // self._taken))
        except Exception as error:
            failed("cut a record that is larger than the collector takes", error)
            return False
        cut = [Waiting(record, settles=0) for record in records]
        if len(cut) == 1:
            return False
        cut[-1].settles = one.settles
        with self._lock:
            self.bytes += sum(piece.size for piece in cut) - one.size
        self._put_back(cut)
        return True

    def _refused(self, part: list[Waiting], outcome: str) -> bool:
        """A request of one record was refused: by a collector that takes others, or by one that takes nothing now?"""
        (one,) = part
        if outcome == TOO_LARGE:
            taken = self._taken
            self._shrink(one.size // 2, outcome)
            if not self._cut(part):
                self._limit = self._taken = taken
                self._never_taken = one.size
                self._lose_too_large(part)
            return True
        others = self._take(1)
        if not others or self._request(others) != DELIVERED:
            self._put_back(part + others)
            return False
        one.refusals += 1
        if one.refusals < MOST_REFUSALS:
            self._put_back(part)
        else:
            self._lose(part, "the collector refuses one while it takes others")
        return True

    def _lose_too_large(self, part: Sequence[Waiting]) -> None:
        self._lose(part, f"one of {part[0].size:,} bytes is larger than the collector takes")

    def _request(self, part: Sequence[Waiting]) -> str:
        outcome = request(self._owner._exporter, [one.record for one in part])
        self.away = outcome.status != DELIVERED
        self._say(outcome)
        if outcome.status == DELIVERED:
            self._settle(part)
        return outcome.status

    def _say(self, outcome: Outcome) -> None:
        """Say that the collector is away, and what becomes of the events, and that it is there again: each once."""
        where = endpoint(self._owner._exporter)
        self.why = "" if outcome.status == DELIVERED else f"The service at {where} says: {outcome.why}"
        if outcome.status in (AWAY, UNKNOWN) and not self._is_missed:
            self._is_missed = True
            of = f"{self.bytes / 1e6:.1f} MB of {self._most_bytes / 1e6:.1f}"
            kept = f"{sum(self.waiting.values()):,} rows are kept ({of}) and sent again"
            warn_once(
                f"away: {where}", f"The service at {where} takes no predictions now; {kept}. It says: {outcome.why}"
            )
        elif outcome.status == DELIVERED and self._is_missed:
            self._is_missed = False
            warn_once(f"back: {where}", f"The service at {where} takes predictions again.")

    # What waits.

    def _make_room(self, size: int) -> None:
        """Export where a record of so many bytes would push out others, unless the collector is away. Only the drain emits events, no caller."""
        if self.holds() and self.bytes + size > self._most_bytes and not self.away:
            with self._exporting():
                self.export()

    def _put(self, one: Waiting) -> None:
        with self._lock:
            self._accepted += 1
            self._waiting.append(one)
            self.bytes += one.size
            self.waiting[one.event] += one.rows
            excess = self.bytes - self._most_bytes
            oldest = [] if excess <= 0 else _first(self._waiting, excess)
            for _ in oldest:
                self._waiting.popleft()
        if self._shut:
            self._lose(self._take(one.size), "OpenTelemetry was shut down before")
        elif oldest:
            self._lose(
                oldest,
                "the collector is away for too long, or too slow; OTEL_INSTRUMENTATION_ML_QUEUE_BYTES says how much is kept",
            )
        self._filled.set()

    def _take(self, limit: int) -> list[Waiting]:
        """The oldest records that fit into `limit` bytes, one at least if there is one. They still count as waiting."""
        with self._lock:
            part: list[Waiting] = []
            size = 0
            while self._waiting and (not part or size + self._waiting[0].size <= limit):
                part.append(self._waiting.popleft())
                size += part[-1].size
            return part

    def _put_back(self, part: Sequence[Waiting]) -> None:
        with self._lock:
            self._waiting.extendleft(reversed(part))

    def _settle(self, part: Sequence[Waiting]) -> None:
        with self._lock:
            self._settled += sum(one.settles for one in part)
            self.bytes -= sum(one.size for one in part)
            for one in part:
                self.waiting[one.event] -= one.rows

    def _lose(self, part: Sequence[Waiting], why: str) -> None:
        self._settle(part)
        with self._lock:
            for one in part:
                attributes = one.record.log_record.attributes or {}
                self._lost[str(attributes.get(ml.ML_MODEL_NAME, "")), one.event] += one.rows
        warn_once(f"lost: {why[:20]}", f"Events of models are lost: {why}. Rows that are lost are counted.")


def _first(waiting: deque[Waiting], size: int) -> list[Waiting]:
    """The oldest records that have `size` bytes together, but not the newest."""
    found: list[Waiting] = []
    for one in islice(waiting, len(waiting) - 1):
        if size <= 0:
            break
        found.append(one)
        size -= one.size
    return found


def outboxes(
    provider: Any, scope: str, most_bytes: int, exporting: Exporting = nullcontext
) -> tuple[list[Outbox], list[Any]]:
    """An outbox for each batch processor of a logger provider, and the processors that have none: where the provider is not the SDK's,
    the provider itself. What these take goes as it did.
    """
    several = getattr(provider, "_multi_log_record_processor", None)
    flush = getattr(type(provider), "force_flush", None)
    if not getattr(flush, "__module__", "").startswith("opentelemetry.sdk."):  # it does more than its processors do
        several = None
    found, others = [], []
    for processor in getattr(several, "_log_record_processors", (provider,)):
        owner = getattr(processor, "_batch_processor", None)
        if all(hasattr(owner, name) for name in ("emit", "_exporter", "_export_lock", "_schedule_delay")):
            found.append(Outbox(processor, scope, most_bytes, exporting))
        else:
            others.append(processor)
    return found, others


def _size(value: Any) -> int:
    """Bytes of a value in a request, or a little more."""
    if isinstance(value, bytes):
        return len(value)
    if isinstance(value, str):
        return len(value) if value.isascii() else 4 * len(value)
    if isinstance(value, Mapping):
        return sum(len(key) + 16 + _size(item) for key, item in value.items())
    if isinstance(value, Sequence):
        return sum(8 + _size(item) for item in value)
    return 10
