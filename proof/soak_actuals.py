"""A million actuals through eight threads while the service goes up and down: `python -m proof.soak_actuals [--minutes 3]`.

Like `proof.soak`, of which it is the other half: what the program made is what its recorder kept and dropped, the store holds no actual
twice, each has the label that was given, and the counters say how many were lost between the two.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.service import Service
from proof.soak import Seen, through_outages

UP, DOWN = 25.0, 10.0
"""Seconds."""

_STORED = """SELECT count(), uniqExact(prediction_id), countIf(label != toString(toUInt64(splitByChar('-', prediction_id)[2]) % 7))
FROM ml_actuals"""
_COUNTED = """SELECT recorder_id, max(rows_recorded), max(rows_dropped), sum(rows) FROM ml_recorders
WHERE event = 'ml.prediction.actual' GROUP BY 1"""


def soak(minutes: float, rows: int, folder: Path) -> tuple[Seen, list[tuple[Any, ...]], int]:
    """Run it; what was seen of the program, what the store holds and counted, and how often the service went down."""
    with Service(folder / "data") as service:
        seen, downs = through_outages(service, "proof.soak_actuals_program", minutes, rows, folder, UP, DOWN)
        time.sleep(5)
        return seen, service.query(_STORED) + service.query(_COUNTED), downs


def report(minutes: float, seen: Seen, found: list[tuple[Any, ...]], downs: int) -> tuple[str, bool]:
    """Markdown, and whether all numbers agree."""
    (stored, different, wrong), (_, recorded, dropped, arrived) = found
    missing = recorded + dropped - seen.said["made"]
    agree = missing == 0 and stored == different == arrived and wrong == 0
    lines = [
        "# Measured: a million actuals, eight threads, a service that goes up and down",
        "",
        f"Command: `python -m proof.soak_actuals --minutes {minutes:g}`",
        "",
        "| | |",
        "|---|---|",
        f"| actuals made | {seen.said['made']:,} |",
        f"| kept by the recorder | {recorded:,} |",
        f"| dropped by the recorder, and counted | {dropped:,} |",
        f"| kept + dropped - made | {missing} |",
        f"| times that the service went down, for {DOWN:.0f} s and its start | {downs} |",
        f"| stored | {stored:,} |",
        f"| stored twice | {stored - different} |",
        f"| stored with another label than was given | {wrong} |",
        f"| lost between recorder and service, by the counters | {recorded - arrived:,} |",
        f"| what the last `flush()` said | {seen.said['done']} |",
        f"| resident memory of the program, highest | {max(seen.memory):.0f} MB |",
    ]
    return "\n".join(lines), agree


def main() -> None:
    """Print the report; exit with 1 where numbers disagree."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=3)
    parser.add_argument("--rows", type=int, default=1_000_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        text, agree = report(given.minutes, *soak(given.minutes, given.rows, Path(folder)))
    print(text)
    sys.exit(not agree)


if __name__ == "__main__":
    main()
