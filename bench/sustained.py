"""Benchmark: overhead of recording in a program that predicts without end: `python -m bench.sustained [NAME ...]`, or `make bench-sustained`.

Each run is a process of its own, bare or under `opentelemetry-instrument`, which exports over gRPC to a real `modelspan serve`. Runs
alternate bare, recorded, recorded, bare, so that what drifts cancels. A run lasts long enough for the background thread and the
exporters to work while the program predicts; processor time is that of the whole process, the last export included.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from bench.programs import PROGRAMS
from bench.service import BIN, Service

CALLS = 30_000
WARM_UP = 3_000
SECONDS = 10
"""Of a run at a given rate, at most."""
ROUNDS = 3
PATIENCE = 30.0
"""Seconds in which rows must have been stored after the program ended."""

HEAD = (
    "| program | rows | calls/s | p50, µs | p99, µs | p99.9, µs | CPU, µs a call | switches a call | stored |\n"
    "|---|---|---|---|---|---|---|---|---|"
)


@dataclass(frozen=True)
class Load:
    """A program of `bench.programs`, the rows of its calls, and how many calls it makes a second; 0: as many as it can."""

    program: str
    rows: int = 1
    rate: int = 0


LOADS = (
    Load("LogisticRegression.predict"),
    Load("LogisticRegression.predict", rows=10, rate=1_000),
    Load("Pipeline.predict, DataFrame"),
    Load("XGBClassifier.predict"),
)


@dataclass(frozen=True)
class Run:
    """Microseconds, and context switches, of a call."""

    p50: float
    p99: float
    p999: float
    cpu: float
    switches: float


def work(load: Load, calls: int) -> Run:
    """Predict, in this process."""
    program = next(one for one in PROGRAMS if one.name == load.program)
    call, _ = program.make(load.rows)
    _predict(call, WARM_UP, load.rate)
    _flush()
    before = resource.getrusage(resource.RUSAGE_SELF)
    times = _predict(call, calls, load.rate) / 1e3
    looped = resource.getrusage(resource.RUSAGE_SELF)
    _flush()
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    switches = looped.ru_nvcsw - before.ru_nvcsw + looped.ru_nivcsw - before.ru_nivcsw
    p50, p99, p999 = np.percentile(times, (50, 99, 99.9))
    return Run(float(p50), float(p99), float(p999), 1e6 * cpu / calls, switches / calls)


def _predict(call: Callable[[], Any], calls: int, rate: int) -> Any:
    clock = time.perf_counter_ns
    times = np.empty(calls, dtype=np.int64)
    began = clock()
    for number in range(calls):
        if rate and (early := began + number * 1_000_000_000 // rate - clock()) > 0:
            time.sleep(early / 1e9)
        start = clock()
        call()
        times[number] = clock() - start
    return times


def _flush() -> None:
    instrumentation = sys.modules.get("modelspan.instrumentation")
    if instrumentation is not None and "opentelemetry.sdk" in sys.modules:
        instrumentation.flush()


def _spawn(load: Load, calls: int, service: Service | None, name: str) -> Run:
    command = [str(BIN / "python"), "-m", "bench.sustained", "--work", json.dumps(asdict(load)), "--calls", str(calls)]
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    if service is not None:
        command = [str(BIN / "opentelemetry-instrument"), *command]
        environment |= {
            "OTEL_SERVICE_NAME": name,
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{service.grpc}",
            "OTEL_EXPORTER_OTLP_INSECURE": "true",
        }
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return Run(**json.loads(done.stdout.splitlines()[-1]))


def _stored(service: Service, name: str, rows: int) -> int:
    """Rows of a run in the store, once they are all there or nothing more can be expected."""
    until = time.monotonic() + PATIENCE
    while True:
        ((found,),) = service.query(f"SELECT count() FROM ml_predictions WHERE service_name = '{name}'")
        if found >= rows or time.monotonic() > until:
            return int(found)
        time.sleep(0.2)


def measure(load: Load, calls: int, rounds: int, service: Service) -> str:
    """A row of the table."""
    calls = min(calls, load.rate * SECONDS) if load.rate else calls
    bare: list[Run] = []
    recorded: list[Run] = []
    stored = 0
    rows = (calls + WARM_UP) * load.rows
    for number in range(2 * rounds):
        turns = [None, service] if number % 2 == 0 else [service, None]
        for through in turns:
            name = f"sustained-{LOADS.index(load)}-{number}"
            run = _spawn(load, calls, through, name)
            (bare if through is None else recorded).append(run)
            if through is not None:
                stored += _stored(service, name, rows)
    cells = [_cell(bare, recorded, field) for field in ("p50", "p99", "p999", "cpu")]
    switches = " -> ".join(f"{median(run.switches for run in runs):.2f}" for runs in (bare, recorded))
    kept = f"{stored:,} of {2 * rounds * rows:,}"
    rate = f"{load.rate:,}" if load.rate else "all it can"
    return f"| {load.program} | {load.rows} | {rate} | " + " | ".join([*cells, switches, kept]) + " |"


def _cell(bare: list[Run], recorded: list[Run], field: str) -> str:
    before, after = (median(getattr(run, field) for run in runs) for runs in (bare, recorded))
    ratios = [getattr(b, field) / getattr(a, field) for a, b in zip(bare, recorded, strict=True)]
    return f"{before:.0f} -> {after:.0f} ({100 * (median(ratios) - 1):+.0f} %)"


def table(numbers: Iterable[int] = (0, 1, 2), calls: int = CALLS, rounds: int = ROUNDS) -> str:
    """Rows of Markdown: programs of scikit-learn by default."""
    with tempfile.TemporaryDirectory() as folder, Service(Path(folder)) as service:
        return "\n".join([HEAD, *(measure(LOADS[number], calls, rounds, service) for number in numbers)])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("numbers", nargs="*", type=int, help="which rows of the table, from 0")
    parser.add_argument("--calls", type=int, default=CALLS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--work", type=json.loads, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work is not None:
        print(json.dumps(asdict(work(Load(**given.work), given.calls))))
        return
    print(table(given.numbers or range(len(LOADS)), given.calls, given.rounds))


if __name__ == "__main__":
    main()
