"""Whatever happens on the way, the verdicts end up the same."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from windows.lab import KEY, Lab, window_times

from modelspan.processor.store import Store
from modelspan.processor.windows import Evaluator

TABLES = ("ml_drift", "ml_windows", "ml_feature_windows")
COLORS = ["red", "green", "blue", "rare one"]


def features(seed: int, rows: int, shift: float = 0.0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    colors = rng.choice(COLORS, rows, p=[0.5, 0.3, 0.19, 0.01]).tolist()
    return {"x": rng.normal(size=rows) + shift, "n": rng.integers(0, 9, rows).astype(float), "color": colors}


def fill(lab: Lab, windows: int = 4, **options: Any) -> None:
    for window in range(windows):
        shift = 0.4 if window == windows - 1 else 0.0
        lab.predict(window_times(400, window), features(window, 400, shift), **options)


def verdicts(lab: Lab) -> dict[str, list[dict[str, Any]]]:
    """All that is stored, except when it was computed."""
    return {table: lab.ask(f"SELECT * EXCEPT computed_at FROM {table} FINAL ORDER BY ALL") for table in TABLES}


def forget(lab: Lab, *tables: str) -> None:
    for table in tables:
        lab.store.client().command(f"TRUNCATE TABLE {table}")
    lab.restart()


def test_late_rows_open_their_window_again(lab: Lab) -> None:
    lab.reference(features(99, 3000))
    fill(lab)
    assert lab.settle() == 4
    lab.predict(window_times(300, 1), features(50, 300, 1.0))
    assert lab.settle() == 1
    assert [row["rows"] for row in lab.windows()] == [400, 700, 400, 400]
    assert [row["status"] for row in lab.windows()] == ["ok", "drifted", "ok", "drifted"]


def test_a_window_without_news_is_left_alone(lab: Lab) -> None:
    lab.reference(features(99, 3000))
    fill(lab)
    lab.settle()
    computed = [row["computed_at"] for row in lab.windows()]
    lab.evaluator.touch(KEY, window_times(5, 2), lab.wall)
    assert lab.settle() == 0
    assert [row["computed_at"] for row in lab.windows()] == computed


@pytest.mark.parametrize(("first_predictions", "provisional"), [(0, 0), (700, 0), (700, 250)])
def test_after_a_crash_verdicts_are_found_missing_and_are_the_same(
    lab_with: Callable[..., Lab], first_predictions: int, provisional: int
) -> None:
    lab = lab_with(first_predictions=first_predictions, provisional_predictions=provisional)
    if not first_predictions:
        lab.reference(features(99, 3000))
    fill(lab)
    lab.settle()
    undisturbed = verdicts(lab)
    assert {row["status"] for row in undisturbed["ml_windows"]} >= {"ok", "drifted"}
    forget(lab, *TABLES)
    assert lab.evaluator.recover(lab.wall) == 4
    lab.settle()
    assert verdicts(lab) == undisturbed
    assert lab.evaluator.recover(lab.wall) == 0


def test_a_crash_between_two_inserts_of_a_window_is_found(lab: Lab) -> None:
    lab.reference(features(99, 3000))
    fill(lab)
    lab.settle()
    undisturbed = verdicts(lab)
    forget(lab, "ml_windows")
    assert lab.evaluator.recover(lab.wall) == 4
    lab.settle()
    assert verdicts(lab) == undisturbed


def test_rows_that_were_stored_but_not_announced_are_found(lab: Lab) -> None:
    lab.reference(features(99, 3000))
    fill(lab)
    lab.settle()
    lab.predict(window_times(300, 1), features(50, 300), touch=False)
    lab.restart()
    assert lab.evaluator.recover(lab.wall) == 1
    assert lab.settle() == 1
    assert lab.windows()[1]["rows"] == 700


def test_rows_stored_before_the_horizon_are_not_looked_at(lab_with: Callable[..., Lab]) -> None:
    lab = lab_with(recover_within=3600.0)
    fill(lab, touch=False)
    lab.wall += 7200
    assert lab.evaluator.recover(lab.wall) == 0


def test_one_verdict_whether_windows_close_one_by_one_or_at_once(lab: Lab) -> None:
    lab.reference(features(99, 3000))
    for window in range(4):
        lab.predict(window_times(400, window), features(window, 400))
        lab.settle()
    one_by_one = verdicts(lab)
    forget(lab, *TABLES)
    lab.evaluator.recover(lab.wall)
    lab.settle()
    assert verdicts(lab) == one_by_one


def test_a_reference_that_comes_later_judges_stored_windows_again(lab_with: Callable[..., Lab]) -> None:
    lab = lab_with(first_predictions=100_000)
    fill(lab)
    other = KEY._replace(model_version="4")
    lab.predict(window_times(400), features(1, 400), key=other)
    lab.settle()
    assert {row["status"] for row in lab.windows()} == {"no_reference"}
    lab.reference(features(99, 3000))
    lab.evaluator.reference_changed(KEY.model_name, KEY.model_version)
    assert lab.settle() == 4
    assert [row["status"] for row in lab.windows()] == ["ok", "ok", "ok", "drifted"]
    assert lab.windows(other)[0]["status"] == "no_reference"
    lab.evaluator.reference_changed(KEY.model_name, KEY.model_version)
    assert lab.settle() == 0


def test_series_that_the_new_reference_does_not_know_lose_their_verdict(lab: Lab) -> None:
    lab.reference({**features(99, 3000), "gone": np.arange(3000.0)}, reference_id="old", created=1.0)
    fill(lab, 1)
    lab.settle()
    assert lab.drift()["missing", "gone"]["status"] == "drifted"
    lab.reference(features(98, 3000), reference_id="new", created=2.0)
    lab.evaluator.reference_changed(KEY.model_name, "")
    lab.settle()
    drift = lab.drift()
    assert drift["missing", "gone"]["status"] == drift["feature", "gone"]["status"] == "no_reference"
    assert drift["feature", "x"]["reference_id"] == "new"
    assert lab.counts()["feature", "gone"]["counts"] == []


def test_a_clock_that_was_set_back_does_not_lose_a_verdict(lab: Lab) -> None:
    lab.reference(features(99, 3000))
    fill(lab, 1)
    lab.settle()
    lab.wall -= 86_400
    lab.predict(window_times(300), features(50, 300))
    lab.settle()
    assert lab.windows()[0]["rows"] == 700
    assert lab.drift()["feature", "x"]["rows"] == 700


@pytest.mark.parametrize(("first_predictions", "provisional"), [(0, 0), (700, 0), (700, 250)])
def test_two_evaluators_at_once_agree(
    lab_with: Callable[..., Lab], store: Store, first_predictions: int, provisional: int
) -> None:
    lab = lab_with(first_predictions=first_predictions, provisional_predictions=provisional)
    if not first_predictions:
        lab.reference(features(99, 3000))
    fill(lab)
    lab.settle()
    alone = verdicts(lab)
    forget(lab, *TABLES, *(["ml_references"] if first_predictions else []))
    evaluators = [Evaluator(store, lab.settings) for _ in range(2)]
    barrier, errors = threading.Barrier(2), []

    def work(evaluator: Evaluator) -> None:
        try:
            evaluator.recover(lab.wall)
            barrier.wait()
            while evaluator.tick(lab.wall + 100):
                pass
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(evaluator,)) for evaluator in evaluators]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert verdicts(lab) == alone


def test_more_windows_than_memory_may_hold_are_found_in_the_store(lab_with: Callable[..., Lab]) -> None:
    lab = lab_with(max_waiting=3, first_predictions=0)
    lab.reference(features(99, 3000))
    fill(lab, 10)
    assert lab.evaluator.waiting == 3
    while lab.settle():
        assert lab.evaluator.waiting <= 3
    assert [row["rows"] for row in lab.windows()] == [400] * 10
