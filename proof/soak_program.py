"""The program of `proof.soak`: eight threads that predict at a steady rate. It knows nothing of telemetry but its last flush."""

from __future__ import annotations

import json
import sys
import threading
import time
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin

from modelspan.instrumentation import flush

THREADS = 8
SIZES = (1, 1, 1, 10, 50, 100)
"""Rows of the calls, in turn."""


class Double(RegressorMixin, BaseEstimator):  # type: ignore[misc]  # no types
    """Predicts twice the first feature, so that what is stored can be checked."""

    def fit(self, X: Any, y: Any) -> Double:
        self.n_features_in_ = X.shape[1]
        return self

    def predict(self, X: Any) -> Any:
        return np.round(X[:, 0] * 2, 6)


def work(model: Double, seed: int, rows: int, seconds: float, made: list[int]) -> None:
    """Predict `rows` rows in `seconds`, or as many as there is time for."""
    rng = np.random.default_rng(seed)
    start, number = time.monotonic(), 0
    while made[seed] < rows and time.monotonic() - start < seconds * 1.2:
        size = min(SIZES[number % len(SIZES)], rows - made[seed])
        model.predict(rng.normal(size=(size, 5)))
        made[seed] += size
        number += 1
        ahead = made[seed] / rows * seconds - (time.monotonic() - start)
        if ahead > 0.02:
            time.sleep(ahead)


def main() -> None:
    """Say every five seconds how many were made, and export what is left at the end."""
    seconds, rows = float(sys.argv[1]), int(sys.argv[2]) // THREADS
    model = Double().fit(np.zeros((10, 5)), np.zeros(10))
    made = [0] * THREADS
    threads = [threading.Thread(target=work, args=(model, seed, rows, seconds, made)) for seed in range(THREADS)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        time.sleep(5)
        print(json.dumps({"made": sum(made)}), flush=True)
    flush(60)
    model.predict(np.zeros((1, 5)))  # its batch carries the last counters
    print(json.dumps({"made": sum(made) + 1, "done": flush(60)}), flush=True)


if __name__ == "__main__":
    main()
