"""The evaluator: told what arrived, it gives verdicts on windows when they close, in a thread of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import structlog
from numpy.typing import NDArray

from modelspan.processor.store import StoreUnavailable
from modelspan.processor.store.errors import of_query

from . import references
from .baseline import Insert
from .evaluate import evaluate
from .gathered import Done, Gathered
from .keys import ModelKey, runs, window_starts
from .settings import Settings
from .stale import stale_windows
from .waiting import WaitingWindows

MAX_WINDOWS = 64
"""Windows of one batch: between two of them the evaluator turns to other models, or stops."""
MAX_RUNS = 16
"""Separate stretches of time in one batch."""
MAX_ATTEMPTS = 3
"""... for one window, before it is skipped: memory that others need now may be free then."""
MAX_UNSURE = 1_000
"""Models with a new reference that are looked at one by one; more are found by looking at all."""
TICK = 1.0
MAX_PAUSE = 30.0
LOOK_EVERY = 3600.0
"""Seconds after which the store is searched for windows that were skipped, or that another service left behind."""

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
        self._in_vain: set[tuple[str, str]] = set()
        """Models and references that were taken back and not there, and that were warned of."""
        self._attempts: dict[tuple[ModelKey, int], int] = {}
        self._looked_at: float | None = None
        self._stop = threading.Event()
        self.evaluated = 0
        """Windows that got a verdict."""
        self.skipped = 0
        """Windows that failed although the store answers; they are tried again when the store is searched next."""

    @property
    def waiting(self) -> int:
        """Windows that wait for a verdict."""
        return len(self._waiting)

    @property
    def dropped(self) -> int:
        """Windows that found no place in memory since the start; the store is searched for them when there is room."""
        return self._waiting.dropped

    def touch(self, key: ModelKey, times: NDArray[np.int64], now: float) -> None:
        """Predictions of `key` with these event times (nanoseconds since the epoch, any order) are stored; `now`: wall time."""
        if times.size:
            starts = window_starts(times, self._settings.length_ns)
            self._waiting.mark(key, starts.tolist(), int(times.max()), now)

    def reference_changed(self, model_name: str, model_version: str) -> None:
        """A reference of this model is stored; an empty version means every version. Its windows are judged again."""
        with self._unsure_lock:
            self._unsure.add((model_name, model_version) if len(self._unsure) < MAX_UNSURE else None)

    def recover(self, now: float) -> int:
        """Mark the windows whose verdict is missing or outdated; their number. Raises StoreUnavailable.

        `run` does it by itself.
        """
        return self._look(now, None)

    def tick(self, now: float) -> int:
        """Look at what is due, at most one batch of each model; number of windows looked at. Raises StoreUnavailable.

        Call it again at once while it finds something: a model with a long history does not hold up the others.
        """
        self._look_again(now)
        looked_at = 0
        gathered = Gathered()
        try:
            for key, starts in self._waiting.due(now).items():
                if self._stop.is_set():
                    break  # what is left is found in the store after the next start
                batch = _first_batch(starts, self._settings.length_ns)
                self._waiting.take(key, batch)
                gathered.batches.append((key, batch))
                self._evaluate(key, batch, now, gathered.instead_of(self._store.insert), gathered.add)
                looked_at += len(batch)
                if gathered.is_enough:
                    self._keep(gathered, now)
                    gathered = Gathered()
            self._keep(gathered, now)
        except BaseException:
            for key, taken in gathered.batches:
                self._waiting.give_back(key, taken, now)
            raise
        return looked_at

    def run(self, stop: threading.Event) -> None:
        """Recover, then tick until `stop` is set, also between two models. Waits out a store that does not answer; nothing else ends it."""
        self._stop = stop
        self._unsure.add(None)
        self.keep_settings(time.time())
        pause = TICK
        while not stop.is_set():
            try:
                pause = 0.0 if self.tick(time.time()) else TICK
            except StoreUnavailable as error:
                pause = min(MAX_PAUSE, max(TICK, 2 * pause))
                _log.warning("verdicts wait for the store", reason=str(error), retry_seconds=pause)
            except Exception:
                pause = min(MAX_PAUSE, max(TICK, 2 * pause))
                _log.exception("verdicts stumbled and go on", retry_seconds=pause)
            stop.wait(pause)

    def keep_settings(self, now: float) -> None:
        """Store the settings that saved queries need."""
        row = {"name": ["drift.min_rows"], "value": [float(self._settings.min_rows)]}
        since = pa.array([int(now * 1000)], pa.timestamp("ms", "UTC"))
        try:
            self._store.insert("ml_settings", pa.table({**row, "since": since}), f"settings of {now}")
        except Exception as error:
            _log.warning("settings are not stored; saved queries assume the default", reason=str(error))

    def _look_again(self, now: float) -> None:
        """Search the store where memory does not know: at start, after an overflow, and when a reference changed."""
        if self._waiting.overflowed and self._waiting.has_room:
            self._waiting.overflowed = False
            self._unsure.add(None)
        if self._looked_at is None or None in self._unsure:
            self._looked_at = now
        elif now - self._looked_at >= LOOK_EVERY:
            self._looked_at = now
            self._unsure.add(None)
        with self._unsure_lock:
            unsure, self._unsure = self._unsure, set()
        while unsure and not self._stop.is_set():
            model = None if None in unsure else next(iter(unsure))
            try:
                self._look(now, model)
                if model is not None:
                    self._warn_of_withdrawals(model[0])
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
                if self._waiting.overflowed or self._stop.is_set():
                    break  # what does not fit is found when there is room
        except Exception as error:
            self._check_store(error)
            raise
        return found

    def _warn_of_withdrawals(self, model_name: str) -> None:
        """Say once of each reference that was taken back and that nobody had set: its name may be misspelt."""
        found = references.withdrawn_in_vain(self._store.client(), model_name, self._settings.query)
        for reference_id, known in found.items():
            place = model_name, reference_id
            if place not in self._in_vain and len(self._in_vain) < MAX_UNSURE:
                self._in_vain.add(place)
                _log.warning(
                    "a reference was taken back that nobody had set: nothing changes",
                    model=model_name,
                    reference=reference_id,
                    references_of_the_model=", ".join(known) or "none",
                )

    def _keep(self, gathered: Gathered, now: float) -> None:
        """Store what was gathered; where that fails and the store answers, judge and store each model alone."""
        try:
            gathered.store(self._store.insert)
        except Exception as error:
            self._check_store(error)
            while gathered.batches:
                self._evaluate(*gathered.batches[-1], now, self._store.insert, self._is_done)
                gathered.batches.pop()
        else:
            for done in gathered.done:
                self._is_done(done)

    def _is_done(self, done: Done) -> None:
        self.evaluated += done.verdicts
        if self._attempts:
            self._attempts = {
                of: n for of, n in self._attempts.items() if of[0] != done.key or of[1] not in done.starts
            }

    def _evaluate(
        self, key: ModelKey, starts: Sequence[int], now: float, insert: Insert, tell: Callable[[Done], None]
    ) -> None:
        """Evaluate; where that fails and the store answers, halve the windows until those that fail are alone."""
        try:
            verdicts = evaluate(self._store.client(), insert, key, starts, now, self._settings)
        except Exception as error:
            self._check_store(error)
            if len(starts) == 1:
                self._put_off(key, starts[0], now, error)
                return
            middle = len(starts) // 2
            for half in (starts[:middle], starts[middle:]):
                self._evaluate(key, half, now, insert, tell)
            return
        tell(Done(key, starts, verdicts))

    def _check_store(self, error: Exception) -> None:
        try:
            self._store.client().command("SELECT 1")
        except Exception as failure:
            raise of_query(failure, "no question to the store is answered") from error

    def _put_off(self, key: ModelKey, start: int, now: float, error: Exception) -> None:
        attempts = self._attempts.pop((key, start), 0) + 1
        reason = f"{type(error).__name__}: {error}"[:500]
        if attempts < MAX_ATTEMPTS:
            self._attempts[key, start] = attempts
            self._waiting.give_back(key, [start], now)
            _log.warning("no verdict yet", **key._asdict(), window_start=start, attempts=attempts, reason=reason)
        else:
            self.skipped += 1
            _log.error("window skipped: no verdict could be given", **key._asdict(), window_start=start, reason=reason)


def _first_batch(starts: Sequence[int], length: int) -> list[int]:
    """The first of the windows, as many as one query each can read."""
    batch = list(starts[:MAX_WINDOWS])
    separate = runs(batch, length)
    return batch if len(separate) <= MAX_RUNS else [start for start in batch if start < separate[MAX_RUNS][0]]
