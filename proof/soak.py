"""Ten million predictions through eight threads while the service goes up and down: `python -m proof.soak [--minutes 10]`.

A program runs under `opentelemetry-instrument` and exports to a real `modelspan serve`, which is stopped, by SIGTERM and SIGKILL in
turn, and started again on the same data. At the end the numbers must agree: what the program made is what its recorder kept,
dropped and left out, and the store holds no prediction twice. What was kept and is not in the store was lost between the SDK, which gives up on
a collector that is down, and the service; the counters of `ml_recorders` say how much.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from bench.service import BIN, Service

UP, DOWN = 45.0, 15.0
"""Seconds."""

_DIFFERENT = "SELECT uniqExact(xxHash64(prediction_id)) FROM ml_predictions WHERE xxHash64(prediction_id) % 16 = {part}"
"""In parts, each of which fits into the memory that the service gives a query."""


@dataclass
class Seen:
    """Resident memory of the program in MB, and what it said last."""

    memory: list[float]
    said: dict[str, Any]


Found = tuple[Seen, list[tuple[Any, ...]], int]
"""Findings of a soak: of the program, of the store and its counters, and how often the service went down."""
Soak = Callable[[float, int, Path], Found]
Report = Callable[[float, Seen, list[tuple[Any, ...]], int], tuple[str, bool]]


def through_outages(
    service: Service, module: str, minutes: float, rows: int, folder: Path, up: float, down: float
) -> tuple[Seen, int]:
    """Run a program while the service goes up and down; what was seen of it, and how often that went down."""
    log = folder / "program.log"
    with log.open("wb") as stderr:
        program = subprocess.Popen(
            [
                BIN / "opentelemetry-instrument",
                sys.executable,
                "-m",
                module,
                str(minutes * 60),
                str(rows),
            ],
            env={
                **os.environ,
                "OTEL_SERVICE_NAME": "soak",
                "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{service.grpc}",
                "OTEL_EXPORTER_OTLP_INSECURE": "true",
                "OTEL_INSTRUMENTATION_ML_DUTY": "1",
            },
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
    process, seen, downs, until = psutil.Process(program.pid), Seen([], {}), 0, time.monotonic() + up
    assert program.stdout is not None
    for line in program.stdout:
        said = json.loads(line)
        if said.get("done"):
            break  # it waits for the service to be up before its last export
        seen.memory.append(process.memory_info().rss / 1e6)
        print(f"{said['made']:>12,} made, {seen.memory[-1]:.0f} MB", file=sys.stderr, flush=True)
        if time.monotonic() > until:
            service.process.send_signal(signal.SIGTERM if downs % 2 else signal.SIGKILL)
            service.process.wait(120)
            time.sleep(down)
            service.__enter__()
            downs, until = downs + 1, time.monotonic() + up
    seen.said = said
    program.wait(120)
    if program.returncode != 0:
        raise RuntimeError(f"the program ended with {program.returncode}:\n{log.read_text()[-2000:]}")
    return seen, downs


def soak(minutes: float, rows: int, folder: Path) -> Found:
    """Run it."""
    service = Service(folder / "data")
    service.__enter__()
    seen, downs = through_outages(service, "proof.soak_program", minutes, rows, folder, UP, DOWN)
    time.sleep(5)
    wrong = "countIf(abs(value - features_numeric['x0'] * 2) > 1e-6)"
    ((stored, wrong_values),) = service.query(f"SELECT count(), {wrong} FROM ml_predictions")
    different = sum(service.query(_DIFFERENT.format(part=part))[0][0] for part in range(16))
    counters = service.query(
        "SELECT recorder_id, max(rows_recorded), max(rows_dropped), max(rows_unsampled), sum(rows) FROM ml_recorders GROUP BY 1"
    )
    service.__exit__(None, None, None)
    return seen, [(stored, different, wrong_values), *counters], downs


def report(minutes: float, seen: Seen, found: list[tuple[Any, ...]], downs: int) -> tuple[str, bool]:
    """Markdown, and whether all numbers agree."""
    (stored, different, wrong), (_, recorded, dropped, left_out, arrived) = found
    made = seen.said["made"]
    quarter = max(1, len(seen.memory) // 4)
    early, late = max(seen.memory[quarter : 2 * quarter]), max(seen.memory[-quarter:])
    missing = recorded + dropped + left_out - made
    agree = missing == 0 and stored == different == arrived and wrong == 0
    lines = {
        "predictions made": f"{made:,}",
        "kept by the recorder": f"{recorded:,}",
        "dropped by the recorder, and counted": f"{dropped:,}",
        "left out as large calls in a row, and counted": f"{left_out:,}",
        "kept + dropped + left out - made": f"{missing}",
        f"times that the service went down, for {DOWN:.0f} s and its start": f"{downs}",
        "stored": f"{stored:,}",
        "stored twice": f"{stored - different}",
        "stored with another value than was predicted": f"{wrong}",
        "lost between SDK and service, by the counters": f"{recorded - arrived:,}",
        "resident memory of the program, highest in the second and the last quarter": f"{early:.0f} MB, {late:.0f} MB",
    }
    title = "ten million predictions, eight threads, a service that goes up and down"
    return markdown(title, f"proof.soak --minutes {minutes:g}", lines), agree


def markdown(title: str, command: str, lines: Mapping[str, str]) -> str:
    """A measurement as a document with one table."""
    rows = [f"| {name} | {value} |" for name, value in lines.items()]
    return "\n".join([f"# Measured: {title}", "", f"Command: `python -m {command}`", "", "| | |", "|---|---|", *rows])


def run(description: str | None, soak: Soak, report: Report, minutes: float, rows: int) -> None:
    """Print the report of a soak; exit with 1 where numbers disagree."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--minutes", type=float, default=minutes)
    parser.add_argument("--rows", type=int, default=rows)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        text, agree = report(given.minutes, *soak(given.minutes, given.rows, Path(folder)))
    print(text)
    sys.exit(not agree)


if __name__ == "__main__":
    run(__doc__, soak, report, minutes=10, rows=10_000_000)
