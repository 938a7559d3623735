"""Exporting what is left at the exit of the process, in no more than the time given."""

from __future__ import annotations

import atexit
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from modelspan.instrumentation.failure import safely
from modelspan.instrumentation.recorder.clock import monotonic


class LastExport:
    """A thread that waits to have one provider export. It is there from the start: at the exit, Python starts none."""

    def __init__(self, provider: Any, flush: Callable[[], object]) -> None:
        self.provider = provider
        self._flush = flush
        self.now = threading.Event()
        self.done = threading.Event()
        self.delivered = False
        self._cancelled = False
        threading.Thread(target=safely("export at the exit", self._run), name="modelspan-exit", daemon=True).start()

    def cancel(self) -> None:
        """Let the thread end; nobody waits for the exit any more."""
        self._cancelled = True
        self.now.set()

    def _run(self) -> None:
        self.now.wait()
        try:
            if not self._cancelled:
                self.delivered = self._flush() is not False
        finally:
            self.done.set()


def export_within(seconds: float, exports: Sequence[LastExport]) -> bool:
    """Have all providers export, at the same time; whether all of them did.

    While a collector cannot be reached, an exporter of the SDK tries for 10 seconds for each signal, and once more when
    the SDK shuts down. What was not exported in time is given up here, and that shutdown with it.
    """
    deadline = monotonic() + seconds
    for export in exports:
        export.now.set()
    for export in exports:
        if not export.done.wait(max(0.0, deadline - monotonic())):
            atexit.unregister(export.provider.shutdown)
    return all(export.delivered for export in exports)


def keep_interrupted() -> None:
    """Have a program that Ctrl-C ended end by its signal, as it does without us, for shells to see.

    CPython ends so where the last source text that was run as such, the program, raised KeyboardInterrupt. Libraries that are
    first imported at the exit run some, for named tuples and data classes, so one that raises it is run after them.
    """
    if getattr(sys, "last_type", None) is KeyboardInterrupt and not hasattr(sys, "ps1"):
        with suppress(KeyboardInterrupt):
            exec("raise KeyboardInterrupt")
