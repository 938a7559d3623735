"""What is said of a window: drift where it is, and plain words where nothing can be said."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from windows.lab import KEY, Lab, window_times

from modelspan.processor.windows import ModelKey
from modelspan.profile import Profile, categorical_profile, mixed_profile, numeric_profile

RNG = np.random.default_rng(11)


def normal(rows: int, shift: float = 0.0) -> Any:
    return RNG.normal(size=rows) + shift


def test_drift_is_found_from_the_window_in_which_it_begins(lab: Lab) -> None:
    lab.reference({"amount": normal(5000), "age": normal(5000), "country": RNG.choice(["DE", "FR"], 5000)})
    for window in range(6):
        shift = 0.5 if window >= 4 else 0.0
        features = {"amount": normal(1500, shift), "age": normal(1500), "country": RNG.choice(["DE", "FR"], 1500)}
        lab.predict(window_times(1500, window), features)
    assert lab.settle() == 6
    assert [row["status"] for row in lab.windows()] == ["ok"] * 4 + ["drifted"] * 2
    assert lab.windows()[4]["drifted"] == ["amount"]
    amount = lab.drift(window=4)["feature", "amount"]
    assert amount["status"] == "drifted"
    assert amount["p_value"] < amount["threshold"]
    assert amount["effect"] == pytest.approx(0.2, abs=0.06)
    assert (amount["method"], amount["reference_id"], amount["reference_source"]) == ("ks", "train", "training")
    assert lab.drift(window=4)["feature", "age"]["status"] == "ok"
    assert (lab.windows()[4]["rows"], lab.windows()[4]["reference_id"]) == (1500, "train")


def test_a_share_of_missing_values_drifts(lab: Lab) -> None:
    lab.reference({"x": normal(3000)})
    lab.predict(window_times(1000), {"x": [None if row % 10 == 0 else v for row, v in enumerate(normal(1000))]})
    lab.settle()
    missing = lab.drift()["missing", "x"]
    assert (missing["status"], missing["method"]) == ("drifted", "proportion")
    assert missing["statistic"] == pytest.approx(0.1)
    assert lab.counts()["feature", "x"]["missing"] == 100


def test_too_few_rows_are_insufficient_data(lab: Lab) -> None:
    lab.reference({"x": normal(3000)})
    lab.predict(window_times(20), {"x": normal(20, 5.0)})
    lab.settle()
    (window,) = lab.windows()
    assert window["status"] == "insufficient_data"
    assert "20" in window["reason"]
    assert lab.drift()["feature", "x"]["status"] == "insufficient_data"


def test_few_heavy_rows_are_insufficient_data(lab: Lab) -> None:
    lab.reference({"x": normal(3000)})
    lab.predict(window_times(500), {"x": normal(500)}, weight=[10_000.0] * 5 + [1.0] * 495)
    lab.settle()
    drift = lab.drift()["feature", "x"]
    assert drift["status"] == "insufficient_data"
    assert drift["rows"] == 500
    assert drift["effective_rows"] == pytest.approx((5 * 1e4 + 495) ** 2 / (5 * 1e8 + 495))


def test_a_model_without_reference_says_so_for_every_feature(lab: Lab) -> None:
    lab.predict(window_times(300), {"x": normal(300), "c": ["a"] * 300}, label=["1"] * 300, score=[0.5] * 300)
    lab.settle()
    assert {row["status"] for row in lab.drift().values()} == {"no_reference"}
    assert set(lab.drift()) == {("feature", "x"), ("feature", "c"), ("label", ""), ("score", "")}
    (window,) = lab.windows()
    assert window["status"] == "no_reference"
    assert (
        window["reason"]
        == "No reference was set, and drift.first_predictions is 0: first predictions are not used as one."
    )


def test_a_feature_that_appears_has_no_reference_and_one_that_vanishes_is_missing(lab: Lab) -> None:
    lab.reference({"x": normal(3000), "gone": normal(3000), "was text": ["a", "b"] * 1500})
    lab.predict(window_times(1000), {"x": normal(1000), "new": normal(1000), "new text": ["z"] * 1000})
    lab.settle()
    drift = lab.drift()
    assert drift["feature", "x"]["status"] == "ok"
    assert drift["feature", "new"]["status"] == drift["feature", "new text"]["status"] == "no_reference"
    assert drift["missing", "gone"]["status"] == "drifted"
    assert drift["feature", "gone"]["status"] == "insufficient_data"
    assert drift["feature", "was text"]["status"] == "drifted"
    assert lab.counts()["feature", "gone"]["missing"] == 1000
    assert set(lab.windows()[0]["drifted"]) == {"gone (missing)", "was text"}


def test_texts_in_a_numeric_feature_are_a_share_of_their_own_and_not_missing(lab: Lab) -> None:
    lab.reference({"number": normal(3000)})
    numbers = ["N/A" if row % 4 == 0 else v for row, v in enumerate(normal(1000))]
    lab.predict(window_times(1000), {"number": numbers})
    lab.settle()
    drift = lab.drift()
    counts = lab.counts()["feature", "number"]
    assert (counts["missing"], counts["text"], sum(counts["counts"])) == (0, 250, 750)
    assert drift["missing", "number"]["status"] == drift["feature", "number"]["status"] == "ok"
    assert drift["text", "number"]["status"] == "drifted"
    assert "the share of values that are texts went from 0 % to 25 %" in drift["text", "number"]["reason"]
    assert lab.windows()[0]["drifted"] == ["number (text)"]


def test_a_reference_that_knows_texts_among_the_numbers_finds_them_again(lab: Lab) -> None:
    def mixed(rows: int) -> list[Any]:
        return ["N/A" if row % 20 == 0 else v for row, v in enumerate(normal(rows))]

    values = mixed(4000)
    numbers = [np.nan if isinstance(v, str) else v for v in values]
    profile = mixed_profile(numbers, [v if isinstance(v, str) else None for v in values], kind="feature", name="number")
    assert (profile.rows, profile.missing, profile.text) == (4000, 0, 200)
    lab.reference(Profile((profile,)))
    lab.predict(window_times(1000), {"number": mixed(1000)})
    lab.settle()
    assert {key: row["status"] for key, row in lab.drift().items()} == {
        ("feature", "number"): "ok",
        ("missing", "number"): "ok",
        ("text", "number"): "ok",
    }


def test_numbers_in_a_categorical_feature_are_categories_or_unseen(lab: Lab) -> None:
    lab.reference({"code": ["101", "A1", "007", "2.5"] * 750})
    lab.predict(window_times(1000), {"code": [101, "A1", 7, 2.5] * 250})
    lab.settle()
    assert lab.counts()["feature", "code"]["missing"] == 0
    counts = dict(zip(["007", "101", "2.5", "A1", "unseen"], lab.counts()["feature", "code"]["counts"], strict=True))
    assert counts == {"007": 0, "101": 250, "2.5": 250, "A1": 250, "unseen": 250}


def test_a_feature_that_was_always_missing_drifts_once_it_is_filled(lab: Lab) -> None:
    empty = {
        name: categorical_profile([None] * 3000, kind="feature", name=name) for name in ("number", "text", "still")
    }
    lab.reference(Profile(tuple(empty.values())))
    filled = {"number": [1.5, None] * 500, "text": ["a"] * 1000}
    lab.predict(window_times(1000), filled)
    lab.settle()
    assert {name: row["status"] for (_, name), row in lab.drift().items()} == {
        "number": "drifted",
        "text": "drifted",
        "still": "ok",
    }
    assert "the share of rows with a value went from 0 % to 50 %" in lab.drift()["feature", "number"]["reason"]


@pytest.mark.parametrize(
    ("stored", "written"),
    [
        (["2026-01-02T00:00:00.000000000", "2026-01-03T04:05:06.500000000"], ["2026-01-02", "2026-01-03T04:05:06.5"]),
        (["2026-01-02T00:00:00.000000", "2026-01-03T04:05:06.000000"], ["2026-01-02", "2026-01-03T04:05:06"]),
        (["2026-01-02T00:00:00.000", "2026-01-03T00:00:00.000"], ["2026-01-02", "2026-01-03"]),
        (["2026-01-02T01:00:00+01:00", "2026-01-03T04:05:06.25+00:00"], ["2026-01-02", "2026-01-03T04:05:06.25"]),
        (["2026-01-02", "2026-01-03T04:05:06.5"], ["2026-01-02 00:00:00", "2026-01-03 04:05:06.500"]),
        (["2026-01-02", "2026-01-03T04:05:06"], ["2026-01-02T00:00:00Z", "2026-01-03T06:05:06+02:00"]),
        (["101.0", "2.5"], [101, 2.5]),
        (["0", "-inf"], [-0.0, float("-inf")]),
        (["1e-07", "10000000000"], [1e-7, 1e10]),
        (["True", "False"], [True, False]),
        (["1 day, 2:00:00", "0:00:01.500000"], [93_600, 1.5]),
        (["1 days 02:00:00", "0 days 00:00:01.500000"], [93_600, 1.5]),
    ],
)
def test_a_reference_in_an_earlier_form_meets_the_values_of_today(
    lab: Lab, stored: list[str], written: list[Any]
) -> None:
    lab.reference({"x": stored * 1500})
    lab.predict(window_times(1000), {"x": written * 500})
    lab.settle()
    assert lab.counts()["feature", "x"]["counts"] == [500, 500, 0]
    assert lab.windows()[0]["status"] == "ok"


def test_a_reference_that_holds_one_time_in_two_forms_knows_it_as_one(lab: Lab) -> None:
    lab.reference({"x": ["2026-01-02T00:00:00.000000", "2026-01-02", "2026-01-03"] * 1000})
    lab.predict(window_times(900), {"x": ["2026-01-02", "2026-01-02T00:00:00.000", "2026-01-03"] * 300})
    lab.settle()
    assert lab.windows()[0]["status"] == "ok"


@pytest.mark.parametrize("stored", ["0 1 2", "x0 x1 x2", "Column_0 Column_1 Column_2", "column_0 column_1 column_2"])
@pytest.mark.parametrize("written", ["0 1 2", "x0 x1 x2", "Column_0 Column_1 Column_2"])
def test_columns_without_names_are_known_by_any_that_were_made_up(lab: Lab, stored: str, written: str) -> None:
    values = [[100.0 * place + row % 10 for row in range(1000)] for place in range(3)]
    lab.reference(dict(zip(stored.split(), values, strict=True)))
    lab.predict(window_times(1000), dict(zip(written.split(), values, strict=True)))
    lab.settle()
    assert lab.windows()[0]["status"] == "ok"
    assert {name for _, name in lab.drift()} == set(stored.split())


def test_the_only_feature_of_a_reference_is_known_as_the_text_of_a_series(lab: Lab) -> None:
    lab.reference({"review": ["good", "bad"] * 1500})
    lab.predict(window_times(1000), {"text": ["good", "bad"] * 500})
    lab.settle()
    assert {key: row["status"] for key, row in lab.drift().items()} == {("feature", "review"): "ok"}


def test_labels_scores_and_values_are_series(lab: Lab) -> None:
    profile = Profile(
        (
            categorical_profile(["0", "1"] * 2000, kind="label", name=""),
            numeric_profile(RNG.random(4000), kind="score", name=""),
            numeric_profile(normal(4000), kind="value", name=""),
        )
    )
    lab.reference(profile)
    labels = np.where(RNG.random(1500) < 0.8, "1", "0").tolist()
    lab.predict(window_times(1500), label=labels, score=RNG.random(1500), value=normal(1500, 1.0))
    lab.settle()
    status = {kind: row["status"] for (kind, _), row in lab.drift().items()}
    assert status == {"label": "drifted", "score": "ok", "value": "drifted"}
    assert lab.counts()["label", ""]["counts"] == [labels.count("0"), labels.count("1"), 0]


def test_an_output_that_no_prediction_has_is_insufficient_data(lab: Lab) -> None:
    lab.reference(Profile((categorical_profile(["0", "1"] * 2000, kind="label", name=""),)))
    lab.predict(window_times(500), {"x": normal(500)}, score=RNG.random(500))
    lab.settle()
    assert lab.drift()["label", ""]["status"] == "insufficient_data"


def test_rows_asked_about_twice_count_once(lab: Lab) -> None:
    profile = Profile(
        (
            numeric_profile(normal(4000), kind="feature", name="x"),
            categorical_profile(["0", "1"] * 2000, kind="label", name=""),
            numeric_profile(RNG.random(4000), kind="score", name=""),
        )
    )
    lab.reference(profile)
    x = normal(600)
    lab.predict(window_times(600), {"x": x}, operation="predict", label=["0", "1"] * 300)
    lab.predict(window_times(600), {"x": x}, operation="predict_proba", score=RNG.random(600))
    lab.settle()
    drift = lab.drift()
    assert {name: row["rows"] for (name, _), row in drift.items()} == {
        "feature": 600,
        "missing": 600,
        "label": 600,
        "score": 600,
    }
    assert lab.windows()[0]["rows"] == 1200
    assert {row["status"] for row in drift.values()} == {"ok"}


def test_features_of_failed_calls_count_and_their_outputs_do_not(lab: Lab) -> None:
    lab.reference(
        Profile(
            (
                numeric_profile(normal(4000), kind="feature", name="x"),
                numeric_profile(RNG.random(4000), kind="score", name=""),
            )
        )
    )
    failed = ["ValueError"] * 300 + [""] * 300
    lab.predict(window_times(600), {"x": normal(600)}, score=[None] * 300 + [0.5] * 300, error_type=failed)
    lab.settle()
    assert lab.counts()["feature", "x"]["rows"] == 600
    assert (lab.counts()["score", ""]["rows"], lab.counts()["score", ""]["missing"]) == (300, 0)


def test_models_and_versions_do_not_mix(lab_with: Callable[..., Lab]) -> None:
    lab = lab_with(first_predictions=0)
    keys = [ModelKey(s, "", m, v) for s in ("a", "b") for m in ("m", "") for v in ("1", "")]
    for number, key in enumerate(keys):
        lab.reference({"x": normal(2000, number)}, key=key, service=key.service_name, reference_id=f"r{number}")
        lab.predict(window_times(500), {"x": normal(500, number)}, key=key)
    assert lab.settle() == len(keys)
    for number, key in enumerate(keys):
        (window,) = lab.windows(key)
        assert (window["status"], window["rows"], window["reference_id"]) == ("ok", 500, f"r{number}")


def test_a_reference_for_this_version_wins_over_a_general_one_and_a_newer_over_an_older(lab: Lab) -> None:
    any_version = KEY._replace(model_version="")
    lab.reference({"x": normal(2000)}, reference_id="old", created=10.0)
    lab.reference({"x": normal(2000)}, reference_id="new", created=20.0)
    lab.reference({"x": normal(2000)}, reference_id="general", key=any_version, created=30.0)
    lab.reference({"x": normal(2000)}, reference_id="other", key=KEY._replace(model_version="4"), created=40.0)
    lab.reference({"x": normal(2000)}, reference_id="other service", service="mail", created=50.0)
    lab.predict(window_times(500), {"x": normal(500)})
    lab.predict(window_times(500), {"x": normal(500)}, key=KEY._replace(model_version="9"))
    lab.settle()
    assert lab.windows()[0]["reference_id"] == "new"
    assert lab.windows(KEY._replace(model_version="9"))[0]["reference_id"] == "general"


def test_a_reference_from_a_training_job_holds_for_the_service_that_runs_the_model(lab: Lab) -> None:
    lab.reference({"x": normal(2000)}, reference_id="trained", service="nightly-training", created=10.0)
    lab.predict(window_times(500), {"x": normal(500)})
    lab.settle()
    assert (lab.windows()[0]["status"], lab.windows()[0]["reference_id"]) == ("ok", "trained")


def test_a_reference_from_the_same_service_wins_over_a_newer_one_from_another(lab: Lab) -> None:
    lab.reference({"x": normal(2000)}, reference_id="own", service=KEY.service_name, created=10.0)
    lab.reference({"x": normal(2000)}, reference_id="other", service="nightly-training", created=20.0)
    lab.predict(window_times(500), {"x": normal(500)})
    lab.settle()
    assert lab.windows()[0]["reference_id"] == "own"


def test_a_reference_that_was_set_wins_over_a_newer_and_nearer_one_that_was_seen_at_a_fit(lab: Lab) -> None:
    lab.reference({"x": normal(2000)}, reference_id="seen", service="nightly-training", created=10.0, source="fit")
    lab.predict(window_times(500), {"x": normal(500)})
    lab.settle()
    assert lab.windows()[0]["reference_id"] == "seen"
    lab.reference({"x": normal(2000)}, reference_id="set", service="laptop", created=20.0)
    lab.reference({"x": normal(2000)}, reference_id="near", service=KEY.service_name, created=30.0, source="fit")
    lab.predict(window_times(500, 1), {"x": normal(500)})
    lab.settle()
    assert lab.windows()[1]["reference_id"] == "set"


def test_a_new_category_is_named_with_its_share(lab: Lab) -> None:
    lab.reference({"country": ["DE"] * 800 + ["FR"] * 200})
    new = ["GB"] * 60 + ["US'; \\ \x1b"] * 30 + [f"typo {i}" for i in range(10)]
    lab.predict(window_times(500), {"country": ["DE"] * 320 + ["FR"] * 80 + new})
    lab.settle()
    row = lab.drift()["feature", "country"]
    named = "values that the reference does not list ('GB' 12 %, "
    assert (row["status"], named in row["reason"], "went from 0 % to 20 %" in row["reason"]) == ("drifted", True, True)
    unseen = dict(lab.counts()["feature", "country"]["unseen"])
    assert list(unseen.items())[:2] == [("GB", 60.0), ("US'; \\ \x1b", 30.0)]
    assert len(unseen) == 5


def test_a_new_label_is_named_too_and_one_as_rare_as_before_is_not(lab: Lab) -> None:
    lab.reference({"color": ["red"] * 900 + [f"rare {i}" for i in range(100)]})
    lab.reference(Profile((categorical_profile(["yes", "no"] * 500, kind="label", name=""),)), reference_id="labels")
    color = ["red"] * 450 + [f"odd {i}" for i in range(50)]
    lab.predict(window_times(500), {"color": color}, label=["yes", "no", "maybe", "no", "yes"] * 100)
    lab.settle()
    assert lab.counts()["feature", "color"]["unseen"] == []
    assert lab.counts()["label", ""]["unseen"] == [("maybe", 100.0)]
    assert "does not list ('maybe' 20 %) went from 0 % to 20 %" in lab.drift()["label", ""]["reason"]


def test_new_numbers_among_categories_and_new_dates_are_named(lab: Lab) -> None:
    days = [f"2025-01-{day:02d}" for day in (1, 2, 3)]
    lab.reference({"code": ["1", "2", "x"] * 400, "day": days * 400})
    code = [1, 2.0, "x", 7, 7] * 100
    day = [f"{days[0]}T00:00:00", days[1], days[2], "2026-05-05", "2026-05-05"] * 100
    lab.predict(window_times(500), {"code": code, "day": day})
    lab.settle()
    drift = lab.drift()
    assert "does not list ('7' 40 %) went from 0 % to 40 %" in drift["feature", "code"]["reason"]
    assert "does not list ('2026-05-05' 40 %) went from 0 % to 40 %" in drift["feature", "day"]["reason"]


def test_of_many_series_with_new_values_those_with_most_are_named(lab: Lab) -> None:
    lab.reference({f"c{i:02d}": ["a"] * 500 for i in range(30)})
    new = {f"c{i:02d}": ["n"] * (100 + i) + ["a"] * (200 - i) for i in range(30)}
    lab.predict(window_times(300), new)
    lab.predict(window_times(300, 1), new)
    lab.settle()
    rows = lab.ask("SELECT series_name, unseen FROM ml_feature_windows FINAL ORDER BY window_start, series_name")
    assert [dict(row["unseen"]) for row in rows] == [{"n": 100.0 + i} if i >= 10 else {} for i in range(30)] * 2
