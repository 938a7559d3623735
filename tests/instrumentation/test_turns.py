"""A program that does nothing but predict leaves the recorder the turns that it needs, and no other program waits for it."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from modelspan.instrumentation import flush
from modelspan.instrumentation.recorder import current
from modelspan.instrumentation.recorder.turns import NEVER, Turns
from tests.instrumentation.test_survival import PATIENT, attributes_of, receiver, under_opentelemetry_instrument

__all__ = ["receiver"]

X = np.random.default_rng(3).normal(size=(500, 20))
MODEL = LogisticRegression().fit(X, X[:, 0] > 0)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_loop_of_predictions_loses_no_row(tmp_path: Path, receiver: Any, threads: int) -> None:
    url, got = receiver
    source = f"""
    import threading
    import numpy as np
    from sklearn.linear_model import LogisticRegression
    x = np.random.default_rng(0).normal(size=(500, 20))
    model = LogisticRegression().fit(x, x[:, 0] > 0)
    def predict():
        for k in range(24_000):
            model.predict(x[k % 500 : k % 500 + 1])
    workers = [threading.Thread(target=predict) for _ in range({threads})]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    """
    small = {"OTEL_INSTRUMENTATION_ML_QUEUE_CALLS": str(8000 * threads), "OPENBLAS_NUM_THREADS": "1"}
    environment = {**PATIENT, **small, "OTEL_EXPORTER_OTLP_ENDPOINT": url}
    under_opentelemetry_instrument(tmp_path / "program.py", source, **environment)
    batches = attributes_of(got, "ml.prediction.batch")
    rows, dropped = (
        [batch[name] or 0 for batch in batches]
        for name in ("ml.prediction.batch.row.count", "modelspan.recorder.rows.dropped")
    )
    assert (sum(rows), max(dropped)) == (24_000 * threads, 0)


def test_a_handler_of_a_signal_that_predicts_while_its_program_gives_way_stops_nothing(
    again: Callable[..., Any],
) -> None:
    telemetry = again(flush_interval=0.001, queue_calls=400)
    handled = 0

    def predict(*_: Any) -> None:
        nonlocal handled
        handled += len(MODEL.predict(X[:1]))

    before = signal.signal(signal.SIGVTALRM, predict)
    signal.setitimer(signal.ITIMER_VIRTUAL, 0.004, 0.004)
    try:
        for k in range(2000):
            MODEL.predict(X[k % 500 : k % 500 + 1])
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
    dropped = sum(point.value for point in telemetry.points("modelspan.recorder.dropped"))
    assert handled > 0
    assert 2000 < telemetry.rows() + dropped <= 2000 + handled  # within a prediction they are part of it


def test_a_forked_process_takes_turns_of_its_own(program: Callable[..., str]) -> None:
    source = """
    import os, threading
    from sklearn.linear_model import LogisticRegression
    from modelspan.instrumentation.recorder import current

    set_up_sdk()
    SklearnInstrumentor().instrument(flush_interval=0.01)
    x = np.random.default_rng(0).normal(size=(500, 20))
    model = LogisticRegression().fit(x, x[:, 0] > 0)
    for k in range(500):
        model.predict(x[k : k + 1])
    turns = current.get().turns
    turns._giving.acquire()  # as if another thread gave way while this one forks
    pid = os.fork()
    if pid == 0:
        before = rows()
        for k in range(500):
            model.predict(x[k : k + 1])
        print(rows() - before, turns._giving.acquire(blocking=False), flush=True)
        os._exit(0)
    os.waitpid(pid, 0)
    """
    assert program(source) == "500 True"


def test_nobody_gives_way_to_a_background_thread_that_is_not_overdue() -> None:
    turns = Turns()
    assert turns.due == NEVER
    turns._rest = turns._giving = None  # type: ignore[assignment]  # what a caller that waits would use
    turns.give_way()


def test_a_prediction_of_the_background_thread_itself_does_not_wait_for_it() -> None:
    turns = Turns()
    turns.work()
    turns.due = 0
    turns._rest = None  # type: ignore[assignment]  # what a caller that waits would use
    turns.give_way()


def test_one_caller_at_a_time_gives_way_and_goes_on_when_the_work_is_done() -> None:
    turns = Turns()
    worked = []

    def work() -> None:
        turns.work()
        for step in range(5):
            turns.due = 0  # as if it were overdue
            while not turns._given:  # a caller comes
                time.sleep(0)
            worked.append(step)
            turns.pause()
        turns.rest()

    background = threading.Thread(target=work)
    background.start()
    while background.is_alive():
        turns.give_way()
    background.join()
    assert worked == [0, 1, 2, 3, 4]
    with turns._giving:
        turns.due = 0
        turns.give_way()  # another one gives way already


def test_a_recorder_that_stops_wakes_its_thread(again: Callable[..., Any]) -> None:
    again(flush_interval=1000.0)
    MODEL.predict(X[:1])
    assert flush()
    recorder = current.get()
    (thread,) = [one for one in threading.enumerate() if one.name == "modelspan-recorder" and one.is_alive()][-1:]
    recorder.close()
    thread.join(60)
    assert not thread.is_alive()
