"""The program of `proof.soak`: eight threads that predict at a steady rate. It knows nothing of telemetry but its last flush."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin

from modelspan.instrumentation import flush

THREADS = 8


class Double(RegressorMixin, BaseEstimator):  # type: ignore[misc]  # no types
    """Predicts twice the first feature, so that what is stored can be checked."""

    def fit(self, X: Any, y: Any) -> Double:
        self.n_features_in_ = X.shape[1]
        return self

    def predict(self, X: Any) -> Any:
        return np.round(X[:, 0] * 2, 6)


def predict(model: Double, seed: int, first: int, size: int) -> None:
    """Predict some rows."""
    model.predict(np.random.default_rng((seed, first)).normal(size=(size, 5)))


Record = Callable[[int, int, int], object]
"""Given a thread's number, its first row and how many: record them."""


def _work(record: Record, sizes: Sequence[int], seed: int, rows: int, seconds: float, made: list[int]) -> None:
    """Record `rows` rows in `seconds`, or as many as there is time for."""
    start, number = time.monotonic(), 0
    while made[seed] < rows and time.monotonic() - start < seconds * 1.2:
        size = min(sizes[number % len(sizes)], rows - made[seed])
        record(seed, made[seed], size)
        made[seed] += size
        number += 1
        ahead = made[seed] / rows * seconds - (time.monotonic() - start)
        if ahead > 0.02:
            time.sleep(ahead)


def run(record: Record, sizes: Sequence[int]) -> None:
    """Record at a steady rate, say every five seconds how many rows were made, and export what is left at the end."""
    seconds, rows = float(sys.argv[1]), int(sys.argv[2]) // THREADS
    made = [0] * THREADS
    threads = [
        threading.Thread(target=_work, args=(record, sizes, seed, rows, seconds, made)) for seed in range(THREADS)
    ]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        time.sleep(5)
        print(json.dumps({"made": sum(made)}), flush=True)
    flush(60)
    record(THREADS, 0, 1)  # its batch carries the last counters
    print(json.dumps({"made": sum(made) + 1, "done": flush(60)}), flush=True)


if __name__ == "__main__":
    run(partial(predict, Double().fit(np.zeros((10, 5)), np.zeros(10))), (1, 1, 1, 10, 50, 100))
