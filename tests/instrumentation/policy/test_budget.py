"""Large calls cost no more than a share of the time: others are left out, counted, and stood for."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from opentelemetry.sdk.trace import TracerProvider
from sklearn.linear_model import LinearRegression, LogisticRegression

from modelspan.instrumentation import failure, flush, prediction_context
from modelspan.instrumentation.recorder.budget import LONGEST, MANY_ROWS, MOST, REST, Budget
from modelspan.instrumentation.recorder.calls import QUEUE_FULL, CallQueue, LeftOut
from modelspan.instrumentation.recorder.identity import Identity
from modelspan.semconv import attributes as ml
from modelspan.semconv import metrics
from tests.instrumentation.conftest import Telemetry
from tests.instrumentation.faults import Fault, places

RANDOM = np.random.default_rng(5)
X = RANDOM.normal(size=(2000, 3))
MODEL = LogisticRegression().fit(X, X[:, 0] > 0)
LABELS = MODEL.predict(X)
ALMOST_NONE = 1e-9
"""A share that is used up by one call, for as long as is possible."""
SECOND = 1_000_000_000
SPENT = 40_000
"""Nanoseconds that recording a call took."""


def recorded_in_a_loop(share: float, duration: int, calls: int) -> list[int]:
    """How many calls each recorded one stands for, of a loop of large calls that take `duration`."""
    budget, found, now = Budget(), [], 100 * SECOND
    for _ in range(calls):
        left_out = now < budget.due
        now += duration
        if left_out:
            budget.before += 1
        else:
            found.append(budget.pay(share, now, SPENT, 0))
    return found


@pytest.mark.parametrize(("share", "duration"), [(0.005, 300_000), (0.01, 1_000_000), (0.1, 50_000)])
def test_a_loop_spends_its_share_and_no_more(share: float, duration: int) -> None:
    calls = 200_000
    spent = SPENT * len(recorded_in_a_loop(share, duration, calls))
    assert spent / (calls * duration + REST) == pytest.approx(share, rel=0.1)


def test_calls_with_pauses_are_all_recorded() -> None:
    assert recorded_in_a_loop(0.005, SPENT * 201, 1000) == [1] * 1000


def test_after_a_rest_many_calls_in_a_row_are_recorded() -> None:
    assert recorded_in_a_loop(0.005, 1000, 100) == [1] * 100


def test_the_recorded_calls_stand_for_all_calls() -> None:
    found = recorded_in_a_loop(0.005, 300_000, 100_000)
    assert sum(found) == pytest.approx(100_000, abs=max(found))
    assert len(set(found)) > 5, "not one in so many, which calls in a regular order would all miss"


def test_one_very_large_call_leaves_others_out_for_seconds_and_not_longer() -> None:
    budget = Budget()
    budget.pay(0.005, 100 * SECOND, SECOND, 1 << 40)
    assert budget.due == 100 * SECOND + LONGEST


def test_a_call_that_waited_for_others_is_not_charged_for_it() -> None:
    budget = Budget()
    budget.pay(1.0, 100 * SECOND, 60 * SECOND, 0)
    assert budget.due == 99 * SECOND + MOST


def account(telemetry: Telemetry) -> tuple[int, int, int]:
    """Rows recorded, dropped and left out, by the last batch."""
    last = telemetry.numbered()[-1]
    return (
        last[ml.MODELSPAN_RECORDER_ROWS_RECORDED],
        last[ml.MODELSPAN_RECORDER_ROWS_DROPPED],
        last[ml.MODELSPAN_RECORDER_ROWS_UNSAMPLED],
    )


def test_calls_that_are_left_out_are_counted_with_their_durations(again: Callable[..., Telemetry]) -> None:
    telemetry = again(overhead=ALMOST_NONE)
    for _ in range(10):
        MODEL.predict(X)
    for _ in range(5):
        MODEL.predict_proba(X[:1500])
    recorded, dropped, left_out = account(telemetry)
    assert 0 < recorded < 15 * 2000
    assert dropped == 0
    assert recorded + left_out == 10 * 2000 + 5 * 1500
    made = {point.attributes[ml.ML_OPERATION_NAME]: point.value for point in telemetry.points(metrics.ML_PREDICTIONS)}
    assert made == {"predict": 20_000, "predict_proba": 7_500}
    assert sum(point.count for point in telemetry.points(metrics.ML_OPERATION_DURATION)) == 15


def test_weights_add_up_to_what_was_predicted(again: Callable[..., Telemetry], monkeypatch: Any) -> None:
    monkeypatch.setattr("modelspan.instrumentation.recorder.budget.LONGEST", 2_000_000)
    telemetry = again(overhead=ALMOST_NONE)
    for _ in range(300):
        MODEL.predict(X)
    weights = [w for _, table in telemetry.batches() for w in table.to_pydict().get("weight", [1.0] * table.num_rows)]
    assert len(weights) < 300 * 2000
    assert sum(weights) == pytest.approx(300 * 2000, rel=0.1)


def test_weights_of_rows_and_of_calls_are_multiplied(again: Callable[..., Telemetry], monkeypatch: Any) -> None:
    monkeypatch.setattr("modelspan.instrumentation.recorder.budget.LONGEST", 2_000_000)
    telemetry = again(overhead=ALMOST_NONE, call_bytes=24 * 100)
    for _ in range(300):
        MODEL.predict(X)
    batches = [table.to_pydict() for _, table in telemetry.batches()]
    assert sum(sum(batch["weight"]) for batch in batches) == pytest.approx(300 * 2000, rel=0.1)
    assert {weight % 20 for batch in batches for weight in batch["weight"]} == {0.0}, (
        "100 rows of 2000, of so many calls"
    )


def test_small_calls_are_all_recorded_beside_large_ones(again: Callable[..., Telemetry]) -> None:
    telemetry = again(overhead=ALMOST_NONE)
    for _ in range(20):
        MODEL.predict(X)
        MODEL.predict_proba(X[: MANY_ROWS - 1])
    probabilities = [t.num_rows for a, t in telemetry.batches() if a[ml.ML_OPERATION_NAME] == "predict_proba"]
    assert sum(probabilities) == 20 * (MANY_ROWS - 1)


def test_calls_within_a_trace_are_all_recorded(again: Callable[..., Telemetry]) -> None:
    telemetry = again(overhead=ALMOST_NONE)
    with TracerProvider().get_tracer("test").start_as_current_span("request"):
        for _ in range(5):
            MODEL.predict(X)
    assert telemetry.rows() == 5 * 2000


def test_calls_of_which_the_program_says_something_are_all_recorded(again: Callable[..., Telemetry]) -> None:
    telemetry = again(overhead=ALMOST_NONE)
    for i in range(5):
        with prediction_context(segment={"batch": str(i)}):
            MODEL.predict(X)
    assert telemetry.rows() == 5 * 2000


@pytest.mark.parametrize(("share", "all_recorded"), [(1.0, True), (0.005, False)])
def test_a_share_of_one_leaves_nothing_out(
    again: Callable[..., Telemetry], monkeypatch: Any, share: float, all_recorded: bool
) -> None:
    monkeypatch.setattr("modelspan.instrumentation.recorder.budget.REST", 0)
    telemetry = again(overhead=share)
    for _ in range(20):
        MODEL.predict(X)
    assert (telemetry.rows() == 20 * 2000) == all_recorded


def test_a_call_that_raises_is_recorded_with_its_features(again: Callable[..., Telemetry]) -> None:
    telemetry = again(overhead=ALMOST_NONE)
    for _ in range(3):
        MODEL.predict(X)
    broken = X.copy()
    broken[7, 1] = np.inf
    with pytest.raises(ValueError, match="infinity"):
        MODEL.predict(broken)
    (table,) = [t for _, t in telemetry.batches() if "error_type" in t.column_names]
    assert table.num_rows == 2000
    assert table.column("feature.x1").to_pylist()[7] == np.inf


def test_what_is_left_out_by_threads_is_counted_exactly(again: Callable[..., Telemetry]) -> None:
    telemetry = again(overhead=ALMOST_NONE)
    threads = [threading.Thread(target=lambda: [MODEL.predict(X) for _ in range(100)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(account(telemetry)) == 400 * 2000


def test_calls_that_are_left_out_wait_in_a_bounded_queue() -> None:
    identity, queue = Identity("m", "1", {}), CallQueue(4, 1 << 20, lambda: None)
    for i in range(10):
        queue.put_left_out(LeftOut(identity, MODEL, "predict", 1000 + i, 5))
    assert [call.rows for call in queue.take_left_out()] == [1000, 1001, 1002, 1003]
    assert queue.take_dropped() == {(identity, QUEUE_FULL): sum(range(1004, 1010))}
    assert queue.take_left_out() == []


def test_results_are_the_same(again: Callable[..., Telemetry]) -> None:
    model = LinearRegression().fit(X, X @ np.array([[1.0, 2.0], [0.5, 0.0], [0.0, 1.0]]))
    expected = model.predict(X)
    again(overhead=ALMOST_NONE)
    for _ in range(3):
        found = model.predict(X)
        assert type(found) is np.ndarray
        np.testing.assert_array_equal(found, expected)


FAULTS = (
    "recorder.budget:Budget.pay",
    "recorder.calls:CallQueue.put_left_out",
    "recorder.calls:CallQueue.take_left_out",
    "recorder.recorder:Recorder._count_left_out",
    "recorder.events:BatchEmitter.account",
)


@pytest.mark.parametrize("place", FAULTS)
def test_a_fault_changes_no_result_and_is_said_once(
    place: str, again: Callable[..., Telemetry], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    again(overhead=ALMOST_NONE)
    failure._said.clear()
    with monkeypatch.context() as patch, caplog.at_level(logging.WARNING):
        fault = Fault(*places("recorder")[place], patch)
        for _ in range(4):
            np.testing.assert_array_equal(MODEL.predict(X), LABELS)
        assert flush(5)
    assert fault.calls
    assert len([record for record in caplog.records if record.name.startswith("modelspan")]) == 1
