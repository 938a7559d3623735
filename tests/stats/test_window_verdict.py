from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from modelspan.processor.stats import (
    SeriesResult,
    compare_missing,
    compare_series,
    decide_window,
    no_reference,
)
from modelspan.profile import CategoricalProfile, NumericProfile, bin_counts, categorical_profile, numeric_profile

RNG = np.random.default_rng(42)
REFERENCE = RNG.normal(size=20_000)
AMOUNT = numeric_profile(np.where(RNG.random(20_000) < 0.02, np.nan, REFERENCE), kind="feature", name="amount")
COUNTRY = categorical_profile(
    RNG.choice(["DE", "FR", "IT"], 20_000, p=[0.8, 0.15, 0.05]), kind="feature", name="country"
)


def sums(rows: int) -> dict[str, Any]:
    return {"rows": rows, "weight": float(rows), "weight_squared": float(rows)}


def numeric(reference: NumericProfile, values: Any, seed: int = 1) -> SeriesResult:
    values = np.asarray(values, dtype=np.float64)
    missing = float(np.isnan(values).sum())
    return compare_series(reference, bin_counts(reference, values), missing, seed=seed, **sums(len(values)))


def missing(reference: NumericProfile, values: Any) -> SeriesResult:
    values = np.asarray(values, dtype=np.float64)
    return compare_missing(reference, float(np.isnan(values).sum()), **sums(len(values)))


def categorical(reference: CategoricalProfile, counts: list[float], lost: float = 0.0, seed: int = 1) -> SeriesResult:
    return compare_series(reference, counts, lost, seed=seed, **sums(int(sum(counts) + lost)))


def unchanged(rows: int) -> np.ndarray:
    rng = np.random.default_rng(rows)
    return np.where(rng.random(rows) < 0.02, np.nan, rng.normal(size=rows))


def test_an_unchanged_window_is_ok_and_says_what_it_would_have_found() -> None:
    values = unchanged(2_000)
    verdict = decide_window(
        [numeric(AMOUNT, values), missing(AMOUNT, values), categorical(COUNTRY, [1600, 300, 100, 0])]
    )
    assert (verdict.status, verdict.tests, verdict.drifted) == ("ok", 3, ())
    assert [s.threshold for s in verdict.series] == [0.05 / 3] * 3
    assert verdict.reason == "3 tests found no drift."
    assert verdict.series[0].reason.startswith("amount shows no drift; a change of ")


def test_the_number_of_tests_is_that_of_the_reason_and_leaves_out_those_without_anything_to_find() -> None:
    complete = numeric_profile(REFERENCE, kind="feature", name="complete")
    values = np.random.default_rng(6).normal(size=2_000)
    verdict = decide_window([numeric(complete, values), missing(complete, values)])
    assert verdict.tests == 1
    nothing = "1 series was not tested: its values hardly ever vary, as where nothing is missing, or are all different."
    assert verdict.reason == f"1 test found no drift. {nothing}"
    constant = numeric_profile(np.full(5_000, 3.0), kind="feature", name="unit")
    verdict = decide_window([numeric(constant, np.full(500, 3.0))])
    assert verdict.tests == 0
    assert verdict.reason == nothing
    verdict = decide_window([numeric(complete, values), no_reference("label", "", **sums(2_000))])
    assert verdict.reason == "1 test found no drift. 1 had too few rows or no reference."


def test_a_moved_number_drifts_and_the_reason_names_the_place() -> None:
    verdict = decide_window([numeric(AMOUNT, unchanged(2_000) + 0.5), categorical(COUNTRY, [1600, 300, 100, 0])])
    assert (verdict.status, verdict.drifted) == ("drifted", ("amount",))
    assert verdict.reason.startswith("amount drifted: the share of values below ")
    assert "went from" in verdict.reason
    assert [s.status for s in verdict.series] == ["drifted", "ok"]


def test_an_unseen_category_drifts_and_the_reason_says_so() -> None:
    verdict = decide_window([categorical(COUNTRY, [1580, 290, 100, 30])])
    assert verdict.status == "drifted"
    assert "values that the reference does not list went from 0 % to 1.5 %" in verdict.reason


def test_lost_values_drift_as_missing_and_not_as_a_change_of_the_others() -> None:
    values = unchanged(2_000)
    values[:200] = np.nan
    verdict = decide_window([numeric(AMOUNT, values), missing(AMOUNT, values)])
    assert verdict.drifted == ("amount (missing)",)
    assert [s.result.method for s in verdict.series] == ["ks", "proportion"]
    assert "missing values went from" in verdict.reason


def test_missing_categories_are_part_of_the_chi_square_test() -> None:
    verdict = decide_window([categorical(COUNTRY, [1560, 290, 100, 0], lost=50)])
    assert "missing values went from 0 % to 2.5 %" in verdict.reason


def test_several_drifted_series_come_by_falling_severity() -> None:
    label = CategoricalProfile("label", "", 1000.0, 0.0, ("no", "yes"), np.array([900.0, 100.0, 0.0]))
    verdict = decide_window([numeric(AMOUNT, unchanged(2_000) + 0.2), categorical(label, [500, 500, 0])])
    assert verdict.drifted == ("label", "amount")
    assert verdict.reason.startswith("2 series drifted, most of all label: the share of ")


def test_how_rare_a_change_is_by_chance_holds_for_all_tests_of_the_window_together() -> None:
    def share(name: str, p_value: float) -> SeriesResult:
        sizes = {"effective_rows": 500.0, "reference_rows": 500.0, "rows": 500}
        return SeriesResult(
            "feature",
            name,
            "proportion",
            effect=0.5,
            p_value=p_value,
            attainable_p=0.0,
            finding="it moved",
            **sizes,  # type: ignore[arg-type]
        )

    alone = decide_window([share("a", 0.004)])
    assert alone.reason == "a drifted: it moved; by chance, at most one unchanged window in 250 shows as much."
    others = [share(f"other {i}", 0.5) for i in range(4)]
    among = decide_window([share("a", 0.004), *others])
    assert (
        among.reason
        == "a drifted: it moved; by chance, at most one unchanged window in 50 shows as much in any of its 5 tests."
    )
    both = decide_window([share("b", 0.004), share("a", 0.00001), *others[:2]])
    assert "at most one unchanged window in 83 shows" in both.series[0].reason
    assert "at most one unchanged window in 25,000 shows" in both.series[1].reason
    assert "in 1,300 shows" in decide_window([share("a", 1 / 1399)]).reason
    assert decide_window([share("a", 1e-300), *others]).reason == "a drifted: it moved; chance alone does not do that."


def test_a_series_without_a_name_and_one_with_an_endless_name_are_named_in_a_sentence() -> None:
    nameless = numeric_profile(REFERENCE, kind="feature", name="")
    endless = numeric_profile(REFERENCE, kind="feature", name="x" * 10_000)
    verdict = decide_window([numeric(nameless, unchanged(50)), numeric(endless, REFERENCE[:2_000] + 1)])
    assert verdict.series[0].reason.startswith("'' has 48 rows with a value")
    assert verdict.series[1].reason.startswith(f"{'x' * 59}… drifted: ")
    assert verdict.drifted == ("x" * 10_000,)


def test_a_significant_trifle_is_tolerated() -> None:
    big = numeric_profile(np.arange(1_000_000) % 1000, kind="feature", name="big", bins=50)
    counts = big.counts * 10
    counts[:2] += [60_000, -60_000]
    verdict = decide_window([compare_series(big, counts, 0.0, seed=1, **sums(10_000_000))])
    (series,) = verdict.series
    assert series.threshold is not None
    assert series.result.p_value is not None
    assert series.result.p_value <= series.threshold
    assert (verdict.status, series.status) == ("ok", "ok")
    assert series.reason == "big changed by 0.6 % of the rows, less than the tolerated 1 %."


def test_too_few_rows_are_insufficient_data_whatever_they_say() -> None:
    verdict = decide_window([numeric(AMOUNT, np.full(50, 99.0))])
    assert (verdict.status, verdict.tests) == ("insufficient_data", 0)
    assert verdict.reason == "amount has 50 rows with a value in the window; 100 are needed."
    assert verdict.series[0].threshold is None


def test_an_empty_window_is_insufficient_data() -> None:
    verdict = decide_window([numeric(AMOUNT, []), missing(AMOUNT, []), categorical(COUNTRY, [0, 0, 0, 0])])
    assert {s.status for s in verdict.series} == {"insufficient_data"}
    assert all(s.result.p_value == 1.0 and s.result.effect == 0.0 for s in verdict.series)


def test_a_window_without_any_value_has_drifted_in_its_missing_share_only() -> None:
    values = np.full(500, np.nan)
    verdict = decide_window([numeric(AMOUNT, values), missing(AMOUNT, values)])
    assert [s.status for s in verdict.series] == ["insufficient_data", "drifted"]
    assert verdict.drifted == ("amount (missing)",)


def test_a_reference_without_any_value_makes_present_values_a_change_of_the_missing_share() -> None:
    empty = numeric_profile(np.full(5_000, np.nan), kind="feature", name="late")
    verdict = decide_window([numeric(empty, unchanged(500)), missing(empty, unchanged(500))])
    assert [s.status for s in verdict.series] == ["insufficient_data", "drifted"]
    assert verdict.series[0].reason == "late has 0 rows with a value in the reference; 100 are needed."


def test_always_missing_on_both_sides_is_ok() -> None:
    empty = numeric_profile(np.full(5_000, np.nan), kind="feature", name="never")
    verdict = decide_window([missing(empty, np.full(500, np.nan))])
    assert (verdict.status, verdict.tests) == ("ok", 0)


def test_a_series_that_no_reference_knows_has_no_reference() -> None:
    nothing = numeric_profile([], kind="feature", name="new")
    results = [
        no_reference("label", "", **sums(500)),
        numeric(nothing, unchanged(500)),
        missing(nothing, unchanged(500)),
    ]
    verdict = decide_window(results)
    assert {s.status for s in verdict.series} == {"no_reference"}
    assert [s.reason for s in verdict.series[:2]] == [
        "There is no reference for label.",
        "There is no reference for new.",
    ]
    assert (verdict.status, verdict.reason) == ("no_reference", "There is no reference to compare with.")
    assert decide_window([*results, numeric(AMOUNT, unchanged(500))]).status == "ok"


def test_a_window_without_series_has_no_reference() -> None:
    assert decide_window([]).status == "no_reference"


def test_a_constant_that_stays_is_ok_and_one_that_changes_drifts() -> None:
    constant = numeric_profile(np.full(5_000, 3.0), kind="feature", name="unit")
    assert decide_window([numeric(constant, np.full(500, 3.0))]).status == "ok"
    assert decide_window([numeric(constant, np.full(500, 3.1))]).status == "drifted"


def test_a_window_larger_than_its_reference_is_judged_with_the_noise_of_both() -> None:
    rng = np.random.default_rng(3)
    alarms = 0
    for _ in range(200):
        small = numeric_profile(rng.normal(size=300), kind="feature", name="x")
        alarms += decide_window([numeric(small, rng.normal(size=20_000))]).status == "drifted"
    assert alarms <= 20


def test_unchanged_windows_of_mixed_series_alarm_in_at_most_five_of_a_hundred() -> None:
    rng = np.random.default_rng(4)
    alarms = 0
    population = {
        "heavy": lambda n: np.where(rng.random(n) < 0.9, 0.0, rng.lognormal(size=n)),
        "whole": lambda n: rng.poisson(20, n).astype(float),
        "gaps": lambda n: np.where(rng.random(n) < 0.01, np.nan, rng.normal(size=n)),
    }
    rare = 1.0 / np.arange(1, 40) ** 2.5
    for trial in range(300):
        results = []
        for name, draw in population.items():
            reference = numeric_profile(draw(3_000), kind="feature", name=name)
            values = draw(1_000)
            results += [numeric(reference, values, trial), missing(reference, values)]
        texts = rng.choice([f"c{i}" for i in range(39)], 4_000, p=rare / rare.sum()).tolist()
        known = categorical_profile(texts[:3_000], kind="feature", name="text")
        places = [known.categories.index(t) if t in known.categories else -1 for t in texts[3_000:]]
        counts = [float(places.count(i)) for i in range(len(known.categories))] + [float(places.count(-1))]
        alarms += decide_window([*results, categorical(known, counts, seed=trial)]).status == "drifted"
    assert alarms <= 24  # 15 expected; asymptotic p without a family decision alarm in more than 60


def test_weighted_rows_are_judged_at_their_effective_number() -> None:
    values = unchanged(2_000) + 0.12
    counts, lost = bin_counts(AMOUNT, values), float(np.isnan(values).sum())
    plain = compare_series(AMOUNT, counts, lost, seed=1, **sums(2_000))
    same = compare_series(AMOUNT, counts * 7, lost * 7, rows=2_000, weight=14_000.0, weight_squared=98_000.0, seed=1)
    uneven = compare_series(AMOUNT, counts * 7, lost * 7, rows=2_000, weight=14_000.0, weight_squared=980_000.0, seed=1)
    assert (same.p_value, same.effect) == pytest.approx((plain.p_value, plain.effect))
    assert uneven.effective_rows == pytest.approx(plain.effective_rows / 10)
    assert uneven.effect == pytest.approx(plain.effect)
    assert (uneven.p_value or 0) > 10 * (plain.p_value or 0)


def test_the_counts_of_two_windows_add_up_to_the_result_of_their_rows_together() -> None:
    first, second = unchanged(700), unchanged(900) + 0.2
    counts = bin_counts(AMOUNT, first) + bin_counts(AMOUNT, second)
    lost = float(np.isnan(first).sum() + np.isnan(second).sum())
    merged = compare_series(AMOUNT, counts, lost, seed=1, **sums(1_600))
    assert merged == numeric(AMOUNT, np.concatenate([first, second]))


def test_the_same_counts_and_seed_give_the_same_verdict_bit_for_bit() -> None:
    values = unchanged(900) + 0.1
    verdicts = [
        decide_window(
            [numeric(AMOUNT, values), missing(AMOUNT, values), categorical(COUNTRY, [820, 50, 29, 1], seed=9)]
        )
        for _ in range(2)
    ]
    assert repr(verdicts[0]) == repr(verdicts[1])


def test_the_order_of_the_series_does_not_change_their_verdicts() -> None:
    results = [numeric(AMOUNT, unchanged(900) + shift) for shift in (0.0, 0.1, 0.5)]
    forward, backward = decide_window(results), decide_window(results[::-1])
    assert forward.series == backward.series[::-1]


def test_results_hold_numbers_that_a_table_can_store() -> None:
    values = np.concatenate([unchanged(500), [np.inf, -np.inf]])
    for result in (numeric(AMOUNT, values), missing(AMOUNT, values), categorical(COUNTRY, [400, 50, 50, 2])):
        numbers = [result.statistic, result.effect, result.p_value, result.psi, result.js, result.effective_rows]
        assert all(type(number) is float and np.isfinite(number) for number in numbers)


@pytest.mark.parametrize("counts", [[1.0, 2.0], [1.0, -1.0, 0.0, 0.0], [np.nan, 1.0, 1.0, 1.0]])
def test_counts_that_do_not_fit_the_reference_are_refused(counts: list[float]) -> None:
    with pytest.raises(ValueError, match="country"):
        compare_series(COUNTRY, counts, 0.0, seed=1, **sums(3))
