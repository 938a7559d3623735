"""Saved queries over windows that were really evaluated."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from windows.lab import BASE, SECOND, Lab

from modelspan.queries import find

OF_THE_DOCUMENT = (Path(__file__).parents[2] / "docs" / "queries.md").read_text()
OF_THE_DOCUMENT = OF_THE_DOCUMENT[OF_THE_DOCUMENT.index("SELECT sum(rows) FROM ml_windows") :]
HOUR = 3600
START = BASE // (HOUR * SECOND) * HOUR * SECOND


def ask(lab: Lab, name: str, **given: str) -> list[dict[str, Any]]:
    saved = find(name)
    rows: list[dict[str, Any]] = (
        lab.store.client().query_arrow(saved.sql, parameters=saved.bind(given), use_strings=True).to_pylist()
    )
    return rows


def hours(lab: Lab, number: int, rows: int = 1200, first: int = 0, minutes: int = 60) -> None:
    """Rows spread over the first minutes of each hour."""
    for hour in range(first, first + number):
        rng = np.random.default_rng(hour)
        times = START + hour * HOUR * SECOND + np.linspace(0, minutes * 60 * SECOND - 1, rows).astype(np.int64)
        lab.predict(times, {"x": rng.normal(size=rows) + hour, "c": rng.choice(["a", "b"], rows)})


def judged_again(lab_with: Callable[..., Lab], before: Lab, length: int) -> Lab:
    lab = lab_with(length=length, first_predictions=0)
    lab.wall = before.wall + 1000
    lab.evaluator.recover(lab.wall)
    lab.settle()
    return lab


@pytest.mark.parametrize(("before", "after"), [(300, HOUR), (HOUR, 300), (HOUR, 2 * HOUR), (420, 600)])
def test_after_a_change_of_their_length_each_prediction_is_in_one_window(
    lab_with: Callable[..., Lab], before: int, after: int
) -> None:
    lab = lab_with(length=before, first_predictions=0)
    lab.reference({"x": np.arange(-10.0, 10.0, 0.01), "c": ["a", "b"] * 1000})
    hours(lab, 4)
    lab.settle()
    assert sum(row["rows"] for row in ask(lab, "windows", last="7d")) == 4800
    lab = judged_again(lab_with, lab, after)
    windows = ask(lab, "windows", last="7d")
    assert {(row["window_end"] - row["window_start"]).total_seconds() for row in windows} == {after}
    assert sum(row["rows"] for row in windows) == 4800
    assert lab.ask(OF_THE_DOCUMENT) == [{"sum(rows)": 4800}]
    newest = max(row["window_start"] for row in windows)
    assert {row["window_start"] for row in ask(lab, "drift_now")} == {newest}
    over_time = ask(lab, "drift_over_time", feature="x", kind="feature", last="7d")
    assert sum(row["rows"] for row in over_time) == 4800
    (bin_start,) = {row["window_start"] for row in ask(lab, "feature_distribution", model="fraud", feature="x")}
    assert bin_start == newest
    assert lab.evaluator.recover(lab.wall) == 0
    lab = judged_again(lab_with, lab, before)
    assert sum(row["rows"] for row in ask(lab, "windows", last="7d")) == 4800


def test_windows_with_the_same_rows_get_their_new_end(lab_with: Callable[..., Lab]) -> None:
    lab = lab_with(length=300, first_predictions=0)
    hours(lab, 2, minutes=4)
    lab.settle()
    lab = judged_again(lab_with, lab, HOUR)
    ends = [(row["window_end"] - row["window_start"]).total_seconds() for row in lab.windows()]
    assert (ends, [row["rows"] for row in ask(lab, "windows")]) == ([HOUR] * 2, [1200] * 2)


def test_history_that_is_not_computed_anew_keeps_its_windows(lab_with: Callable[..., Lab]) -> None:
    lab = lab_with(length=300, first_predictions=0)
    hours(lab, 2)
    lab.settle()
    later = lab_with(length=HOUR, first_predictions=0)
    later.wall = lab.wall
    hours(later, 2, first=3)
    later.settle()
    lengths = [(row["window_end"] - row["window_start"]).total_seconds() for row in ask(later, "windows", last="7d")]
    assert lengths == [300] * 24 + [HOUR] * 2


def test_the_parts_of_a_psi_add_up_to_it(lab: Lab) -> None:
    rng = np.random.default_rng(3)

    def features(rows: int, shift: float) -> dict[str, Any]:
        numbers = rng.normal(size=rows) + shift
        numbers[rng.random(rows) < 0.1 + shift / 10] = np.nan
        texts = rng.choice([*"abcdefgh"], rows, p=[0.5, 0.2, 0.1, 0.1, 0.05, 0.035, 0.008, 0.007]).tolist()
        new = [f"new{i // 9 % 3}" if shift and i % 9 == 0 else text for i, text in enumerate(texts)]
        return {
            "n": numbers,
            "z": np.where(rng.random(rows) < 0.7, 0.0, numbers + 3),
            "t": new,
            "full": rng.random(rows),
        }

    lab.reference(features(5000, 0.0))
    lab.predict(START + np.arange(900) * SECOND // 10, features(900, 0.5), weight=rng.random(900) + 0.5)
    lab.settle()
    drift = lab.drift()
    for name in ("n", "z", "t", "full"):
        bins = ask(lab, "feature_distribution", model="fraud", feature=name)
        assert sum(row["psi_part"] for row in bins) == pytest.approx(drift["feature", name]["psi"], rel=1e-9), name
        assert sum(row["window_share"] for row in bins) == pytest.approx(1)
    bins = ask(lab, "feature_distribution", model="fraud", feature="t")
    (unseen,) = [row["unseen_values"] for row in bins if row["label"] == "(unseen)"]
    assert sorted(part.split(" ")[0] for part in unseen.split(", ")) == ["new0", "new1", "new2"]


def test_infinite_bins_have_a_name(lab: Lab) -> None:
    lab.reference({"x": [*np.arange(500.0), *[np.inf] * 100, *[-np.inf] * 100]})
    lab.predict(START + np.arange(300) * SECOND // 10, {"x": [1e6 + 0.5] * 150 + [np.inf] * 150})
    lab.settle()
    labels = [row["label"] for row in ask(lab, "feature_distribution", model="fraud", feature="x")]
    assert (labels[0], labels[-1]) == ("-infinity", "infinity")
    assert [label for label in labels if "e+30" in label] == []
