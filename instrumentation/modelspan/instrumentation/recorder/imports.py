"""Modules that the background thread imports when it first needs them, while no other thread forks.

A process that is forked in the middle of an import waits forever for that module: the thread that holds its lock is not there.
"""

from __future__ import annotations

import os
import threading
from importlib import import_module
from typing import Any

LONGEST_WAIT = 5.0
"""Seconds that a fork waits for an import."""

_importing = threading.RLock()
_held = False


def imported(name: str) -> Any:
    """The module of this name."""
    with _importing:
        return import_module(name)


def _wait() -> None:
    global _held
    _held = _importing.acquire(timeout=LONGEST_WAIT)


def _go_on() -> None:
    global _held
    if _held:
        _held = False
        _importing.release()


def _start_over() -> None:
    global _importing, _held
    _importing, _held = threading.RLock(), False


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_wait, after_in_parent=_go_on, after_in_child=_start_over)
