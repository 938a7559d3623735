"""What New Relic's agent adds to a prediction, run in an environment of its own by `bench.frameworks`: prints JSON."""

from __future__ import annotations

import json
import os
import random
import time
from statistics import median
from typing import Any

os.environ.update(
    NEW_RELIC_LICENSE_KEY="0" * 40,
    NEW_RELIC_DEVELOPER_MODE="true",
    NEW_RELIC_APP_NAME="bench",
    NEW_RELIC_MACHINE_LEARNING_ENABLED="true",
    NEW_RELIC_ML_INSIGHTS_EVENTS_ENABLED="true",
)

import newrelic.agent  # type: ignore[import-not-found,unused-ignore]  # the agent comes before what it instruments

newrelic.agent.initialize()

import numpy as np  # noqa: E402
from sklearn.ensemble import RandomForestClassifier  # noqa: E402
from sklearn.linear_model import LogisticRegression  # noqa: E402

CALLS = {1: 300, 100: 100, 10_000: 3}
"""By rows; those of 10,000 take seconds each."""


def more(model: Any, x: Any, calls: int) -> float:
    """Microseconds that a call takes longer than the same method without the agent's wrapper."""
    variants = {"agent": lambda: model.predict(x), "bare": lambda: type(model).predict.__wrapped__(model, x)}
    taken: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(calls):
        for name in random.sample(list(variants), 2):
            began = time.perf_counter()
            variants[name]()
            taken[name].append((time.perf_counter() - began) * 1e6)
    return float(median(np.subtract(taken["agent"], taken["bare"])))


def main() -> None:
    """Measure within a transaction, without which the agent records nothing."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(10_000, 20))
    y = (x[:, 0] + x[:, 1] > 0).astype(int)
    models = {
        "LogisticRegression.predict": LogisticRegression().fit(x, y),
        "RandomForest(100).predict": RandomForestClassifier(100, random_state=0).fit(x[:2000], y[:2000]),
    }
    found = {}
    application = newrelic.agent.register_application(timeout=10)
    for name, model in models.items():
        for rows, calls in CALLS.items():
            with newrelic.agent.BackgroundTask(application, "bench"):
                found[f"{name} {rows}"] = more(model, x[:rows], calls)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
