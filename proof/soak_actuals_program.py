"""The program of `proof.soak_actuals`: eight threads that record actuals at a steady rate, a few at a time and many at once."""

from __future__ import annotations

import json
import sys
import threading
import time

from modelspan.instrumentation import flush, record_actual

THREADS = 8
SIZES = (1, 1, 10, 100, 1000)
"""Rows of the calls, in turn."""


def work(seed: int, rows: int, seconds: float, made: list[int]) -> None:
    """Record `rows` actuals in `seconds`, or as many as there is time for. Each label follows from its id, so that it can be checked."""
    start, number = time.monotonic(), 0
    while made[seed] < rows and time.monotonic() - start < seconds * 1.2:
        first = made[seed]
        size = min(SIZES[number % len(SIZES)], rows - first)
        places = range(first, first + size)
        record_actual("soak", [f"{seed}-{place}" for place in places], label=[place % 7 for place in places])
        made[seed] += size
        number += 1
        ahead = made[seed] / rows * seconds - (time.monotonic() - start)
        if ahead > 0.02:
            time.sleep(ahead)


def main() -> None:
    """Say every five seconds how many were made, and export what is left at the end."""
    seconds, rows = float(sys.argv[1]), int(sys.argv[2]) // THREADS
    made = [0] * THREADS
    threads = [threading.Thread(target=work, args=(seed, rows, seconds, made)) for seed in range(THREADS)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        time.sleep(5)
        print(json.dumps({"made": sum(made)}), flush=True)
    flush(60)
    record_actual("soak", f"{THREADS}-0", label=0)  # its batch carries the last counters
    print(json.dumps({"made": sum(made) + 1, "done": flush(60)}), flush=True)


if __name__ == "__main__":
    main()
