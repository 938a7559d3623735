"""Telemetry must not fail the program: what goes wrong inside is said once and then left."""

from __future__ import annotations

import logging

_logger = logging.getLogger("modelspan.instrumentation")
_said: set[str] = set()


def warn_once(cause: str, message: str) -> None:
    """Log `message`, the first time that this process meets `cause`."""
    if cause not in _said:
        _said.add(cause)
        _logger.warning(message)


def failed(part: str, error: BaseException) -> None:
    """Log that `part` failed, once for each type of error. The user's program continues without that telemetry."""
    cause = f"{part}:{type(error).__name__}"
    if cause not in _said:
        _said.add(cause)
        _logger.warning("Modelspan could not %s; predictions continue without it. Said once.", part, exc_info=error)
