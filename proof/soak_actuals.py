"""A million actuals through eight threads while the service goes up and down: `python -m proof.soak_actuals [--minutes 3]`.

Like `proof.soak`, of which it is the other half: what the program made is what its recorder kept and dropped, the store holds no actual
twice, each has the label that was given, and the counters say how many were lost between the two.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from bench.service import Service
from proof.soak import Found, Seen, markdown, run, through_outages

UP, DOWN = 25.0, 10.0
"""Seconds."""

_STORED = """SELECT count(), uniqExact(prediction_id), countIf(label != toString(toUInt64(splitByChar('-', prediction_id)[2]) % 7))
FROM ml_actuals"""
_COUNTED = """SELECT recorder_id, max(rows_recorded), max(rows_dropped), sum(rows) FROM ml_recorders
WHERE event = 'ml.prediction.actual' GROUP BY 1"""


def soak(minutes: float, rows: int, folder: Path) -> Found:
    """Run it."""
    with Service(folder / "data") as service:
        seen, downs = through_outages(service, "proof.soak_actuals_program", minutes, rows, folder, UP, DOWN)
        time.sleep(5)
        return seen, service.query(_STORED) + service.query(_COUNTED), downs


def report(minutes: float, seen: Seen, found: list[tuple[Any, ...]], downs: int) -> tuple[str, bool]:
    """Markdown, and whether all numbers agree."""
    (stored, different, wrong), (_, recorded, dropped, arrived) = found
    missing = recorded + dropped - seen.said["made"]
    agree = missing == 0 and stored == different == arrived and wrong == 0
    lines = {
        "actuals made": f"{seen.said['made']:,}",
        "kept by the recorder": f"{recorded:,}",
        "dropped by the recorder, and counted": f"{dropped:,}",
        "kept + dropped - made": f"{missing}",
        f"times that the service went down, for {DOWN:.0f} s and its start": f"{downs}",
        "stored": f"{stored:,}",
        "stored twice": f"{stored - different}",
        "stored with another label than was given": f"{wrong}",
        "lost between recorder and service, by the counters": f"{recorded - arrived:,}",
        "what the last `flush()` said": f"{seen.said['done']}",
        "resident memory of the program, highest": f"{max(seen.memory):.0f} MB",
    }
    title = "a million actuals, eight threads, a service that goes up and down"
    return markdown(title, f"proof.soak_actuals --minutes {minutes:g}", lines), agree


if __name__ == "__main__":
    run(__doc__, soak, report, minutes=3, rows=1_000_000)
