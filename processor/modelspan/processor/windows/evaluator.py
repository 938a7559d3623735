"""The evaluator: told what arrived, it gives verdicts on windows when they close, in a thread of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import structlog
from numpy.typing import NDArray

from modelspan.processor.store import StoreUnavailable

from .evaluate import evaluate
from .keys import ModelKey, runs, window_starts
from .settings import Settings
from .stale import stale_windows
from .waiting import WaitingWindows

MAX_WINDOWS = 64
"""Windows of one batch: between two of them the evaluator can stop."""
MAX_RUNS = 16
"""Separate stretches of time in one batch."""
TICK = 1.0
MAX_PAUSE = 30.0

_log = structlog.get_logger(__name__)


class VerdictStore(Protocol):
    """What the evaluator needs of a store."""

    def client(self) -> Any:
        """`clickhouse_connect` client of the calling thread."""

    def insert(self, table: str, rows: pa.Table, token: str) -> None:
        """Insert rows; raises StoreUnavailable or StoreRejected."""


class Evaluator:
    """Verdicts for the windows of every model.

    `touch` and `reference_changed` are cheap and may be called from any thread; everything else happens in the thread that
    calls `tick`, or in that of `run`. Nothing that matters is kept in memory: `recover` finds what waits in the store.
    """

    def __init__(self, store: VerdictStore, settings: Settings) -> None:
        self._store = store
        self._settings = settings
        self._waiting = WaitingWindows(settings)
        self._unsure: set[tuple[str, str] | None] = set()
        """Models whose verdicts may be outdated; None stands for all."""
        self._unsure_lock = threading.Lock()
        self.evaluated = 0
        """Windows that got a verdict."""
        self.skipped = 0
        """Windows that failed although the store answers; they are tried again at the next start."""

    @property
    def waiting(self) -> int:
        """Windows that wait for a verdict."""
        return len(self._waiting)

    def touch(self, key: ModelKey, times: NDArray[np.int64], now: float) -> None:
        """Predictions of `key` with these event times (nanoseconds since the epoch, any order) are stored; `now`: wall time."""
        if times.size:
            starts = window_starts(times, self._settings.length_ns)
            self._waiting.mark(key, starts.tolist(), int(times.max()), now)

    def reference_changed(self, model_name: str, model_version: str) -> None:
        """A reference of this model is stored; an empty version means every version. Its windows are judged again."""
        with self._unsure_lock:
            self._unsure.add((model_name, model_version))

    def recover(self, now: float) -> int:
        """Mark the windows whose verdict is missing or outdated; their number. Raises StoreUnavailable.

        `run` does it by itself.
        """
        return self._look(now, None)

    def tick(self, now: float, stop: threading.Event | None = None) -> int:
        """Evaluate what is due; number of windows that got a verdict. Raises StoreUnavailable, and may be called again."""
        self._look_again(now)
        done = 0
        for key, starts in self._waiting.due(now).items():
            for batch in _batches(starts, self._settings.length_ns):
                if stop is not None and stop.is_set():
                    return done
                self._waiting.take(key, batch)
                try:
                    done += self._evaluate(key, batch, now)
                except StoreUnavailable:
                    self._waiting.give_back(key, batch, now)
                    raise
        return done

    def run(self, stop: threading.Event) -> None:
        """Recover, then tick until `stop` is set. Waits out a store that does not answer; nothing else ends it."""
        self._unsure.add(None)
        pause = TICK
        while not stop.is_set():
            try:
                self.tick(time.time(), stop)
                pause = TICK
            except StoreUnavailable as error:
                pause = min(MAX_PAUSE, 2 * pause)
                _log.warning("verdicts wait for the store", reason=str(error), retry_seconds=pause)
            except Exception:
                pause = min(MAX_PAUSE, 2 * pause)
                _log.exception("verdicts stumbled and go on", retry_seconds=pause)
            stop.wait(pause)

    def _look_again(self, now: float) -> None:
        """Search the store where memory does not know: at start, after an overflow, and when a reference changed."""
        if self._waiting.overflowed and len(self._waiting) <= self._settings.max_waiting // 2:
            self._waiting.overflowed = False
            self._unsure.add(None)
        with self._unsure_lock:
            unsure, self._unsure = self._unsure, set()
        while unsure:
            model = None if None in unsure else next(iter(unsure))
            try:
                self._look(now, model)
            except StoreUnavailable:
                with self._unsure_lock:
                    self._unsure |= unsure
                raise
            unsure = set() if model is None else unsure - {model}

    def _look(self, now: float, model: tuple[str, str] | None) -> int:
        found = 0
        try:
            for key, starts, newest in stale_windows(self._store.client(), self._settings, now, model):
                self._waiting.mark(key, starts, newest, now)
                found += len(starts)
        except Exception as error:
            self._check_store(error)
            raise
        return found

    def _evaluate(self, key: ModelKey, starts: Sequence[int], now: float) -> int:
        """Evaluate; where that fails and the store answers, halve the windows until those that fail are alone, and leave them."""
        try:
            done = evaluate(self._store.client(), self._store.insert, key, starts, now, self._settings)
        except Exception as error:
            self._check_store(error)
            if len(starts) == 1:
                self._skip(key, starts[0], error)
                return 0
            middle = len(starts) // 2
            return self._evaluate(key, starts[:middle], now) + self._evaluate(key, starts[middle:], now)
        self.evaluated += done
        return done

    def _check_store(self, error: Exception) -> None:
        try:
            self._store.client().command("SELECT 1")
        except Exception:
            raise StoreUnavailable(f"the store does not answer: {error}") from error

    def _skip(self, key: ModelKey, start: int, error: Exception) -> None:
        self.skipped += 1
        reason = f"{type(error).__name__}: {error}"[:500]
        _log.error("window skipped: no verdict could be given", **key._asdict(), window_start=start, reason=reason)


def _batches(starts: Sequence[int], length: int) -> list[list[int]]:
    """Windows in batches that one query each can read, oldest first."""
    batches: list[list[int]] = []
    for start in starts:
        current = batches[-1] if batches else []
        if not current or len(current) >= MAX_WINDOWS or len(runs([*current, start], length)) > MAX_RUNS:
            batches.append([start])
        else:
            current.append(start)
    return batches
