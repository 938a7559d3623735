"""How much time a program's threads may spend on recording large calls of a model, and which of them are left out for it."""

from __future__ import annotations

from random import random

MANY_ROWS = 1000
"""Calls of fewer rows are always recorded."""
REST = 1_000_000_000
"""Nanoseconds of rest that can be made up for: some ten calls of 10,000 rows in a row are all recorded."""
LONGEST = 2_500_000_000
"""Nanoseconds for which calls are left out at most, after a very large one."""
MOST, MOST_OF_BYTE = 2_000_000, 1
"""Nanoseconds that recording a large call takes at most, and each byte that is copied of it: what took longer was waiting for others."""


class Budget:
    """When the next large call of a model may be recorded, so that recording takes no more than a share of the time.

    Until then one outside of traces and of `prediction_context` is left out: it is counted, with its rows and duration, and
    nothing is copied. The next large call that is recorded stands for those before it, with a weight. As in the generic cell
    rate algorithm (ITU-T I.371), one time says it all: each recorded call moves it by what it costs divided by the share. That is
    multiplied by a random number of mean 1, so that of calls that differ in a regular order none is always left out.

    Times are nanoseconds of one clock. No lock: of two threads one may be forgotten, which moves the time; what is counted for
    the user does not come from here.
    """

    __slots__ = ("before", "due")

    def __init__(self) -> None:
        self.due = 0.0
        """A large call that begins earlier is left out."""
        self.before = 0
        """Large calls left out since the last one that was recorded."""

    def pay(self, share: float, now: int, spent: int, size: int) -> int:
        """A large call was recorded until `now`, `size` bytes of it, which took `spent`. Returns how many calls it stands for:
        itself, and those left out before.
        """
        price = min(spent, MOST + MOST_OF_BYTE * size) / share
        due = max(self.due, now - REST)
        if due + price > now:
            price *= 2 * random()
        self.due = min(due + price, now + LONGEST)
        before, self.before = self.before, 0
        return before + 1
