"""The background thread keeps to its share of a core: large calls are sampled, small ones are not, and every count stays exact."""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression, Ridge

from modelspan.instrumentation import prediction_context
from modelspan.instrumentation.recorder import current, duty
from modelspan.instrumentation.recorder.duty import BACKLOG_BYTES, BACKLOGGED_BYTES, LEAST_BYTES, WINDOW, Duty
from modelspan.instrumentation.recorder.strata import Strata
from modelspan.semconv import attributes as ml
from modelspan.semconv import metrics

X = np.random.default_rng(3).normal(size=(5000, 20))
MODEL = LinearRegression().fit(X, X[:, 0])
MOST = 1 << 20


def after_windows(duty: Duty, *shares: float) -> Duty:
    """Windows in which the thread worked these shares of the time."""
    for i, share in enumerate(shares, start=1):
        duty.worked(share * WINDOW, i * WINDOW)
    return duty


def test_above_its_share_it_copies_less_and_below_half_of_it_more() -> None:
    assert after_windows(Duty(0.2, MOST, 0.0), 0.3).bytes == MOST // 2
    assert after_windows(Duty(0.2, MOST, 0.0), 0.9).bytes == MOST // 16
    assert after_windows(Duty(0.2, MOST, 0.0), 0.3, 0.15).bytes == MOST // 2, "between half and whole it stays"
    assert after_windows(Duty(0.2, MOST, 0.0), 0.9, 0.05).bytes == MOST // 8
    assert after_windows(Duty(0.2, MOST, 0.0), 0.9, *[0.0] * 10).bytes == MOST


def test_while_much_waits_less_is_copied_at_once_unless_a_whole_core_is_its_share() -> None:
    assert Duty(0.2, MOST, 0.0).limit(BACKLOG_BYTES) == MOST
    assert Duty(0.2, MOST, 0.0).limit(BACKLOG_BYTES + 1) == BACKLOGGED_BYTES
    assert after_windows(Duty(0.2, MOST, 0.0), *[1.0] * 50).limit(BACKLOG_BYTES + 1) == LEAST_BYTES
    assert Duty(1.0, MOST, 0.0).limit(BACKLOG_BYTES + 1) == MOST


def test_however_much_there_is_to_do_a_small_call_is_copied_whole() -> None:
    assert after_windows(Duty(0.2, MOST, 0.0), *[1.0] * 50).bytes == LEAST_BYTES
    assert after_windows(Duty(0.2, 100, 0.0), *[1.0] * 50).bytes == 100, "a limit below the least stays"


def test_work_is_compared_with_the_time_of_a_whole_window() -> None:
    duty = Duty(0.2, MOST, 0.0)
    duty.worked(WINDOW / 4, WINDOW / 4)
    assert duty.bytes == MOST, "a moment of work is no load"


def test_a_thread_that_works_too_much_samples_large_calls_and_only_those(again: Callable[..., Any]) -> None:
    telemetry = again(duty=1e-9, flush_interval=0.01)
    MODEL.predict(X)
    recorder = current.get()
    deadline = time.monotonic() + 30
    while recorder.queue.plain_bytes > LEAST_BYTES and time.monotonic() < deadline:
        time.sleep(0.05)
    MODEL.predict(X)
    telemetry.logs()
    MODEL.predict(X[:3])

    tables = [table for _, table in telemetry.batches()]
    kept = LEAST_BYTES // (20 * 8)
    assert [table.num_rows for table in tables[-2:]] == [kept, 3]
    assert sum(tables[-2]["weight"].to_pylist()) == pytest.approx(5000)
    assert "weight" not in tables[-1].column_names
    (made,) = telemetry.points(metrics.ML_PREDICTIONS)
    assert made.value == 10_003


def test_a_sample_of_a_call_holds_inputs_and_outputs_of_the_same_rows(again: Callable[..., Any]) -> None:
    batch = again(call_bytes=4096)
    MODEL.predict(X)
    table = batch.batch()
    features = np.column_stack([table[f"feature.x{i}"].to_numpy() for i in range(20)])
    assert np.allclose(MODEL.predict(features), table["value"].to_numpy())
    assert len(np.unique(features[:, 0])) == table.num_rows == 4096 // 160


def test_a_call_whose_features_are_not_captured_is_sampled_too(again: Callable[..., Any]) -> None:
    telemetry = again(capture="none", call_bytes=4096)
    MODEL.predict(X)
    table = telemetry.batch()
    assert table.num_rows == 64
    assert sum(table["weight"].to_pylist()) == pytest.approx(5000)
    assert [name for name in table.column_names if name.startswith("feature.")] == []


def test_every_row_of_a_call_is_as_likely_as_any_other() -> None:
    strata, rows, kept, draws = Strata(), 10, 4, 20_000
    counts = np.zeros(rows)
    for _ in range(draws):
        found = strata.sample(rows, kept)
        assert len(set(found.tolist())) == kept
        assert found.min() >= 0
        assert found.max() < rows
        counts[found] += 1
    expected = draws * kept / rows
    spread = np.sqrt(draws * (kept / rows) * (1 - kept / rows))
    assert (np.abs(counts - expected) < 5 * spread).all(), counts


def test_samples_of_more_sizes_than_are_drawn_ahead_for_are_right_too() -> None:
    strata = Strata()
    for rows in (*range(10, 90), *range(10, 90)):
        found = strata.sample(rows, 5)
        assert len(found) == 5
        assert found.max() < rows


@pytest.mark.parametrize("form", [np.array, pd.DataFrame, np.ndarray.tolist])
def test_a_call_of_one_row_is_never_sampled_and_loses_nothing(
    again: Callable[..., Any], form: Callable[..., Any]
) -> None:
    telemetry = again(call_bytes=16)
    wide = np.arange(500.0).reshape(1, -1)
    LinearRegression().fit(wide, [1.0]).predict(form(wide))
    table = telemetry.batch()
    assert "weight" not in table.column_names
    assert len([name for name in table.column_names if name.startswith("feature.")]) == 500


def test_samples_of_large_calls_stay_samples_in_a_forked_process(program: Callable[..., str]) -> None:
    drawn = program(
        """
        import os
        from modelspan.instrumentation.recorder.strata import strata
        for _ in range(3):
            strata.sample(1000, 10)
        if os.fork() == 0:
            print(strata.sample(1000, 10).tolist(), flush=True)
            os._exit(0)
        os.wait()
        print(strata.sample(1000, 10).tolist())
        """
    ).splitlines()
    assert drawn[0] != drawn[1], "a child draws its own"


def test_rows_of_models_that_are_fitted_all_the_time_are_counted_where_there_is_no_time_for_them(
    again: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = pickle.loads(pickle.dumps(LinearRegression().fit(X, X[:, 0])))
    monkeypatch.setattr(duty, "FITS", 0.001)
    telemetry = again(duty=1e-9)
    for k in range(5):
        Ridge(alpha=1 + k).fit(X[:50], X[:50, 0]).predict(X[: 2 + k])
    loaded.predict(X[:7])
    rows = {a[ml.ML_MODEL_NAME]: t.num_rows for a, t in telemetry.batches()}
    (point,) = telemetry.points("modelspan.recorder.dropped")
    assert rows["LinearRegression"] == 7
    assert rows["Ridge"] + point.value == sum(range(2, 7))
    assert rows["Ridge"] < sum(range(2, 7))
    assert point.attributes["modelspan.drop.reason"] == "many_fits"


def test_rows_with_an_id_are_recorded_though_models_are_fitted_all_the_time(
    again: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(duty, "FITS", 0.001)
    telemetry = again(duty=1e-9)
    for k in range(5):
        with prediction_context(ids=[f"{k}-{i}" for i in range(3)]):
            Ridge(alpha=1 + k).fit(X[:50], X[:50, 0]).predict(X[:3])
    assert telemetry.rows() == 15
    assert telemetry.points("modelspan.recorder.dropped") == []
