"""Choice of the reference in force: by series, the model's own before others, and for past windows the one of that time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from structlog.testing import capture_logs
from windows.lab import KEY, NOW, Lab, window_times

from modelspan.processor.windows import ModelKey
from modelspan.profile import Profile, numeric_profile
from modelspan.queries import find
from modelspan.queries.result import run

RNG = np.random.default_rng(5)
USUAL, HIGH = RNG.normal(size=3000), RNG.normal(5, 1, 3000)
WHOLE = dict.fromkeys(("age", "income", "tenure"), USUAL)
LEARNT = ModelKey("", "", "LogisticRegression", "fit-77aa")
"""A model that nobody named."""
OTHER = KEY._replace(service_name="partner")


def predict(lab: Lab, window: int = 0, key: ModelKey = KEY, **features: Any) -> None:
    given = features or dict.fromkeys(WHOLE, RNG.normal(size=400))
    lab.predict(window_times(400, window), given, key=key)
    lab.settle()


def set_again(lab: Lab, features: Any, reference_id: str, **options: Any) -> None:
    """Set a reference now, and look again at everything."""
    lab.wall += 10
    lab.reference(features, reference_id=reference_id, created=lab.wall, **options)
    lab.evaluator.recover(lab.wall)
    lab.settle()


def status(lab: Lab, window: int = 0, key: ModelKey = KEY) -> dict[str, tuple[str, str]]:
    """Status and reference of each feature."""
    rows = lab.drift(key, window).items()
    return {name: (row["status"], row["reference_id"]) for (kind, name), row in rows if kind == "feature"}


def test_a_reference_of_one_feature_leaves_the_others_theirs(lab: Lab) -> None:
    lab.reference(WHOLE, reference_id="whole")
    set_again(lab, {"age": HIGH}, "age")
    predict(lab)
    assert status(lab) == {"age": ("drifted", "age"), "income": ("ok", "whole"), "tenure": ("ok", "whole")}
    assert lab.windows()[0]["reference_id"] == "age,whole"


def test_drift_of_what_only_the_earlier_reference_knows_is_found(lab: Lab) -> None:
    lab.reference(WHOLE, reference_id="whole")
    set_again(lab, {"age": USUAL}, "age")
    predict(lab, age=RNG.normal(size=400), income=RNG.normal(5, 1, 400), tenure=RNG.normal(size=400))
    assert {name: said for name, (said, _) in status(lab).items()} == {"age": "ok", "income": "drifted", "tenure": "ok"}


def test_categories_and_numbers_of_several_references_are_counted_apart(lab: Lab) -> None:
    lab.reference({"age": USUAL, "country": ["DE", "FR"] * 1000, "n": USUAL}, reference_id="whole")
    set_again(lab, {"country": ["DE", "IT"] * 1000, "age": HIGH}, "newer")
    predict(lab, age=RNG.normal(5, 1, 400), country=["DE", "IT"] * 200, n=RNG.normal(size=400))
    assert status(lab) == {"age": ("ok", "newer"), "country": ("ok", "newer"), "n": ("ok", "whole")}
    counts = lab.counts()
    assert counts["feature", "country"]["counts"] == [200, 200, 0]
    assert sum(counts["feature", "n"]["counts"]) == sum(counts["feature", "age"]["counts"]) == 400


def test_a_reference_that_is_too_small_replaces_none(lab: Lab) -> None:
    lab.reference(WHOLE, reference_id="whole")
    set_again(lab, {name: values[:5] for name, values in WHOLE.items()}, "five rows")
    predict(lab)
    assert set(status(lab).values()) == {("ok", "whole")}


def test_a_reference_that_is_too_small_is_used_where_there_is_no_other(lab: Lab) -> None:
    lab.reference({name: values[:5] for name, values in WHOLE.items()}, reference_id="five rows")
    predict(lab)
    assert set(status(lab).values()) == {("insufficient_data", "five rows")}
    set_again(lab, WHOLE, "whole")
    assert set(status(lab).values()) == {("ok", "whole")}


@pytest.mark.parametrize("source", ["fit", "training"])
def test_a_reference_that_another_service_sets_for_the_same_fitted_model_takes_nothing_over(
    lab: Lab, source: str
) -> None:
    ours, theirs = (KEY._replace(service_name=name, model_name=name) for name in ("ours", "theirs"))
    for key in (ours, theirs):
        lab.loaded(key, "77aa")
    lab.reference(
        WHOLE, key=LEARNT, service="nightly", model_digest="77aa", source=source, reference_id="trained", created=9
    )
    for by_hand in (theirs, LEARNT):
        service = by_hand.service_name or "theirs"
        set_again(
            lab,
            dict.fromkeys(WHOLE, HIGH),
            "high",
            key=by_hand,
            service=service,
            environment="prod",
            model_digest="77aa",
        )
    for key in (ours, theirs):
        predict(lab, key=key)
    assert set(status(lab, key=ours).values()) == {("ok", "trained")}
    assert set(status(lab, key=theirs).values()) == {("drifted", "high")}


def test_another_service_that_sets_a_reference_of_outputs_takes_nothing_over(lab: Lab) -> None:
    ours, theirs = (KEY._replace(service_name=name, model_name=name) for name in ("ours", "theirs"))
    for key in (ours, theirs):
        lab.loaded(key, "77aa")
    lab.reference(WHOLE, key=ours, service="ours", environment="prod", model_digest="77aa", reference_id="own")
    scores = Profile((numeric_profile(HIGH, kind="score", name=""),))
    set_again(lab, scores, "scores", key=theirs, service="theirs", environment="prod", model_digest="77aa")
    lab.predict(window_times(400), dict.fromkeys(WHOLE, RNG.normal(size=400)), key=ours, score=RNG.normal(size=400))
    lab.settle()
    (window,) = lab.windows(ours)
    assert (window["status"], window["reference_id"]) == ("ok", "own")


def test_services_that_serve_a_model_that_nobody_named_keep_theirs(lab: Lab) -> None:
    first, second = (LEARNT._replace(service_name=name, environment="prod") for name in ("first", "second"))
    lab.reference(WHOLE, key=LEARNT, service="nightly", source="fit", reference_id="trained", created=9)
    set_again(lab, dict.fromkeys(WHOLE, HIGH), "high", key=LEARNT, service="first", environment="prod")
    for key in (first, second):
        predict(lab, key=key)
    assert set(status(lab, key=first).values()) == {("drifted", "high")}
    assert set(status(lab, key=second).values()) == {("ok", "trained")}


def test_the_training_job_that_came_first_may_set_a_better_one_later(lab: Lab) -> None:
    lab.loaded(KEY, "77aa")
    trained = {"key": LEARNT, "service": "nightly", "model_digest": "77aa"}
    lab.reference(dict.fromkeys(WHOLE, HIGH), source="fit", reference_id="seen", created=9, **trained)
    set_again(lab, WHOLE, "set", **trained)
    predict(lab)
    assert set(status(lab).values()) == {("ok", "set")}


def test_one_that_is_set_for_the_name_alone_holds_for_every_version_and_service(lab: Lab) -> None:
    lab.reference(WHOLE, source="fit", service="nightly", reference_id="seen", created=9)
    by_name = KEY._replace(model_version="")
    set_again(lab, dict.fromkeys(WHOLE, HIGH), "by name", key=by_name, service="notebook")
    for key in (KEY, OTHER._replace(model_version="4")):
        predict(lab, key=key)
        assert set(status(lab, key=key).values()) == {("drifted", "by name")}


def test_what_is_seen_at_a_fit_replaces_none_that_was_set(lab: Lab) -> None:
    lab.reference(WHOLE, reference_id="set", service="shop", environment="prod")
    set_again(lab, dict.fromkeys(WHOLE, HIGH), "seen", source="fit", service="shop", environment="prod")
    predict(lab)
    assert set(status(lab).values()) == {("ok", "set")}


def test_a_reference_that_is_set_later_rewrites_no_verdict_of_the_past(lab: Lab) -> None:
    lab.reference(dict.fromkeys(WHOLE, HIGH), reference_id="first", source="fit")
    predict(lab)
    before = lab.windows()
    assert before[0]["drifted"] == ["age", "income", "tenure"]
    set_again(lab, WHOLE, "second")
    assert lab.windows() == before
    predict(lab, 1)
    assert [(row["status"], row["reference_id"]) for row in lab.windows()] == [("drifted", "first"), ("ok", "second")]


def test_late_rows_of_a_window_of_the_past_are_compared_with_its_reference(lab: Lab) -> None:
    lab.reference(dict.fromkeys(WHOLE, HIGH), reference_id="first", source="fit")
    predict(lab)
    set_again(lab, WHOLE, "second")
    predict(lab)
    (window,) = lab.windows()
    assert (window["rows"], window["status"], window["reference_id"]) == (800, "drifted", "first")


def test_one_that_is_sent_again_at_every_start_stays_since_when_it_was(lab: Lab) -> None:
    lab.reference(dict.fromkeys(WHOLE, HIGH), reference_id="first", source="fit", created=9)
    set_again(lab, WHOLE, "second")
    predict(lab)
    assert set(status(lab).values()) == {("ok", "second")}
    set_again(lab, WHOLE, "second")
    assert set(status(lab).values()) == {("ok", "second")}


def test_windows_without_a_reference_are_judged_by_the_first_that_comes_and_by_no_later_one(lab: Lab) -> None:
    predict(lab)
    assert lab.windows()[0]["status"] == "no_reference"
    set_again(lab, WHOLE, "first")
    assert set(status(lab).values()) == {("ok", "first")}
    set_again(lab, dict.fromkeys(WHOLE, HIGH), "second")
    assert set(status(lab).values()) == {("ok", "first")}


def test_what_is_stored_leads_to_the_same_references_again(lab: Lab) -> None:
    lab.reference(dict.fromkeys(WHOLE, HIGH), reference_id="first", source="fit")
    predict(lab)
    set_again(lab, {"age": USUAL}, "second")
    predict(lab, 1)
    before = [(row["reference_id"], row["status"], row["drifted"]) for row in lab.windows()]
    for table in ("ml_windows", "ml_drift", "ml_feature_windows"):
        lab.store.client().command(f"TRUNCATE TABLE {table}")
    lab.restart()
    lab.evaluator.recover(lab.wall)
    lab.settle()
    assert [(row["reference_id"], row["status"], row["drifted"]) for row in lab.windows()] == before
    assert before == [
        ("first", "drifted", ["age", "income", "tenure"]),
        ("first,second", "drifted", ["income", "tenure"]),
    ]


def replaced(lab: Lab) -> list[dict[str, Any]]:
    return lab.ask("SELECT * FROM ml_replaced_verdicts FINAL ORDER BY replaced_at")


def test_a_verdict_that_late_rows_replace_stays_readable(lab: Lab) -> None:
    lab.reference(WHOLE, reference_id="whole")
    predict(lab)
    (first,) = lab.windows()
    predict(lab, age=HIGH[:400], income=USUAL[:400], tenure=USUAL[:400])
    (now,), (kept,) = lab.windows(), replaced(lab)
    assert (now["status"], now["rows"]) == ("drifted", 800)
    assert {name: kept[name] for name in first} == first
    assert kept["replaced_at"] == now["computed_at"]
    assert kept["replaced_because"] == "Predictions came late: 400 were there, now 800 are."


def test_a_verdict_that_had_no_reference_stays_readable(lab: Lab) -> None:
    predict(lab)
    set_again(lab, WHOLE, "whole")
    (kept,) = replaced(lab)
    assert (kept["status"], kept["replaced_because"]) == ("no_reference", "It had no reference, and now has whole.")
    assert NOW < kept["computed_at"].timestamp() < kept["replaced_at"].timestamp()


def withdraw(lab: Lab, reference_id: str, model: str = KEY.model_name, *, settles: bool = True) -> None:
    """Take a reference back now, and look again, as the service does."""
    lab.wall += 10
    row = {"model_name": [model], "reference_id": [reference_id], "service_name": ["notebook"]}
    when = pa.array([int(lab.wall * 1000)], pa.timestamp("ms", "UTC"))
    lab.store.insert("ml_withdrawn_references", pa.table({**row, "withdrawn_at": when}), f"withdrawn {lab.wall}")
    if settles:
        lab.evaluator.reference_changed(model, "")
        lab.settle()


def test_a_reference_that_is_taken_back_leaves_the_one_before_it_and_the_verdict_stays_readable(lab: Lab) -> None:
    lab.reference(WHOLE, reference_id="right", created=9)
    lab.reference(dict.fromkeys(WHOLE, HIGH), reference_id="wrong", created=10)
    predict(lab)
    (before,) = lab.windows()
    assert (before["status"], before["reference_id"]) == ("drifted", "wrong")
    withdraw(lab, "wrong")
    (now,), (kept,) = lab.windows(), replaced(lab)
    assert (now["status"], now["reference_id"]) == ("ok", "right")
    assert {name: kept[name] for name in before} == before
    assert kept["replaced_because"] == "Its reference was wrong, and is right now."
    assert {row["reference_id"] for row in lab.ask("SELECT reference_id FROM ml_references")} == {"right", "wrong"}


def test_without_another_a_window_has_none_again_and_one_set_later_holds_again(lab: Lab) -> None:
    lab.reference(dict.fromkeys(WHOLE, HIGH), reference_id="wrong", created=10)
    predict(lab)
    withdraw(lab, "wrong")
    (now,) = lab.windows()
    assert (now["status"], now["reference_id"]) == ("no_reference", "")
    set_again(lab, WHOLE, "wrong")
    (now,) = lab.windows()
    assert (now["status"], now["reference_id"]) == ("ok", "wrong")


def test_a_reference_of_another_model_of_the_same_identifier_stays(lab: Lab) -> None:
    lab.reference(WHOLE, reference_id="train", created=10)
    withdraw(lab, "train", "another")
    predict(lab)
    assert set(status(lab).values()) == {("ok", "train")}


def test_a_withdrawal_of_what_nobody_set_is_said_once_with_what_there_is(lab: Lab) -> None:
    lab.reference(WHOLE, reference_id="february", created=10)
    predict(lab)
    with capture_logs() as logs:
        for reference_id in ("febuary", "febuary", "february"):
            withdraw(lab, reference_id)
        withdraw(lab, "february", "fraude")
    assert [{**one, "log_level": "", "event": ""} for one in logs] == [
        {
            "model": KEY.model_name,
            "reference": "febuary",
            "references_of_the_model": "february",
            "log_level": "",
            "event": "",
        },
        {"model": "fraude", "reference": "february", "references_of_the_model": "none", "log_level": "", "event": ""},
    ]


def test_one_found_by_the_fitted_model_is_taken_back_for_those_that_found_it(lab: Lab) -> None:
    lab.loaded(KEY, "77aa")
    lab.reference(dict.fromkeys(WHOLE, HIGH), key=LEARNT, model_digest="77aa", reference_id="wrong", created=10)
    predict(lab)
    assert set(status(lab).values()) == {("drifted", "wrong")}
    withdraw(lab, "wrong", LEARNT.model_name)
    assert {said for said, _ in status(lab).values()} == {"no_reference"}


def test_a_named_reference_that_is_set_again_leaves_what_it_was_readable(lab: Lab) -> None:
    lab.reference({"age": USUAL}, reference_id="january", created=10)
    predict(lab, age=RNG.normal(size=400))
    (before,) = lab.windows()
    for _ in range(2):
        set_again(lab, {"age": HIGH}, "january")
    means = lab.ask("SELECT round(mean) AS mean FROM ml_reference_history FINAL ORDER BY created_at")
    assert [row["mean"] for row in means] == [0.0, 5.0]
    assert lab.windows() == [before]


def test_a_model_that_nobody_named_is_compared_with_one_of_those_that_others_set_and_with_no_mixture(lab: Lab) -> None:
    third = LEARNT._replace(service_name="third", environment="prod")
    lab.loaded(third, "77aa")
    ages, incomes = {"age": USUAL}, {"age": HIGH, "income": HIGH, "tenure": USUAL}
    for service, features in (("first", ages), ("second", incomes)):
        key = KEY._replace(service_name=service, model_name=service)
        lab.loaded(key, "77aa")
        set_again(lab, features, service, key=key, service=service, environment="prod", model_digest="77aa")
    predict(lab, key=third)
    found = status(lab, key=third)
    assert found["age"] == ("ok", "first")
    assert {reference for _, reference in found.values()} <= {"first", ""}
    (window,) = lab.windows(third)
    assert (window["status"], window["reference_id"]) == ("ok", "first")


@pytest.mark.parametrize(("min_rows", "used"), [(100, "small"), (1000, "whole")])
def test_the_saved_query_takes_the_rows_that_the_service_wants_of_a_reference(
    lab_with: Callable[..., Lab], min_rows: int, used: str
) -> None:
    lab = lab_with(first_predictions=0, min_rows=min_rows)
    lab.evaluator.keep_settings(lab.wall)
    lab.reference(WHOLE, reference_id="whole", created=9)
    lab.reference({name: values[:500] for name, values in WHOLE.items()}, reference_id="small", created=10)
    lab.loaded(KEY, None)
    predict(lab)
    assert {reference for _, reference in status(lab).values()} == {used}
    assert {row["reference_id"] for row in saved_references(lab, KEY)} == {used}


def saved_references(lab: Lab, key: ModelKey) -> list[dict[str, Any]]:
    saved = find("references")
    with run(lab.store.client(), saved.sql, saved.bind({"model": key.model_name})) as result:
        return [dict(zip(result.columns, row, strict=True)) for row in result.rows]


@pytest.mark.parametrize("seed", range(6))
def test_the_saved_query_names_the_references_that_the_next_window_is_compared_with(lab: Lab, seed: int) -> None:
    draw = np.random.default_rng(seed)
    key = KEY if draw.integers(2) else LEARNT._replace(service_name="shop", environment="prod")
    lab.loaded(key, "77aa")
    for number in range(9):
        other = ModelKey(
            "", "", *[(key.model_name, key.model_version), ("elsewhere", "9"), (key.model_name, "")][draw.integers(3)]
        )
        names = draw.permutation(list(WHOLE))[: draw.integers(1, 4)].tolist()
        lab.reference(
            dict.fromkeys(names, draw.choice([USUAL, HIGH])[: draw.choice([50, 3000])]),
            key=other,
            reference_id=f"r{number}",
            service=str(draw.choice(["", "shop", "nightly", "partner"])),
            environment=str(draw.choice(["", "prod", "test"])),
            source=str(draw.choice(["fit", "training"])),
            model_digest=str(draw.choice(["", "77aa"])),
            created=1000.0 + float(draw.integers(100)),
        )
    if seed % 2:
        withdraw(lab, "r3", key.model_name)
    predict(lab, key=key)
    said = saved_references(lab, key)
    used = [reference for _, reference in status(lab, key=key).values() if reference]
    assert {row["reference_id"]: row["series"] for row in said} == {one: used.count(one) for one in used}


def test_one_taken_back_leaves_the_past_to_that_of_another_model_with_the_same_identifier(lab: Lab) -> None:
    lab.loaded(KEY, "77aa")
    lab.reference(WHOLE, key=LEARNT, service="nightly", model_digest="77aa", reference_id="january", created=9)
    lab.reference(dict.fromkeys(WHOLE, HIGH), reference_id="january", created=10)
    predict(lab)
    before = lab.windows()
    assert [row["status"] for row in before] == ["drifted"]
    withdraw(lab, "january")
    (now,), (kept,) = lab.windows(), replaced(lab)
    assert (now["status"], now["reference_id"]) == ("ok", "january")
    assert {name: kept[name] for name in before[0]} == before[0]
    assert kept["replaced_because"] == (
        f"Its reference was january of the model {KEY.model_name} (version {KEY.model_version}),"
        " and is january of the model LogisticRegression (version fit-77aa, service nightly) now."
    )
    (said,) = saved_references(lab, KEY)
    assert (said["model_name"], said["set_for_model"], said["set_for_version"], said["set_by_service"]) == (
        KEY.model_name,
        LEARNT.model_name,
        LEARNT.model_version,
        "nightly",
    )
    assert lab.settle() == 0
    lab.evaluator.recover(lab.wall)
    assert lab.settle() == 0


def test_one_taken_back_and_set_again_at_once_judges_the_past_again(lab: Lab) -> None:
    lab.reference(dict.fromkeys(WHOLE, HIGH), reference_id="january", created=10)
    predict(lab)
    assert [row["status"] for row in lab.windows()] == ["drifted"]
    lab.wall += 10
    withdraw(lab, "january", settles=False)
    set_again(lab, WHOLE, "january")
    (now,), (kept,) = lab.windows(), replaced(lab)
    assert (now["status"], now["reference_id"], kept["status"]) == ("ok", "january", "drifted")
    assert kept["replaced_because"] == "Its reference january was taken back and set again."


def test_a_verdict_stored_without_its_origins_stays_as_long_as_the_identifier_is_the_same(lab: Lab) -> None:
    lab.reference(WHOLE, reference_id="january", created=10)
    predict(lab)
    (before,) = lab.windows()
    lab.store.client().command(
        "ALTER TABLE ml_windows UPDATE reference_origins = '' WHERE 1 SETTINGS mutations_sync = 2"
    )
    lab.evaluator.recover(lab.wall)
    assert lab.settle() == 0
    assert lab.windows() == [{**before, "reference_origins": ""}]
