"""Which windows wait for a verdict, and which of them are due. No I/O, no clock."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import structlog

from .keys import ModelKey
from .settings import SECOND, Settings

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Mark:
    first: float
    last: float


@dataclass(slots=True)
class _Model:
    watermark: int
    marks: dict[int, _Mark] = field(default_factory=dict)


class WaitingWindows:
    """Windows that got rows since their verdict, in bounded memory.

    A window is over once the watermark (the newest event time of its model, but never ahead of the wall clock, so that one
    wrong clock closes nothing early) is `lateness` past its end. It is due when it is over and has settled, or when nothing
    arrives any more. `overflowed` says that marks were dropped: look into the store for what is missing.

    Of models that wait for nothing the newest event time is remembered, until another model needs their place.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._models: dict[ModelKey, _Model] = {}
        self._quiet: dict[ModelKey, None] = {}
        """Models that wait for nothing, in the order in which they came to."""
        self._count = 0
        self.overflowed = False
        self.dropped = 0
        """Marks that were dropped since the start."""

    def __len__(self) -> int:
        return self._count

    @property
    def has_room(self) -> bool:
        """True if there is room to look for dropped windows again."""
        waiting = len(self._models) - len(self._quiet)
        return self._count <= self._settings.max_waiting // 2 and waiting <= self._settings.max_models // 2

    def mark(self, key: ModelKey, starts: Iterable[int], newest: int, now: float) -> None:
        """`starts`: windows that got rows; `newest`: newest event time among them, nanoseconds; `now`: wall time, seconds."""
        with self._lock:
            model = self._model(key, newest)
            if model is None:
                self._drop(len(set(starts)), "models")
                return
            model.watermark = max(model.watermark, newest)
            for start in starts:
                known = model.marks.get(start)
                if known is not None:
                    known.last = now
                elif self._count < self._settings.max_waiting:
                    model.marks[start] = _Mark(now, now)
                    self._count += 1
                    self._quiet.pop(key, None)
                else:
                    self._drop(1, "windows")

    def _model(self, key: ModelKey, newest: int) -> _Model | None:
        """None where there is no place for another one."""
        model = self._models.get(key)
        if model is None:
            if len(self._models) >= self._settings.max_models:
                if not self._quiet:
                    return None
                longest = next(iter(self._quiet))
                del self._quiet[longest], self._models[longest]
            model = self._models[key] = _Model(newest)
            self._quiet[key] = None
        return model

    def _drop(self, marks: int, what: str) -> None:
        self.dropped += marks
        if not self.overflowed:
            self.overflowed = True
            limit = self._settings.max_models if what == "models" else self._settings.max_waiting
            _log.warning(
                f"more {what} wait for a verdict than are held in memory; their rows are stored, and they are found there later",
                limit=limit,
            )

    def due(self, now: float) -> dict[ModelKey, list[int]]:
        """Windows that are due, by model, oldest first. They wait on until they are taken."""
        with self._lock:  # only a copy: whoever marks must not wait for the search
            models = [(key, model.watermark, list(model.marks.items())) for key, model in self._models.items()]
        due = {key: self._due_of(watermark, marks, now) for key, watermark, marks in models}
        return {key: starts for key, starts in due.items() if starts}

    def take(self, key: ModelKey, starts: Sequence[int]) -> None:
        """They are being evaluated; rows that arrive from now on mark them again."""
        with self._lock:
            marks = self._models[key].marks
            for start in starts:
                if marks.pop(start, None) is not None:
                    self._count -= 1
            if not marks:
                self._quiet[key] = None

    def give_back(self, key: ModelKey, starts: Sequence[int], now: float) -> None:
        """They could not be evaluated."""
        with self._lock:
            watermark = self._models[key].watermark if key in self._models else starts[0]
        self.mark(key, starts, watermark, now)

    def _due_of(self, watermark: int, marks: Iterable[tuple[int, _Mark]], now: float) -> list[int]:
        settings = self._settings
        now_ns = int(now * SECOND)
        lateness = int(settings.lateness * SECOND)
        closed_until = min(watermark, now_ns) - lateness

        def is_due(start: int, mark: _Mark) -> bool:
            end = start + settings.length_ns
            quiet = now - mark.last
            if end <= closed_until:
                return quiet >= settings.settle or now - mark.first >= settings.patience
            is_live = start <= now_ns < end + lateness
            return quiet >= settings.idle and not is_live

        return sorted(start for start, mark in marks if is_due(start, mark))
