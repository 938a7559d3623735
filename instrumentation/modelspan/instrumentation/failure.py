"""Telemetry must not fail the program: what goes wrong inside is said once and then left."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

_logger = logging.getLogger("modelspan.instrumentation")
_said: set[str] = set()


def warn_once(cause: str, message: str) -> None:
    """Log `message`, the first time that this process meets `cause`."""
    _say(cause, message)


def failed(part: str, error: BaseException) -> None:
    """Log that `part` failed, once for each place and type of error. The user's program continues without that telemetry.

    Raises `error` if a handler of a signal did, which interrupts the program wherever it is: a time limit, say.
    """
    heard(error)
    message = f"Modelspan could not {part}; predictions continue without it. Said once."
    _say(f"{type(error).__qualname__} at {_origin(error)}", message, error)


def misread(part: str, error: ValueError | TypeError) -> None:
    """Log that `part` failed for what the program gave, which needs no traceback."""
    heard(error)
    warn_once(f"{part}: {error}", f"Modelspan could not {part}: {error}. Said once.")


def heard(error: BaseException) -> None:
    """Raise `error` if a handler of a signal did."""
    if _is_of_a_signal(error):
        raise error


def attempt(part: str, function: Callable[..., object], *args: Any) -> None:
    """Call `function`; where it fails, say so."""
    try:
        function(*args)
    except Exception as error:
        failed(part, error)


def faults() -> type[BaseException]:
    """What to catch of the program's own parts of the SDK: in the main thread SystemExit and KeyboardInterrupt may come from a
    signal, in any other they would end that thread, unseen.
    """
    return Exception if threading.current_thread() is threading.main_thread() else BaseException


def safely(part: str, function: Callable[[], object]) -> Callable[[], None]:
    """A function that calls `function` and, where it fails, says so: what a thread of ours runs."""

    def call() -> None:
        try:
            function()
        except faults() as error:
            failed(part, error)

    return call


def _is_of_a_signal(error: BaseException) -> bool:
    """Whether it comes from a function that was given the frame that it interrupted, as Python's handlers of signals are."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        frame, called = trace.tb_frame, trace.tb_next.tb_frame
        for value in tuple(called.f_locals.values()):
            if value is frame or (type(value) is tuple and any(one is frame for one in value)):
                return True
        trace = trace.tb_next
    return False


def _origin(error: BaseException) -> str:
    """The line that raised: one fault may pass through several parts."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "?" if trace is None else f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"


def _say(cause: str, message: str, error: BaseException | None = None) -> None:
    if cause in _said:
        return
    _said.add(cause)
    with suppress(faults()):  # of a filter or handler of the program's own
        _logger.warning("%s", message, exc_info=error)
