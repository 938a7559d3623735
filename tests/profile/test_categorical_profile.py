from __future__ import annotations

import numpy as np
import pytest

from modelspan.profile import CategoricalProfile, categorical_profile


def profile(values: list[object], **options: object) -> CategoricalProfile:
    return categorical_profile(values, kind="feature", name="country", **options)  # type: ignore[arg-type]


def test_categories_come_heaviest_first_and_missing_is_apart() -> None:
    made = profile(["b", "a", "b", None, float("nan"), "c", "a"])
    assert made.categories == ("a", "b", "c")
    assert made.counts.tolist() == [2.0, 2.0, 1.0, 0.0]
    assert (made.missing, made.rows) == (2.0, 7.0)


def test_what_is_not_kept_counts_as_other() -> None:
    made = profile([f"c{i:03d}" for i in range(150)] + ["heavy"] * 5, max_categories=3)
    assert made.categories == ("heavy", "c000", "c001")
    assert made.counts.tolist() == [5.0, 1.0, 1.0, 148.0]


def test_very_long_texts_are_not_categories() -> None:
    made = profile(["x" * 5000] * 9 + ["a"])
    assert made.categories == ("a",)
    assert made.counts.tolist() == [1.0, 9.0]


def test_no_rows_and_only_missing_rows_are_defined() -> None:
    assert profile([]).counts.tolist() == [0.0]
    made = profile([None, None])
    assert (made.categories, made.counts.tolist(), made.missing, made.rows) == ((), [0.0], 2.0, 2.0)


def test_what_is_not_a_string_is_taken_as_its_text() -> None:
    assert profile([1, "1", True]).categories == ("1", "True")
    assert profile([1, "1", True]).counts.tolist() == [2.0, 1.0, 0.0]


def test_weights_are_scaled_to_the_effective_sample_size() -> None:
    made = profile(["a", "b", None, "z"], weights=np.array([1.0, 3.0, 2.0, 0.0]))
    assert made.categories == ("b", "a")
    assert made.rows == pytest.approx(36 / 14)
    assert made.counts == pytest.approx(np.array([3.0, 1.0, 0.0]) * 36 / 14 / 6)
