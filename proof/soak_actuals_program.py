"""The program of `proof.soak_actuals`: eight threads that record actuals at a steady rate, a few at a time and many at once."""

from __future__ import annotations

from modelspan.instrumentation import record_actual
from proof.soak_program import run


def record(seed: int, first: int, size: int) -> None:
    """Record some actuals. Each label follows from its id, so that it can be checked."""
    places = range(first, first + size)
    record_actual("soak", [f"{seed}-{place}" for place in places], label=[place % 7 for place in places])


if __name__ == "__main__":
    run(record, (1, 1, 10, 100, 1000))
