"""Operations of a store that have not returned: an engine that hangs raises nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple


class Operation(NamedTuple):
    """One that runs."""

    action: str
    since: float
    """Seconds since 1970."""
    seconds: float


class Running:
    """Statements of all threads."""

    def __init__(self) -> None:
        self._began: dict[object, tuple[str, float]] = {}

    @contextmanager
    def __call__(self, action: str) -> Iterator[None]:
        """Within the block `action` runs."""
        mine = object()
        self._began[mine] = action, time.monotonic()
        try:
            yield
        finally:
            del self._began[mine]

    @property
    def longest(self) -> Operation | None:
        """The one that has run for the longest time; None where none runs."""
        began = min(list(self._began.values()), key=lambda one: one[1], default=None)
        if began is None:
            return None
        seconds = time.monotonic() - began[1]
        return Operation(began[0], time.time() - seconds, seconds)
