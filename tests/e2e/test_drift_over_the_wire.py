"""From OTLP requests to verdicts that can be read: every kind of status, both kinds of reference, and the same after `kill -9`."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

from modelspan.processor.journal import Record
from modelspan.profile import Profile, numeric_profile, to_json
from modelspan.semconv import attributes, columns, events
from tests.e2e.conftest import Service, modelspan, wait_for
from tests.e2e.test_bad_input import feature, post, store
from tests.processor import otlp

ROWS = 300
SECOND = 1_000_000_000
START = (int(time.time()) - 600) * SECOND
QUICK = {
    "MODELSPAN_WINDOWS__LENGTH": "1s",
    "MODELSPAN_WINDOWS__LATENESS": "0s",
    "MODELSPAN_WINDOWS__IDLE": "1s",
    "MODELSPAN_DRIFT__FIRST_PREDICTIONS": str(ROWS),
}


class Traffic:
    """The same predictions whenever it is made with the same seed."""

    def __init__(self, model: str, seed: int = 7) -> None:
        self.model = model
        self._random = np.random.default_rng(seed)
        self._batches = 0

    def window(self, second: int, rows: int = ROWS, **changed: Any) -> Record:
        """A batch within one window; `changed` columns replace the usual ones, None takes one away."""
        self._batches += 1
        at = START + second * SECOND + np.arange(rows) * (SECOND // 1000)
        usual = {
            columns.TIME: pa.array(at, pa.timestamp("ns", "UTC")),
            columns.PREDICTION_ID: [f"{self._batches}-{i}" for i in range(rows)],
            columns.LABEL: self._random.choice(["yes", "no"], rows),
            columns.SCORE: self._random.beta(2, 5, rows),
            feature("amount"): self._random.normal(100, 20, rows),
            feature("country"): self._random.choice(["DE", "FR", "US"], rows),
        }
        table = pa.table({name: values for name, values in {**usual, **changed}.items() if values is not None})
        return otlp.batch(otlp.stream(table), {attributes.ML_MODEL_NAME: self.model})


def story(model: str) -> list[Record]:
    """A reference, a usual window, a small one, and one for each thing that can drift."""
    traffic = Traffic(model)
    return [
        traffic.window(0),
        traffic.window(1),
        traffic.window(2, rows=20),
        traffic.window(3, **{feature("amount"): np.linspace(150, 200, ROWS)}),
        traffic.window(4, **{feature("country"): ["DE", "BR", "BR"] * (ROWS // 3)}),
        traffic.window(5, **{feature("amount"): None}),
        traffic.window(6, **{columns.LABEL: ["yes"] * ROWS, columns.SCORE: np.linspace(0.7, 1, ROWS)}),
    ]


def late() -> Record:
    """Rows of the second window that come when it has its verdict."""
    late = Traffic("fraud", seed=1)
    ids = [f"late {i}" for i in range(ROWS)]
    return late.window(1, **{columns.PREDICTION_ID: ids, feature("amount"): np.linspace(150, 200, ROWS)})


DRIFTED = {
    0: ("no_reference", []),
    1: ("ok", []),
    2: ("insufficient_data", []),
    3: ("drifted", ["amount"]),
    4: ("drifted", ["country"]),
    5: ("drifted", ["amount (missing)"]),
    6: ("drifted", ["score", "label"]),
}


def verdicts(service: Service, model: str, windows: int) -> dict[int, tuple[str, list[str]]]:
    sql = (
        f"SELECT window_start, status, drifted FROM ml_windows FINAL WHERE model_name = '{model}' ORDER BY window_start"
    )
    found = wait_for(lambda: len(rows := service.rows(sql)) == windows and rows, f"{windows} verdicts")
    return {round(start.timestamp() - START // SECOND): (status, drifted) for start, status, drifted in found}


def test_each_change_is_found_where_it_happened_and_nowhere_else(make_service: Callable[..., Service]) -> None:
    service = make_service(**QUICK).start()
    store(service, *story("fraud"))
    assert verdicts(service, "fraud", 7) == DRIFTED
    reported = modelspan("query", "references", url=service.url)
    assert {(row["source"], row["reference_rows"]) for row in reported} == {("first_predictions", ROWS)}

    store(service, late())
    wait_for(lambda: verdicts(service, "fraud", 7)[1] == ("drifted", ["amount"]), "that late rows reopen their window")

    killed = make_service(**QUICK).start()
    for place, record in enumerate([*story("fraud"), late()]):
        assert post(killed, record.payload).status_code == 200
        if place == 4:
            killed.kill()
            killed.start()
    every = "SELECT * EXCEPT computed_at FROM ml_drift FINAL ORDER BY ALL"
    wait_for(lambda: killed.rows(every) == service.rows(every), "the verdicts of the service that was not killed")


def reference(model: str) -> Record:
    series = [numeric_profile(np.random.default_rng(3).normal(100, 20, 5000), kind="feature", name="amount")]
    return otlp.log(
        events.ML_REFERENCE_PROFILE,
        {
            attributes.ML_MODEL_NAME: model,
            attributes.ML_MODEL_VERSION: "3",
            attributes.ML_REFERENCE_ID: "training-1",
            attributes.ML_REFERENCE_SOURCE: "training",
            attributes.ML_REFERENCE_SAMPLE_COUNT: 5000,
            attributes.ML_REFERENCE_PROFILE_DATA: to_json(Profile(tuple(series))),
        },
    )


def test_a_reference_may_come_before_the_predictions_or_after_them(make_service: Callable[..., Service]) -> None:
    service = make_service(**QUICK).start()
    high = {feature("amount"): np.linspace(150, 200, ROWS)}
    before, after = Traffic("before"), Traffic("after")
    store(service, reference("before"), before.window(0), before.window(1, **high), after.window(0, **high))
    assert verdicts(service, "before", 2) == {0: ("ok", []), 1: ("drifted", ["amount"])}
    assert verdicts(service, "after", 1) == {0: ("no_reference", [])}
    store(service, reference("after"))
    wait_for(lambda: verdicts(service, "after", 1) == {0: ("drifted", ["amount"])}, "a verdict by the new reference")
    now = modelspan("query", "drift_now", "--param", "model=after", "--param", "status=drifted", url=service.url)
    assert [(row["series_name"], row["reference_source"], row["severity"]) for row in now] == [
        ("amount", "training", "major")
    ]
