"""A model that was given no reference is compared with its first predictions, and they with nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from windows.lab import BASE, KEY, LENGTH, SECOND, Lab, window_times

from modelspan.profile import Profile, categorical_profile, numeric_profile

RNG = np.random.default_rng(3)


def stored_reference(lab: Lab, kind: str = "feature") -> list[dict[str, Any]]:
    return lab.ask(
        "SELECT *, toUnixTimestamp64Nano(valid_from) AS until FROM ml_references FINAL"
        f" WHERE series_kind = '{kind}' ORDER BY series_name"
    )


def test_the_baseline_is_made_of_exactly_the_first_rows_and_tested_windows_come_after_it(
    lab_with: Callable[..., Lab],
) -> None:
    lab = lab_with(first_predictions=1000)
    x = RNG.normal(size=2400)
    times = np.concatenate([window_times(600, window) for window in range(4)])
    shuffled = RNG.permutation(2400)
    lab.predict(times[shuffled], {"x": x[shuffled]})
    assert lab.settle() == 4

    (reference,) = stored_reference(lab)
    expected = numeric_profile(x[:1000], kind="feature", name="x")
    assert reference["cuts"] == expected.cuts.tolist()
    assert reference["counts"] == expected.counts.tolist()
    assert (reference["source"], reference["until"]) == ("first_predictions", times[999])

    windows = lab.windows()
    assert [row["status"] for row in windows] == ["no_reference", "ok", "ok", "ok"]
    assert "The first 1,000 predictions become the reference: 600 of 1,000 so far." in windows[0]["reason"]
    assert [row["reference_id"] for row in windows] == ["", *[reference["reference_id"]] * 3]
    tested = [lab.drift(window=window)["feature", "x"]["rows"] for window in range(4)]
    assert tested == [600, 200, 600, 600]


def test_a_window_with_few_rows_behind_the_baseline_is_not_tested(lab_with: Callable[..., Lab]) -> None:
    lab = lab_with(first_predictions=1150)
    for window in range(3):
        lab.predict(window_times(600, window), {"x": RNG.normal(size=600)})
    lab.settle()
    assert [row["status"] for row in lab.windows()] == ["no_reference", "no_reference", "ok"]
    assert "too few follow to be compared" in lab.windows()[1]["reason"]
    lab = lab_with(first_predictions=1200)
    lab.store.client().command("TRUNCATE TABLE ml_references")
    lab.restart()
    lab.evaluator.recover(lab.wall)
    lab.settle()
    assert [row["status"] for row in lab.windows()] == ["no_reference", "no_reference", "ok"]


def test_ties_in_time_are_cut_by_prediction_id_and_failed_calls_are_left_out(lab_with: Callable[..., Lab]) -> None:
    lab = lab_with(first_predictions=300)
    ids = [f"{number:04d}" for number in RNG.permutation(800)]
    score = np.array([int(name) for name in ids]) / 1000
    failed = ["ValueError" if int(name) < 50 else "" for name in ids]
    lab.predict(np.full(800, BASE), score=score, prediction_id=ids, error_type=failed)
    lab.settle()
    (reference,) = stored_reference(lab, "score")
    assert (reference["min"], reference["max"], reference["rows"]) == (0.050, 0.349, 300)


def test_features_of_a_baseline_keep_missing_values_and_both_types(lab_with: Callable[..., Lab]) -> None:
    lab = lab_with(first_predictions=400)
    numbers = [None if row % 4 == 0 else float(row) for row in range(400)]
    mixed = ["a" if row % 5 else float(row) for row in range(400)]
    lab.predict(window_times(400), {"number": numbers, "mixed": mixed})
    lab.settle()
    mixed_row, number_row = stored_reference(lab)
    assert (number_row["series_type"], number_row["missing"]) == ("numeric", 100)
    assert (mixed_row["series_type"], mixed_row["missing"], mixed_row["counts"]) == ("categorical", 0, [320, 80])
    expected = categorical_profile([v if isinstance(v, str) else None for v in mixed], kind="feature", name="mixed")
    assert mixed_row["categories"] == list(expected.categories)


def test_weights_enter_the_baseline(lab_with: Callable[..., Lab]) -> None:
    lab = lab_with(first_predictions=200)
    x, weights = RNG.normal(size=200), RNG.random(200) + 0.1
    lab.predict(window_times(200), {"x": x}, weight=weights)
    lab.settle()
    expected = numeric_profile(x, kind="feature", name="x", weights=weights)
    (reference,) = stored_reference(lab)
    assert reference["rows"] == pytest.approx(expected.rows)
    assert reference["counts"] == pytest.approx(expected.counts.tolist())


def test_outputs_fall_back_to_a_baseline_where_training_gave_only_features(lab_with: Callable[..., Lab]) -> None:
    lab = lab_with(first_predictions=500)
    lab.reference(Profile((numeric_profile(RNG.normal(size=3000), kind="feature", name="x"),)))
    for window in range(3):
        label = ["1"] * 500 if window == 2 else ["0", "1"] * 250
        lab.predict(window_times(500, window), {"x": RNG.normal(size=500)}, label=label)
    lab.settle()
    assert [row["status"] for row in lab.windows()] == ["ok", "ok", "drifted"]
    assert lab.windows()[2]["drifted"] == ["label"]
    assert [lab.drift(window=window)["label", ""]["status"] for window in range(3)] == ["no_reference", "ok", "drifted"]
    assert {row["reference_source"] for row in lab.drift(window=2).values()} == {"training", "first_predictions"}


def test_a_score_is_compared_only_with_scores_of_the_same_operation(lab_with: Callable[..., Lab]) -> None:
    lab = lab_with(first_predictions=500)
    for window in range(3):
        lab.predict(window_times(500, window), operation="predict_proba", score=RNG.random(500))
    lab.predict(window_times(900, 2), operation="decision_function", score=RNG.normal(size=900) * 10)
    lab.predict(window_times(900, 3), operation="decision_function", score=RNG.normal(size=900) * 10)
    lab.settle()
    assert [row["status"] for row in lab.windows()] == ["no_reference", "ok", "ok", "insufficient_data"]
    assert lab.drift(window=2)["score", ""]["rows"] == 500


def test_a_baseline_stays_when_earlier_rows_arrive_later(lab_with: Callable[..., Lab]) -> None:
    lab = lab_with(first_predictions=300)
    lab.predict(window_times(600, 1), {"x": RNG.normal(size=600)})
    lab.settle()
    before = stored_reference(lab)
    lab.predict(window_times(600, 0), {"x": RNG.normal(size=600) + 3})
    lab.settle()
    assert stored_reference(lab) == before
    assert [row["status"] for row in lab.windows()] == ["no_reference", "ok"]


def test_a_model_that_never_gets_enough_rows_keeps_collecting(lab_with: Callable[..., Lab]) -> None:
    lab = lab_with(first_predictions=2000)
    for window in range(3):
        lab.predict(window_times(150, window), {"x": RNG.normal(size=150)}, value=RNG.normal(size=150))
    lab.settle()
    assert [row["reason"].split(": ")[-1] for row in lab.windows()] == [
        f"{n} of 2,000 so far." for n in (150, 300, 450)
    ]
    assert stored_reference(lab) == []


def test_windows_before_1970_have_a_baseline_too(lab_with: Callable[..., Lab]) -> None:
    lab = lab_with(first_predictions=300)
    base = -30 * 365 * 86400 * SECOND // LENGTH * LENGTH
    for window in range(2):
        lab.predict(window_times(300, window, base), {"x": RNG.normal(size=300)})
    lab.settle()
    assert [row["status"] for row in lab.windows()] == ["no_reference", "ok"]


def provisional(lab_with: Callable[..., Lab], **settings: Any) -> Lab:
    return lab_with(**{"first_predictions": 1000, "provisional_predictions": 200, **settings})


def test_until_the_baseline_is_there_windows_are_compared_with_few_rows_and_say_so(
    lab_with: Callable[..., Lab],
) -> None:
    lab = provisional(lab_with)
    x = np.random.default_rng(5).normal(size=2100)
    for window in range(7):
        part = x[window * 300 : (window + 1) * 300]
        lab.predict(window_times(300, window), {"x": part + (0.3 if window == 2 else 0)})
        lab.settle()
    windows = lab.windows()
    assert [row["status"] for row in windows] == ["ok", "ok", "drifted", "ok", "ok", "ok", "ok"]
    caveat = "Provisional for features: compared with the first 200 predictions until the full reference is there: {} of 1,000 rows so far."
    assert [caveat.format(rows) in row["reason"] for rows, row in zip((300, 600, 900), windows, strict=False)] == [
        True
    ] * 3
    assert [row["reason"] for row in windows[3:] if "rovisional" in row["reason"]] == []
    drift = [lab.drift(window=window)["feature", "x"] for window in range(7)]
    sources = ["provisional_predictions"] * 3 + ["first_predictions"] * 4
    assert [row["reference_source"] for row in drift] == sources
    assert [row["reference_rows"] for row in drift] == [200] * 3 + [1000] * 4
    assert [row["rows"] for row in drift] == [100, 300, 300, 200, 300, 300, 300]
    assert [row["smallest_effect"] > drift[-1]["smallest_effect"] for row in drift[:3]] == [True] * 3
    assert drift[0]["reason"].endswith("Provisional: " + caveat.format(300).partition(": ")[2])


def test_progress_towards_the_provisional_reference_is_said(lab_with: Callable[..., Lab]) -> None:
    lab = provisional(lab_with, provisional_predictions=1_500, first_predictions=20_000)
    for window in range(2):
        lab.predict(window_times(620, window), {"x": RNG.normal(size=620)})
    lab.settle()
    text = "The first 1,500 predictions become the provisional reference: {} of 1,500 so far."
    assert [row["reason"] for row in lab.windows()] == [text.format("620"), text.format("1,240")]


@pytest.mark.parametrize("at_once", [True, False])
def test_verdicts_are_the_same_whether_windows_are_judged_one_by_one_or_all_at_once(
    lab_with: Callable[..., Lab], at_once: bool
) -> None:
    lab = provisional(lab_with)
    values = np.random.default_rng(8).normal(size=(6, 300))
    for window in range(6):
        lab.predict(window_times(300, window), {"x": values[window]}, score=values[window])
        if not at_once:
            lab.settle()
    lab.settle()
    told = [(row["status"], row["reference_id"]) for row in lab.windows()]
    assert [status for status, _ in told] == ["ok"] * 6
    sources = [{part.split("-")[0] for part in ids.split(",")} for _, ids in told]
    assert sources == [{"provisional_predictions"}] * 3 + [{"first_predictions"}] * 3
    lab.restart()
    assert lab.evaluator.recover(lab.wall) == 0


def test_only_the_outputs_are_provisional_where_the_features_have_a_reference(lab_with: Callable[..., Lab]) -> None:
    lab = provisional(lab_with)
    lab.reference({"x": RNG.normal(size=3000)})
    lab.predict(window_times(400), {"x": RNG.normal(size=400)}, label=["a", "b"] * 200, score=RNG.random(400))
    lab.settle()
    (window,) = lab.windows()
    text = (
        "Provisional for label, score, which the given reference does not have: compared with the first 200 predictions"
        " until the full reference is there: "
    )
    assert window["reason"].endswith(text + "400 of 1,000 rows so far.")
    drift = lab.drift()
    told = {kind for (kind, _), row in drift.items() if "Provisional: compared with the first 200" in row["reason"]}
    assert told == {"label", "score"}


def test_a_reference_that_is_given_takes_the_place_of_a_provisional_one(lab_with: Callable[..., Lab]) -> None:
    lab = provisional(lab_with)
    for window in range(2):
        lab.predict(window_times(300, window), {"x": RNG.normal(size=300)})
    lab.settle()
    lab.reference({"x": RNG.normal(size=3000)})
    lab.evaluator.reference_changed("fraud", "3")
    lab.settle()
    assert [row["reference_id"] for row in lab.windows()] == ["train"] * 2
    assert [row["reason"] for row in lab.windows() if "rovisional" in row["reason"]] == []


def test_beside_a_full_baseline_of_an_earlier_version_no_provisional_one_is_made(lab_with: Callable[..., Lab]) -> None:
    lab = lab_with(first_predictions=500)
    for window in range(3):
        lab.predict(window_times(300, window), {"x": RNG.normal(size=300)})
    lab.settle()
    before = lab.windows()
    lab = provisional(lab_with, first_predictions=500)
    assert lab.evaluator.recover(lab.wall) == 0
    lab.evaluator.touch(KEY, window_times(3), lab.wall)
    lab.settle()
    assert lab.windows() == before
