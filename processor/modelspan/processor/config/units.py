"""Durations and sizes as people write them: `5m`, `1h30m`, `64MiB`."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_BYTES = {"": 1, "b": 1} | {
    prefix + suffix: base**power
    for power, prefix in enumerate("kmgt", start=1)
    for suffix, base in (("b", 1000), ("ib", 1024))
}
_NUMBER_AND_UNIT = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]*)")


def parse_duration(value: Any) -> timedelta:
    """Read `90s`, `5m`, `1h30m`, `7d`, `500ms`, or a number of seconds."""
    if isinstance(value, timedelta):
        return value
    text = str(value).strip().lower()
    parts = _NUMBER_AND_UNIT.findall(text)
    units = {"": 1.0} | _SECONDS if len(parts) == 1 else _SECONDS
    spelled = "".join(number + unit for number, unit in parts)
    if not parts or spelled != text.replace(" ", "") or any(unit not in units for _, unit in parts):
        raise ValueError("expected a duration such as 30s, 5m, 1h30m or 7d")
    return timedelta(seconds=sum(float(number) * units[unit] for number, unit in parts))


def format_duration(duration: timedelta) -> str:
    """Write a duration as `parse_duration` reads it, in the largest unit that divides it."""
    milliseconds = round(duration.total_seconds() * 1000)
    for unit, seconds in sorted(_SECONDS.items(), key=lambda item: -item[1]):
        if unit != "w" and milliseconds and milliseconds % (seconds * 1000) == 0:
            return f"{milliseconds // (seconds * 1000):.0f}{unit}"
    return f"{milliseconds}ms" if milliseconds else "0s"


def parse_size(value: Any) -> int:
    """Read `4GiB`, `500 MB`, or a number of bytes."""
    match = _NUMBER_AND_UNIT.fullmatch(str(value).strip().lower())
    if match is None or match[2] not in _BYTES:
        raise ValueError("expected a size such as 64MiB, 4GiB or 500MB")
    return int(float(match[1]) * _BYTES[match[2]])


def format_size(size: int) -> str:
    """Write a size as `parse_size` reads it, in the largest binary unit that divides it."""
    for power, unit in ((4, "TiB"), (3, "GiB"), (2, "MiB"), (1, "KiB")):
        if size and size % 1024**power == 0:
            return f"{size // 1024**power}{unit}"
    return f"{size}B"
