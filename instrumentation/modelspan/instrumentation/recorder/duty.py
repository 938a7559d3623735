"""CPU budget of the background thread, and the bytes that callers may copy under it."""

from __future__ import annotations

LEAST_BYTES = 1024
"""Bytes of a call that are copied whatever the load: all of a small call, a few rows of a large one."""
BACKLOG_BYTES = 4 * 1024 * 1024
"""Bytes of calls that may wait before less is copied at once, without waiting for the end of a window..."""
BACKLOGGED_BYTES = 16 * 1024
"""... of one call."""
FITS = 2.0
"""Seconds of processor time for models that were just fitted, before they have to keep to the share..."""
REFERENCES = 20.0
"""... and for references made of fits: those of a job that trains some large models one after the other are all made."""
WINDOW = 0.5
"""Seconds over which work is compared with time, at least."""


class Duty:
    """Keeps the background thread's processor time near a `share` of one core, by the bytes that may be copied of a call.

    Work follows the bytes that are copied. Where it took more than its share over the last window, calls are copied up to half as many
    bytes from then on, a sixteenth where it took more than twice its share; where it took less than half of it, twice as many,
    up to `most`. The gap between half and whole keeps the limit from swinging.
    """

    def __init__(self, share: float, most: int, now: float) -> None:
        self.bytes = most
        """Bytes that may be copied of one call."""
        self._share = share
        self._most = most
        self._least = min(most, LEAST_BYTES)
        self._worked = 0.0
        self._since = now

    def limit(self, waiting: int) -> int:
        """Bytes to copy of one call while so many wait: a share of a whole core lets them wait."""
        return self.bytes if waiting <= BACKLOG_BYTES or self._share >= 1 else min(self.bytes, BACKLOGGED_BYTES)

    def worked(self, seconds: float, now: float) -> None:
        """Note processor time that was spent, at a monotonic time in seconds."""
        self._worked += seconds
        passed = now - self._since
        if passed < WINDOW:
            return
        duty = self._worked / passed
        self._worked, self._since = 0.0, now
        if duty > self._share:
            self.bytes = max(self._least, self.bytes // (16 if duty > 2 * self._share else 2))
        elif duty < self._share / 2:
            self.bytes = min(self._most, self.bytes * 2)


class FitCredit:
    """Processor time for what is said of models that the program fits: a `share` of one core, after so many seconds at once.

    A model that is fitted for each request is a new one each time: a digest, an announcement, a batch of one row, and a reference.
    """

    def __init__(self, share: float, most: float, now: float) -> None:
        self._share = share
        self._most = self._left = most
        self._since = now

    def allows(self, now: float) -> bool:
        """True if credit is left at `now` (monotonic time, seconds)."""
        self._left = min(self._most, self._left + (now - self._since) * self._share)
        self._since = now
        return self._left > 0

    def spend(self, seconds: float) -> None:
        """Note processor time that one took."""
        self._left -= seconds
