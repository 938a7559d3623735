"""Times in ISO 8601."""

from __future__ import annotations

import re
from datetime import datetime, timezone

_FRACTION = re.compile(r"(?<=:\d\d)[.,](\d{1,6})\d*")


def read(text: str) -> datetime:
    """The time that a text names, in UTC where it names no zone. Raises ValueError.

    Python reads fractions of any length, and Z, from 3.11 on.

    >>> read("2025-01-31T12:00:00.25Z").isoformat()
    '2025-01-31T12:00:00.250000+00:00'
    """
    padded = _FRACTION.sub(lambda digits: f".{digits[1]:0<6}", re.sub("[zZ]$", "+00:00", text))
    time = datetime.fromisoformat(padded)
    try:
        return time.replace(tzinfo=timezone.utc) if time.tzinfo is None else time.astimezone(timezone.utc)
    except OverflowError:
        raise ValueError(f"{text!r} is not within the years 1 to 9999 in UTC") from None
