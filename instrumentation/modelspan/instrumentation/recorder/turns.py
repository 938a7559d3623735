"""Turns in which the background thread runs while a program does nothing but predict.

A thread that waits for Python's lock asks for it after 5 ms, and begins to count anew each time that the lock is let go, as
libraries do for a moment in each prediction. Beside a loop of predictions it waits for a second or so each time that it wants
the lock, and is woken in vain by each prediction, which costs both threads a switch. So a caller that finds the background
thread overdue waits for it, about a millisecond; in between the background thread waits for its next turn, not for the lock.
Where it is never overdue, which is everywhere else, no caller waits.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from modelspan.instrumentation.recorder.clock import perf_counter_ns

_MILLISECOND = 1_000_000
TURN = 1 * _MILLISECOND
"""Nanoseconds that a caller waits for the background thread at most..."""
WORK = TURN // 4
"""... which ends its turn with the step that it is at after so many."""
NAP = TURN // 20
"""Nanoseconds that a caller leaves the lock to threads that wait for others most of the time: those of exporters."""
GRACE = 2 * _MILLISECOND
"""Nanoseconds after which the background thread is overdue."""
BETWEEN_TURNS = 5 * _MILLISECOND
BETWEEN_NAPS = 20 * _MILLISECOND
"""Nanoseconds between naps while nothing is known to be exported: the threads of the SDK wake up by themselves."""
PATIENCE = 0.02
"""Seconds that the background thread waits for its next turn, before it competes for the lock as other threads do."""
NEVER = sys.maxsize


class Turns:
    """Who runs: callers, or the background thread. Callers only ever read `due`, and `give_way` from then on.

    Waits are bounded, on bare locks that are never held, so that neither a handler of a signal that predicts nor a thread that is gone can stop anybody.
    """

    __slots__ = (
        "_began",
        "_ends",
        "_exporting",
        "_given",
        "_giving",
        "_parked",
        "_rest",
        "_turn",
        "_useful",
        "_wake",
        "_wakes",
        "_worker",
        "due",
        "hot",
    )

    def __init__(self) -> None:
        self.start_over()

    def start_over(self) -> None:
        """State of a new process."""
        self._giving, self._turn, self._rest, self._wake = (threading.Lock() for _ in range(4))
        for lock in (self._turn, self._rest, self._wake):
            lock.acquire()
        # Greenlets take turns by themselves, and threads without a common lock need none.
        self._useful = type(self._giving).__module__ == "_thread" and getattr(sys, "_is_gil_enabled", lambda: True)()
        self.due = NEVER
        """Time from which a caller has to give way, by `perf_counter_ns`."""
        self._wakes = NEVER
        """Time at which the background thread wants the lock again; 0 once it does."""
        self._worker = 0
        """The thread that works, which another one than the background thread may do; 0 while none does."""
        self._given = False
        """True if a caller gave way since the background thread woke up."""
        self._ends = 0
        """End of the current turn."""
        self.hot = False
        """True if the background thread was overdue when it last wanted the lock."""
        self._parked = False
        self._exporting = False
        self._began = 0

    # What callers do.

    def give_way(self) -> None:
        """Let the background thread run for a moment, if it is overdue."""
        now = perf_counter_ns()
        if now < self.due or threading.get_ident() == self._worker or not self._giving.acquire(blocking=False):
            return
        try:
            self._rest.acquire(blocking=False)
            if self._exporting:  # the longer it takes, the likelier it is that it waits for the network
                self._set_due(now + min(GRACE + (now - self._began) // 4, BETWEEN_NAPS))
            elif now < self._wakes and not self._worker:
                self._set_due(min(now + BETWEEN_NAPS, self._wakes + GRACE))
            else:
                self._set_due(now + BETWEEN_TURNS)
                self._given, self.hot, self._ends = True, True, now + WORK
                if self._parked:
                    _post(self._turn)
                self._rest.acquire(timeout=TURN / 1e9)
                return
            self._rest.acquire(timeout=NAP / 1e9)
        finally:
            self._giving.release()

    def wake(self) -> None:
        """Have the background thread work now."""
        now = perf_counter_ns()
        if self._wakes:
            self._wakes = 0
            self._set_due(now + GRACE)
        else:  # it falls behind
            self._set_due(min(self.due, now + TURN))
        _post(self._wake)

    # What the background thread does.

    def sleep(self, seconds: float) -> None:
        """Wait so long, or until there is much to do."""
        self._given = False
        self._wakes = perf_counter_ns() + int(seconds * 1e9)
        self.rest()
        self._wake.acquire(timeout=seconds)
        self._wakes = 0
        self.hot = self._given

    def work(self) -> None:
        """The thread that calls this begins to work."""
        self._worker = threading.get_ident()
        self._set_due(perf_counter_ns() + GRACE)

    def pause(self) -> None:
        """Between two steps of work: let a caller that waits go on, and wait for the next turn."""
        now = perf_counter_ns()
        if not self._given:
            self._set_due(now + GRACE)
        elif now >= self._ends:
            self._set_due(now + BETWEEN_TURNS)
            self._parked = True
            _post(self._rest)
            self._given = self._turn.acquire(timeout=PATIENCE)
            self._parked = False

    @contextmanager
    def exporting(self) -> Iterator[None]:
        """Within, this thread waits for others most of the time."""
        self._exporting, self._began = True, perf_counter_ns()
        self._set_due(self._began + GRACE if self.hot else NEVER)
        try:
            yield
        finally:
            self._exporting = False
            self._set_due(perf_counter_ns() + GRACE)

    def rest(self) -> None:
        """The work is done."""
        self._worker = 0
        now = perf_counter_ns()
        soon = now + BETWEEN_NAPS if self.hot else NEVER
        self._set_due(min(soon, self._wakes + GRACE) if self._wakes else now + GRACE)
        _post(self._rest)

    def _set_due(self, due: int) -> None:
        self.due = due if self._useful else NEVER


def _post(lock: threading.Lock) -> None:
    """Let one waiter pass, now or when it comes."""
    with suppress(RuntimeError):  # it was let already
        lock.release()
