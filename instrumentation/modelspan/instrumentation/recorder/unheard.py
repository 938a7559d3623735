"""Warning that the program has set up nothing that takes predictions. Said once: when it was so for a while, or at the exit, because a
program may set OpenTelemetry up after its first prediction.
"""

from __future__ import annotations

import atexit

from modelspan.instrumentation.failure import warn_once
from modelspan.instrumentation.recorder.clock import monotonic

PATIENCE = 10.0
"""Seconds after the first of it."""
_DO = (
    "run the program under opentelemetry-instrument, or call opentelemetry._logs.set_logger_provider(...)"
    " (docs/instrumentation.md)"
)
NO_SDK = f"Predictions go nowhere: OpenTelemetry is not set up in this process. To record them, {_DO}."
NO_EVENTS = (
    "Predictions go nowhere: OpenTelemetry is set up without a LoggerProvider, by which they leave; spans and metrics hold no"
    f" features. To record them, {_DO}."
)


class Unheard:
    """Notes that something went nowhere, and says so unless it is over soon."""

    def __init__(self) -> None:
        self._since = 0.0
        self._message = ""

    def note(self, message: str) -> None:
        """Something went nowhere, for a reason."""
        self._message = message
        if not self._since:
            self._since = monotonic()
            atexit.register(self.say)
        elif monotonic() - self._since > PATIENCE:
            self.say()

    def over(self) -> None:
        """From now on it is taken."""
        if self._since:
            self._since, self._message = 0.0, ""
            atexit.unregister(self.say)

    def say(self) -> None:
        """Say it, if there was anything."""
        if self._message:
            warn_once("no-sdk", self._message)
