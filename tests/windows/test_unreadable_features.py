"""Features that could not be read in the program are not missing: no verdict is made of their absence."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from windows.lab import Lab, window_times

RNG = np.random.default_rng(17)
REFERENCE = {"age": RNG.normal(size=2000), "city": RNG.choice(["Oslo", "Rome"], 2000)}


def rows(count: int) -> dict[str, np.ndarray]:
    return {"age": RNG.normal(size=count), "city": RNG.choice(["Oslo", "Rome"], count).astype(object)}


def unread(lab: Lab, count: int, window: int = 0, reason: str = "categorical") -> None:
    lab.predict(window_times(count, window), {}, unreadable=[reason] * count, label=["yes"] * count)


def test_a_window_of_features_that_could_not_be_read_is_not_drifted(lab: Lab) -> None:
    lab.reference(REFERENCE)
    unread(lab, 500)
    lab.settle()
    assert lab.windows()[0]["status"] != "drifted"
    assert lab.drift()["feature", "age"]["status"] == "insufficient_data"


def test_rows_that_could_be_read_are_judged_beside_them(lab: Lab) -> None:
    lab.reference(REFERENCE)
    unread(lab, 500)
    lab.predict(window_times(300), rows(300))
    lab.settle()
    (window,) = lab.windows()
    assert (window["status"], window["rows"]) == ("ok", 800)
    assert lab.drift()["feature", "age"]["rows"] == 300


def test_a_feature_is_missing_where_others_of_the_row_were_read(lab: Lab) -> None:
    lab.reference(REFERENCE)
    lab.predict(window_times(500), {"city": rows(500)["city"]}, unreadable=["too_large"] * 500)
    lab.settle()
    assert lab.windows()[0]["drifted"] == ["age (missing)"]


def test_rows_without_a_value_that_were_read_are_drift(lab: Lab) -> None:
    lab.reference(REFERENCE)
    lab.predict(window_times(500), {}, unreadable=[""] * 500)
    lab.settle()
    assert set(lab.windows()[0]["drifted"]) == {"age (missing)", "city"}


def test_they_are_no_part_of_the_first_predictions(lab_with: Callable[..., Lab]) -> None:
    lab = lab_with(first_predictions=400)
    unread(lab, 300)
    for window in (1, 2):
        lab.predict(window_times(400, window), rows(400))
    lab.settle()
    (age,) = lab.ask("SELECT rows, missing FROM ml_references FINAL WHERE series_name = 'age'")
    assert age == {"rows": 400.0, "missing": 0.0}
    assert lab.windows()[2]["status"] == "ok"
