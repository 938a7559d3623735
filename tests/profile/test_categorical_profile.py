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


def test_what_is_not_named_counts_as_other() -> None:
    made = profile([f"c{i:03d}" for i in range(150)] + ["heavy"] * 500)
    assert made.categories == ("heavy",)
    assert made.counts.tolist() == [500.0, 150.0]


def test_at_most_so_many_categories_are_named() -> None:
    made = profile(["a"] * 4000 + ["b"] * 2000 + ["c"] * 1000 + ["d"] * 500, max_categories=2)
    assert made.categories == ("a", "b")
    assert made.counts.tolist() == [4000.0, 2000.0, 1500.0]


@pytest.mark.parametrize("exponent", [0.0, 1.0, 2.5])
def test_what_is_named_is_not_rarer_in_the_next_sample(exponent: float) -> None:
    rng = np.random.default_rng(5)
    weights = 1.0 / np.arange(1, 400) ** exponent
    surplus, noise = [], []
    for _ in range(60):
        texts = rng.choice(399, 8_000, p=weights / weights.sum()).astype(str).tolist()
        made = profile(texts[:4_000])
        named = set(made.categories)
        before, now = made.counts[:-1].sum(), sum(text in named for text in texts[4_000:])
        surplus.append(before - now)
        noise.append(max(1.0, np.sqrt(2 * now * (1 - now / 4_000))))
    assert abs(np.mean(surplus)) < 0.5 * np.mean(noise)


def test_all_categories_are_named_where_none_is_rare() -> None:
    made = profile([f"c{i % 60}" for i in range(6_000)])
    assert len(made.categories) == 60
    assert made.counts[-1] == 0.0


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
