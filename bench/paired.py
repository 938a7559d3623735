"""What recording adds to a call itself, while the background thread rests: `python -m bench.paired [NAME ...]`.

Groups of four calls, two of them recorded and two as if within a prediction, where nothing is recorded, in the order ABBA or BAAB, so that
what drifts cancels. Given are the median over groups, and its 95 % interval by the bootstrap (Efron 1979). What a call
within a prediction costs more than one without instrumentation is in `bench.nested`. Everything is recorded by the real SDK, between groups.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.frameworks import ROWS
from bench.overhead import _set_up
from bench.programs import PROGRAMS, Program
from modelspan.instrumentation import flush
from modelspan.instrumentation.recorder.scope import INSIDE, around

SECONDS = 6.0
GROUPS_UNTIL_FLUSH = 200
SAMPLES = 400

HEAD = "| program | rows | a call, µs | recorded, µs (95 % interval) | recorded |\n|---|---|---|---|---|"


def measure(program: Program, rows: int) -> str:
    """A row of the table."""
    call, _ = program.make(rows)
    instrumentors = [make() for make in program.instrumentors()]
    for instrumentor in instrumentors:
        instrumentor.instrument(flush_interval=1000.0)
    _groups(call, SECONDS / 4)
    bare, added = _groups(call, SECONDS)
    for instrumentor in instrumentors:
        instrumentor.uninstrument()
    low, high = _interval(added)
    cost, of = float(np.median(added)), float(np.median(bare))
    return (
        f"| {program.name} | {rows:,} | {of:,.1f} | {cost:+.1f} ({low:.1f} to {high:.1f}) | {100 * cost / of:+.1f} % |"
    )


def _groups(call: Callable[[], Any], seconds: float) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Microseconds of calls that are not recorded, and what recorded ones beside them took more."""
    bare, added = [], []
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        for _ in range(GROUPS_UNTIL_FLUSH):
            first = random.random() < 0.5
            outer = _one(call, first)
            inner = _one(call, not first) + _one(call, not first)
            outer += _one(call, first)
            recorded, nested = (outer, inner) if first else (inner, outer)
            bare.append(nested / 2e3)
            added.append((recorded - nested) / 2e3)
            if time.perf_counter() > until:
                break
        flush()
    return np.array(bare), np.array(added)


def _one(call: Callable[[], Any], recorded: bool) -> int:
    clock = time.perf_counter_ns
    token = around.set(None if recorded else INSIDE)
    began = clock()
    call()
    taken = clock() - began
    around.reset(token)
    return taken


def _interval(values: npt.NDArray[Any]) -> tuple[float, float]:
    generator = np.random.default_rng(0)
    medians = [np.median(generator.choice(values, len(values))) for _ in range(SAMPLES)]
    low, high = np.percentile(medians, (2.5, 97.5))
    return float(low), float(high)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*")
    given = parser.parse_args()
    _set_up()
    print(HEAD)
    for program in PROGRAMS:
        if not given.names or program.name in given.names:
            for rows in ROWS:
                print(measure(program, rows), flush=True)


if __name__ == "__main__":
    main()
