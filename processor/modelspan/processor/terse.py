"""A log handler that does not repeat itself: a client that sends nonsense must not fill the disk with it."""

from __future__ import annotations

import copy
import logging
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TextIO

PERIOD: Final = 60.0
MORE: Final = "more_like_this"
"""Field of a line: how many others it stands for."""
REASON: Final = "reason_class"
"""Attribute of a log record: lines with the same text but another one of these are told apart."""


if TYPE_CHECKING:
    _StreamHandler = logging.StreamHandler[TextIO]
else:  # cannot be subscripted before Python 3.11
    _StreamHandler = logging.StreamHandler


@dataclass(slots=True)
class _HeldBack:
    """The first line that was not written since the last summary, and how many there were."""

    line: logging.LogRecord | None = None
    lines: int = 0


class TerseHandler(_StreamHandler):
    """Writes the first of the warnings and errors that say the same at once, then at most one in a period, with their number.

    Lines say the same when their text, without its arguments and fields, is the same. What is still held back at the end of
    the process is written then.
    """

    def __init__(self, stream: TextIO, *, period: float = PERIOD) -> None:
        """`period`: seconds."""
        super().__init__(stream)
        self._held: dict[tuple[str, str, str], _HeldBack] = {}
        self._closed = threading.Event()
        threading.Thread(target=self._run, args=(period,), name="log summaries", daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        """Write the line or hold it back. Whoever calls has the lock of the handler."""
        if record.levelno < logging.WARNING:
            super().emit(record)
            return
        text = str(record.msg["event"]) if isinstance(record.msg, dict) else str(record.msg)
        key = (record.name, text, getattr(record, REASON, ""))
        held = self._held.get(key)
        if held is None:
            self._held[key] = _HeldBack()
            super().emit(record)
            return
        held.lines += 1
        if held.line is None:
            held.line = _without_references(record)

    def summarise(self) -> None:
        """Write what was held back, a line for each text; forget the texts that did not come again."""
        self.acquire()
        try:
            self._held = {key: held for key, held in self._held.items() if held.line is not None}
            for held in self._held.values():
                if held.line is not None:
                    super().emit(_with_number(held.line, held.lines - 1))
                    held.line, held.lines = None, 0
        finally:
            self.release()

    def close(self) -> None:
        """Write what was held back, for the last time."""
        self._closed.set()
        self.summarise()
        super().close()

    def _run(self, period: float) -> None:
        while not self._closed.wait(period):
            self.summarise()


def _without_references(record: logging.LogRecord) -> logging.LogRecord:
    """A copy that keeps nothing alive: arguments may be errors, and those hold what was being worked on."""
    kept = copy.copy(record)
    if not isinstance(record.msg, dict):
        kept.msg, kept.args = record.getMessage(), None
    kept.exc_info = None
    return kept


def _with_number(line: logging.LogRecord, more: int) -> logging.LogRecord:
    if more and isinstance(line.msg, dict):
        line.msg = {**line.msg, MORE: more}
    elif more:
        setattr(line, MORE, more)
    return line
