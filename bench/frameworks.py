"""What recording costs a call of each framework at 1, 100 and 10,000 rows: `python -m bench.frameworks [NAME ...]`.

One process measures a program in turns of some ten milliseconds: not instrumented, instrumented, and with a span of 24 attributes
for the first row of each call. What is given are medians over turns of the difference to the turn without instrumentation beside
it. Everything is recorded by the real SDK and encoded. New Relic's agent, where it knows the framework, is measured in an
environment of its own (`make bench-frameworks` makes it), against the same method without its wrapper.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from bench.overhead import _export_logs_and_metrics, _export_spans, _set_up
from bench.programs import PROGRAMS, Program
from modelspan.instrumentation import flush
from modelspan.instrumentation.config import load
from modelspan.instrumentation.patching.instrumentor import ModelInstrumentor
from modelspan.instrumentation.recorder import current
from modelspan.instrumentation.recorder.signals import Providers

ROWS = (1, 100, 10_000)
TURNS = 40
TURN_SECONDS = 0.05
WARM_SECONDS = 0.05
"""After each change from one to the other: the interpreter learns again which methods the classes have."""
SETTLE_SECONDS = 2.0
MOST_CALLS = 300

BARE, RECORDED = "bare", "recorded"


@dataclass(frozen=True)
class Cost:
    """Microseconds for each call."""

    bare: float
    recorded: float
    behind: float
    """Processor time of the background thread and the exporters."""
    spanned: float

    def line(self, name: str, rows: int, newrelic: float | None) -> str:
        cells = (self.recorded, self.recorded + self.behind, self.spanned)
        shares = " | ".join(f"{100 * cell / self.bare:+.1f} %" for cell in cells)
        other = "" if newrelic is None else f"{100 * newrelic / self.bare:+,.0f} %"
        return f"| {name} | {rows:,} | {self.bare:,.0f} | {self.recorded:+.1f} | {shares} | {other} |"


HEAD = (
    "| program | rows | bare, µs a call | recorded, µs | recorded | with background CPU | with a span instead | New Relic 14 instead |\n"
    "|---|---|---|---|---|---|---|---|"
)


def measure(program: Program, rows: int) -> Cost:
    """Measure one program at one size."""
    call, first_row = program.make(rows)
    instrumentors = [make() for make in program.instrumentors()]
    calls = _calls_of_a_turn(call)
    times: dict[str, list[float]] = {BARE: [], RECORDED: []}
    with_span = _with_span(call, first_row)
    _settle(instrumentors, call)
    process, caller, made = time.process_time_ns(), time.thread_time_ns(), 0
    for _ in range(TURNS):
        for variant in random.sample([BARE, RECORDED], 2):
            if variant == RECORDED:
                _each(instrumentors, "instrument")
            taken, warming = _turn(call, calls)
            times[variant].append(taken)
            if variant == RECORDED:
                made += warming + calls
                _each(instrumentors, "uninstrument")
    flush()
    _export_logs_and_metrics()
    _export_spans()
    behind = (time.process_time_ns() - process - (time.thread_time_ns() - caller)) / 1e3 / made
    spans = []
    for _ in range(TURNS // 3):
        bare, _ = _turn(call, calls)
        spans.append(_turn(with_span, calls)[0] - bare)
        _export_spans()
    bare = median(times[BARE])
    return Cost(bare, median(np.subtract(times[RECORDED], times[BARE])), behind, median(spans))


def _settle(instrumentors: list[ModelInstrumentor], call: Callable[[], Any]) -> None:
    """Record for a second: the model is announced, and the background thread finds how much it can take."""
    _each(instrumentors, "instrument")
    until = time.perf_counter() + SETTLE_SECONDS
    while time.perf_counter() < until:
        call()
    _each(instrumentors, "uninstrument")
    flush()


def _each(instrumentors: list[ModelInstrumentor], what: str) -> None:
    for instrumentor in instrumentors:
        getattr(instrumentor, what)()


def _calls_of_a_turn(call: Callable[[], Any]) -> int:
    for _ in range(5):
        call()
    began = time.perf_counter()
    for _ in range(3):
        call()
    return max(1, min(MOST_CALLS, int(TURN_SECONDS / ((time.perf_counter() - began) / 3))))


def _turn(call: Callable[[], Any], calls: int) -> tuple[float, int]:
    """Median microseconds of a call, and how many were made before those that are measured."""
    clock = time.perf_counter_ns
    taken: list[int] = []
    warming, until = 0, clock() + int(WARM_SECONDS * 1e9)
    while clock() < until:
        call()
        warming += 1
    for _ in range(calls):
        began = clock()
        call()
        taken.append(clock() - began)
    return median(taken) / 1e3, warming


def _with_span(call: Callable[[], Any], first_row: Any) -> Callable[[], Any]:
    from opentelemetry import trace

    tracer = trace.get_tracer("bench")
    names = [f"feature.{i}" for i in range(20)]
    values = dict(zip(names, np.asarray(first_row, dtype=float).ravel().tolist(), strict=False))

    def spanned() -> Any:
        with tracer.start_as_current_span("predict") as span:
            result = call()
            span.set_attributes({"model": "m", "version": "1", "operation": "predict", "rows": 1})
            span.set_attributes(values)
        return result

    return spanned


def newrelic(interpreter: Path) -> dict[str, float]:
    """What New Relic's agent adds to a call, by program and rows, in microseconds; nothing where it is not installed."""
    if not interpreter.exists():
        return {}
    done = subprocess.run(
        [str(interpreter), str(Path(__file__).with_name("newrelic_overhead.py"))],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": ""},
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def table(chosen: list[str], interpreter: Path) -> str:
    """Rows of Markdown."""
    _set_up()
    random.seed(0)
    current.join(load, Providers())  # which stays while instrumentors come and go
    peer = newrelic(interpreter)
    lines = [HEAD]
    for program in PROGRAMS:
        if not chosen or program.name in chosen:
            for rows in ROWS:
                lines.append(measure(program, rows).line(program.name, rows, peer.get(f"{program.name} {rows}")))
                print(lines[-1], flush=True)
    return "\n".join(lines)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--newrelic", type=Path, default=Path(".venv-newrelic/bin/python"))
    given = parser.parse_args()
    print(HEAD)
    table(given.names, given.newrelic)


if __name__ == "__main__":
    main()
