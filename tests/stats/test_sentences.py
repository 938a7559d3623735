"""Every sentence of a verdict, with values that are none of the usual ones, reads like one of the usual ones."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from modelspan.processor.stats import WindowVerdict, compare_missing, compare_series, decide_window
from modelspan.processor.stats.words import number, percent, percents, quoted
from modelspan.profile import bin_counts, categorical_profile, numeric_profile

RNG = np.random.default_rng(2)
NORMAL = RNG.normal(size=2_000)
INF, NAN, TINY = np.inf, np.nan, 5e-324


def numbers(before: Any, now: Any) -> WindowVerdict:
    reference = numeric_profile(before, kind="feature", name="x")
    values = np.asarray(now, dtype=np.float64)
    lost, rows = float(np.isnan(values).sum()), len(values)
    sums = {"rows": rows, "weight": float(rows), "weight_squared": float(rows)}
    return decide_window(
        [
            compare_series(reference, bin_counts(reference, values), lost, seed=1, **sums),  # type: ignore[arg-type]
            compare_missing(reference, lost, **sums),  # type: ignore[arg-type]
        ]
    )


def texts(before: list[Any], now: list[Any], unseen: list[tuple[str, float]] | None = None) -> WindowVerdict:
    reference = categorical_profile(before, kind="feature", name="x")
    known = list(reference.categories)
    places = [known.index(value) if value in known else len(known) for value in now if value is not None]
    counts = np.bincount(places, minlength=len(known) + 1).astype(float)
    sums = {"rows": len(now), "weight": float(len(now)), "weight_squared": float(len(now))}
    lost = float(sum(value is None for value in now))
    return decide_window([compare_series(reference, counts, lost, seed=1, unseen=unseen or (), **sums)])  # type: ignore[arg-type]


def mixed(values: Any, other: float, share: float) -> Any:
    return np.where(np.random.default_rng(4).random(len(values)) < share, other, values)


IDS = [f"id-{i}" for i in range(4_000)]
CASES: dict[str, tuple[WindowVerdict, str]] = {
    "infinity comes": (numbers(NORMAL, mixed(NORMAL, INF, 0.3)), "went from 98 % to 69.7 %"),
    "infinity goes": (numbers(mixed(NORMAL, INF, 0.3), NORMAL), "the share of infinite values went from 28.9 % to 0 %"),
    "minus infinity comes": (numbers(NORMAL, mixed(NORMAL, -INF, 0.3)), "went from 2 % to 30.3 %"),
    "only infinity before": (numbers(np.full(500, INF), NORMAL), "the share of infinite values went from 100 % to 0 %"),
    "only infinity in a constant": (numbers(np.zeros(500), np.full(500, INF)), "values above 0 went from 0 % to 100 %"),
    "both infinities": (numbers([-INF, INF] * 500, [INF] * 500), "went from 50 % to 0 %"),
    "huge": (numbers(NORMAL * 1e300, NORMAL * 1e300 + 1e300), "the share of values below "),
    "largest": (numbers([1.7e308, -1.7e308] * 500, [1.7e308] * 500), "went from 50 % to 0 %"),
    "denormal": (numbers([0.0, TINY] * 500, [TINY] * 500), "went from 50 % to 0 %"),
    "zero alone": (numbers(np.zeros(2_000), np.zeros(2_000)), "all its values are the same, as in the reference"),
    "zero leaves": (numbers(np.zeros(2_000), np.ones(2_000)), "values above 0 went from 0 % to 100 %"),
    "seconds since 1970": (
        numbers(1_764_590_000 + RNG.integers(0, 900, 3_000), 1_764_590_400 + RNG.integers(0, 900, 3_000)),
        "the share of values below 1,764,590,4",
    ),
    "fractions of seconds since 1970": (
        numbers(1_764_590_000 + RNG.random(3_000), 1_764_590_000.4 + RNG.random(3_000)),
        "the share of values below 1,764,590,000.4",
    ),
    "one row": (numbers(NORMAL, [1.0]), "x has 1 row with a value in the window; 100 are needed"),
    "almost enough rows": (
        decide_window(
            [
                compare_series(
                    numeric_profile(NORMAL, kind="feature", name="x"),
                    bin_counts(numeric_profile(NORMAL, kind="feature", name="x"), NORMAL[:200]),
                    0.0,
                    rows=200,
                    weight=200.0,
                    weight_squared=200.0 * 200 / 99.7,
                    seed=1,
                )
            ]
        ),
        "x has 99 rows",
    ),
    "all missing": (numbers(NORMAL, np.full(500, NAN)), "missing values went from 0 % to 100 %"),
    "missing as before": (
        numbers(np.full(500, NAN), np.full(500, NAN)),
        "there are only missing values, as in the reference",
    ),
    "never missing": (numbers(NORMAL, NORMAL), "there are no missing values, as in the reference"),
    "hardly missing": (numbers(np.append(NORMAL, NAN), NORMAL), "too few of its rows differ for a test to find any"),
    "ids": (texts(IDS[:2_000], IDS[2_000:]), "its values hardly repeat, so the reference lists none"),
    "one category": (texts(["a"] * 500, ["a"] * 500), "it has one value in all rows, as in the reference"),
    "a category never there": (texts([None] * 500, [None] * 500), "every value is missing, as in the reference"),
    "all unseen": (
        texts(["a", "b"] * 500, ["GB"] * 300 + ["US"] * 200, [("GB", 300.0), ("US", 200.0)]),
        "values that the reference does not list ('GB' 60 %, 'US' 40 %) went from 0 % to 100 %",
    ),
    "an endless category": (texts(["a"] * 500 + ["z" * 900] * 500, ["a"] * 500), "zzz…' went from 50 % to 0 %"),
    "a category of controls": (texts(["a", "\x1b[2J\n"] * 500, ["a"] * 500), r"'\x1b[2J\n' went from 50 % to 0 %"),
    "many categories, few rows": (
        texts([f"c{i % 90}" for i in range(9_000)], [f"c{i % 90}" for i in range(150)]),
        "x shows no drift",
    ),
}
NOISE = re.compile(r"\de[+-]\d|\bnan\b|\binf\b|-0 %|\d{7,}|\bNone(?! of)")


@pytest.mark.parametrize("case", CASES)
def test_a_verdict_on_extreme_values_reads_like_any_other(case: str) -> None:
    verdict, expected = CASES[case]
    reasons = [series.reason for series in verdict.series]
    assert any(expected in reason for reason in reasons), reasons
    if case not in ("huge", "denormal"):
        assert [reason for reason in (*reasons, verdict.reason) if NOISE.search(reason)] == []
    assert all(reason.endswith(".") and len(reason) < 250 for reason in reasons)


def test_ids_are_not_said_to_be_few_rows() -> None:
    assert "few rows" not in CASES["ids"][0].series[0].reason
    assert CASES["ids"][0].reason.endswith(
        "values hardly ever vary, as where nothing is missing, or are all different."
    )


def test_what_drifted_has_a_severity_and_what_did_not_has_none() -> None:
    large, small = (
        numeric_profile(np.random.default_rng(1).normal(size=200_000), kind="feature", name="x"),
        np.random.default_rng(2).normal(size=200_000) + 0.05,
    )
    sums = {"rows": 200_000, "weight": 2e5, "weight_squared": 2e5}
    result = compare_series(large, bin_counts(large, small), 0.0, seed=1, **sums)  # type: ignore[arg-type]
    assert result.psi is not None
    assert result.psi < 0.1
    (drifted,) = decide_window([result]).series
    assert (drifted.status, drifted.result.severity) == ("drifted", "minor")
    (same,) = decide_window([compare_series(large, large.counts, 0.0, seed=1, **sums)]).series  # type: ignore[arg-type]
    assert (same.status, same.result.severity) == ("ok", "none")


def test_a_trifle_is_not_called_as_large_as_what_is_tolerated() -> None:
    assert percents(0.00249, 0.0025, 2) == ("0.249 %", "0.25 %")
    assert percents(0.5, 0.5) == ("50 %", "50 %")


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.0, "0 %"),
        (5.55e-16, "0 %"),
        (-1e-17, "0 %"),
        (1e-7, "less than 0.001 %"),
        (0.00001234, "0.00123 %"),
        (0.5, "50 %"),
        (0.123456, "12.3 %"),
        (0.9996, "99.96 %"),
        (0.9999999, "more than 99.999 %"),
        (1 - 1e-16, "100 %"),
        (1.0000000000000002, "100 %"),
    ],
)
def test_a_share_in_words(share: float, text: str) -> None:
    assert percent(share) == text


def test_a_number_in_words_is_told_from_its_neighbours() -> None:
    assert [number(value) for value in (0.0, -0.0, 20.0, 1_764_590_000.0, 0.1 + 0.2, -123456.7)] == [
        *("0", "0", "20", "1,764,590,000", "0.3", "-123,457"),
    ]
    assert number(1_764_590_000.25, (1_764_590_000.5, 1_764_590_000.0)) == "1,764,590,000.2"
    assert quoted("x" * 500) == f"'{'x' * 59}…'"
