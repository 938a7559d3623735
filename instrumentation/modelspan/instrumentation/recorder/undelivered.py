"""Events that the SDK could not deliver.

A batch processor of the SDK gives a batch up when its exporter does, which for OTLP is after ten seconds. What is ours of such a
batch is kept here, and exported by the same exporter once that has delivered something again, or is asked to when
nothing else is exported. What else was in the batch goes as it did.
"""

from __future__ import annotations

import os
import time
from collections import deque
from typing import Any

from opentelemetry.instrumentation.utils import suppress_instrumentation

from modelspan.instrumentation.failure import attempt, warn_once

PATIENCE = 15.0
"""Seconds after the last attempt of an exporter until it is asked to try again."""
MOST_REFUSALS = 3
"""Times that an exporter may refuse a batch while it delivers others, until it is given up."""
_EVENT_BYTES = 2000
"""Bytes of an event beside its longest attribute."""

Records = list[Any]


class Keeping:
    """Stands between a batch processor and its exporter, and keeps those records of one scope that it fails to deliver, at most so
    many bytes, the latest. Like an exporter, it is used by one thread at a time.
    """

    def __init__(self, owner: Any, scope: str, most_bytes: int) -> None:
        self._owner = owner
        self._exporter = owner._exporter
        self._scope = scope
        self._most_bytes = most_bytes
        self._forget()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._exporter, name)

    def _forget(self) -> None:
        self._process = os.getpid()
        self._tried = time.monotonic()
        self._refused = 0
        self._held: deque[tuple[Records, int]] = deque()
        self.bytes = 0
        """Bytes of what is kept."""

    def export(self, batch: Any, *args: Any, **kwargs: Any) -> Any:
        """Export a batch as the exporter does, and what was kept if that succeeds."""
        records = list(batch)
        delivered = False
        try:
            result = self._exporter.export(batch, *args, **kwargs)
            delivered = _is_success(result)
        finally:
            attempt("keep what was not delivered", self._follow, records, delivered)
        return result

    def is_due(self, patience: float = PATIENCE) -> bool:
        """Whether something is kept, and nothing was tried for so many seconds."""
        return bool(self._held) and self._process == os.getpid() and time.monotonic() - self._tried > patience

    def retry(self) -> None:
        """Export what is kept. Waits as long as the exporter does."""
        with self._owner._export_lock, suppress_instrumentation():
            self._export_held()

    def stand_aside(self) -> None:
        """Give the exporter back to the processor, unless there is something to deliver."""
        if not self._held and self._owner._exporter is self:
            self._owner._exporter = self._exporter

    def _follow(self, records: Records, delivered: bool) -> None:
        if self._process != os.getpid():  # what a forked process finds here is its parent's to deliver
            self._forget()
        self._tried = time.monotonic()
        if not delivered:
            self._hold(records)
        elif self._held and not self._export_held():
            self._refused += 1
            if self._refused >= MOST_REFUSALS:
                self._drop()

    def _hold(self, records: Records) -> None:
        ours = [one for one in records if getattr(one.instrumentation_scope, "name", None) == self._scope]
        if not ours:
            return
        size = sum(map(_size, ours))
        self._held.append((ours, size))
        self.bytes += size
        while self.bytes > self._most_bytes:
            self._drop()

    def _export_held(self) -> bool:
        while self._held:
            delivered = _is_success(self._exporter.export(self._held[0][0]))
            self._tried = time.monotonic()
            if not delivered:
                return False
            self._remove()
        return True

    def _drop(self) -> None:
        self._remove()
        warn_once(
            "undelivered", "The collector is away for too long, or refuses events: the oldest that were kept are lost."
        )

    def _remove(self) -> None:
        self.bytes -= self._held.popleft()[1]
        self._refused = 0


def stand_between(provider: Any, scope: str, most_bytes: int) -> list[Keeping]:
    """Have what a logger provider's batch processors cannot deliver of a scope kept. Where the provider is not the SDK's, or the
    SDK has changed, nothing is kept, and events go as they did.
    """
    several = getattr(provider, "_multi_log_record_processor", None)
    found: list[Keeping] = []
    for processor in getattr(several, "_log_record_processors", ()):
        owner = getattr(processor, "_batch_processor", None)
        if owner is None or not hasattr(owner, "_exporter") or not hasattr(owner, "_export_lock"):
            continue
        if not isinstance(owner._exporter, Keeping):
            owner._exporter = Keeping(owner, scope, most_bytes)
        found.append(owner._exporter)
    return found


def _is_success(result: Any) -> bool:
    """Whether a result of an exporter, of any version of the SDK, says that it delivered. One that says nothing did."""
    return getattr(result, "name", None) != "FAILURE"


def _size(record: Any) -> int:
    values = (record.log_record.attributes or {}).values()
    return _EVENT_BYTES + max((len(one) for one in values if isinstance(one, (bytes, str))), default=0)
