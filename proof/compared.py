"""Two runs of the same checks, without instrumentation and with it, and a second one without where these differ."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

Outcome = dict[str, str]
"""By check: passed, skipped, failed with what."""

ONE_THREAD = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
"""Environment of a run: the number of native threads decides the last bits of some results, and waiting ones take the time of others."""

_VARIES = re.compile(r"0x[0-9a-f]+|(?<![\d.])\d{14,15}(?![\d.])|\d\d:\d\d:\d\d|(?<=/tmp/)[^/\s]+")
"""Addresses, in decimal too, as `id` has them, times of the day and names of temporary files."""

PLAIN, INSTRUMENTED, AGAIN = "plain", "instrumented", "plain again"


def said_by(error: BaseException) -> str:
    """Type of an exception and the first line of its message, without what varies from run to run."""
    first = next((line for line in str(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {_VARIES.sub('', first)}"[:300]


def different(one: Outcome, other: Outcome) -> list[str]:
    """Checks with another outcome, or that only one of the two has."""
    return sorted(check for check in one.keys() | other.keys() if one.get(check) != other.get(check))


def caused(found: Mapping[str, Outcome]) -> list[str]:
    """Checks that have one outcome in the plain runs and another in the instrumented one."""
    unstable = set(different(found[PLAIN], found.get(AGAIN, found[PLAIN])))
    return [check for check in different(found[PLAIN], found[INSTRUMENTED]) if check not in unstable]


def fails(found: Mapping[str, Outcome], recorded: Mapping[str, Any]) -> bool:
    """Whether instrumentation changed an outcome, or recorded nothing, which proves nothing."""
    return bool(caused(found)) or rows(recorded) == 0


def differences(found: Mapping[str, Outcome]) -> list[str]:
    """Lines of Markdown: every difference between any two runs."""
    ours = caused(found)
    lines = [f"Checks with another outcome: {len(ours)}.", *(_line(check, found) for check in ours)]
    unstable = sorted({check for run in found.values() for check in different(found[PLAIN], run)} - set(ours))
    if unstable:
        lines += ["", f"Checks with another outcome in a second plain run, too: {len(unstable)}."]
        lines += [_line(check, found) for check in unstable]
    return lines


def _line(check: str, found: Mapping[str, Outcome]) -> str:
    return f"* `{check}`: " + "; ".join(f"{variant}: {run.get(check)}" for variant, run in found.items())


def rows(recorded: Mapping[str, Any]) -> int:
    """Rows of predictions that were recorded."""
    return int(recorded.get("counts", {}).get("rows", 0))


def said_of(recorded: Mapping[str, Any]) -> list[str]:
    """Lines of Markdown: what was recorded, and what the instrumentation said of itself."""
    counts = ", ".join(f"{name} {count:,}" for name, count in sorted(recorded.get("counts", {}).items()))
    said = recorded.get("warnings", [])
    return [
        f"Recorded: {counts or 'nothing'}.",
        "",
        f"Warnings of the instrumentation: {len(said)}.",
        *(f"* {' ... '.join(dict.fromkeys((one.splitlines()[0], one.splitlines()[-1])))}" for one in said),
    ]
