"""Telemetry must not fail the program: what goes wrong inside is said once and then left."""

from __future__ import annotations

import logging
from contextlib import suppress

_logger = logging.getLogger("modelspan.instrumentation")
_said: set[str] = set()


def warn_once(cause: str, message: str) -> None:
    """Log `message`, the first time that this process meets `cause`."""
    _say(cause, message)


def failed(part: str, error: BaseException) -> None:
    """Log that `part` failed, once for each type of error. The user's program continues without that telemetry."""
    message = f"Modelspan could not {part}; predictions continue without it. Said once."
    _say(f"{part}:{type(error).__name__}", message, error)


def _say(cause: str, message: str, error: BaseException | None = None) -> None:
    if cause in _said:
        return
    _said.add(cause)
    with suppress(Exception):  # of a filter or handler of the program's own
        _logger.warning("%s", message, exc_info=error)
