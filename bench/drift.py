"""False alarms and recall of the drift verdicts on real data, and what they cost. Run: python -m bench.drift

Data: UCI Adult, 48,842 rows, 14 features and the class as label, ties, missing values and rare categories. A reference of 20,000 rows and
a window are drawn without replacement from the same rows, so nothing has changed between them and every alarm is false.
Recall: one of 14 faults is injected into such a window.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc, kolmogorov
from scipy.stats import beta

from modelspan.processor.stats import SeriesResult, compare_missing, compare_series, decide_window
from modelspan.processor.stats.effective import pooled_rows
from modelspan.processor.stats.series import KS, MISSING
from modelspan.profile import CategoricalProfile, NumericProfile, bin_counts, categorical_profile, numeric_profile

DATA = Path(__file__).parents[2] / "shared" / "data" / "adult_mixed" / "adults.parquet"
REFERENCE = 20_000
WINDOWS = {500: 600, 2_000: 600, 10_000: 300}
RECALL_WINDOWS = 100
LABEL = "class"

Table = dict[str, NDArray[np.float64]]
"""Numeric columns as numbers; categorical ones as codes, -1 for missing, the number of categories for unseen."""


@dataclass(frozen=True)
class Adult:
    """The data set: columns, and the number of categories of the categorical ones."""

    columns: Table
    categories: dict[str, int]
    codes: dict[str, dict[str, int]]
    rows: int


def load(path: Path) -> Adult:
    """Read the parquet file."""
    import pandas as pd

    frame = pd.read_parquet(path)
    text = {name: frame[name].cat for name in frame if isinstance(frame[name].dtype, pd.CategoricalDtype)}
    columns = {str(n): (text[n].codes if n in text else frame[n]).to_numpy(dtype=np.float64) for n in frame}
    codes = {str(n): {str(c): i for i, c in enumerate(cat.categories)} for n, cat in text.items()}
    return Adult(columns, {n: len(c) for n, c in codes.items()}, codes, len(frame))


# ---- one window -------------------------------------------------------------------------------------------------------


def profile_of(adult: Adult, name: str, values: NDArray[np.float64]) -> NumericProfile | CategoricalProfile:
    """Reference of one column."""
    kind = "label" if name == LABEL else "feature"
    if name not in adult.categories:
        return numeric_profile(values, kind=kind, name=name)
    texts = np.array([*map(str, range(adult.categories[name])), None], dtype=object)
    return categorical_profile(texts[values.astype(int)].tolist(), kind=kind, name=name)


class Sums(TypedDict):
    """Of the rows of a window, each with weight 1."""

    rows: int
    weight: float
    weight_squared: float


def sums_of(rows: int) -> Sums:
    return {"rows": rows, "weight": float(rows), "weight_squared": float(rows)}


def results_of(
    reference: NumericProfile | CategoricalProfile, values: NDArray[np.float64], tests: int, seed: int
) -> list[SeriesResult]:
    """Results of one column: one test, and for a numeric one also that of its missing values."""
    sums = sums_of(len(values))
    if isinstance(reference, NumericProfile):
        missing = float(np.isnan(values).sum())
        counts = bin_counts(reference, values)
        main = compare_series(reference, counts, missing, **sums, seed=seed, resolution=0.05 / tests)
        return [main, compare_missing(reference, missing, **sums)]
    last = len(reference.categories)
    known = [int(category) for category in reference.categories]
    places = np.full(max([*known, int(values.max())]) + 1, last)
    places[known] = np.arange(last)
    counts = np.bincount(places[values[values >= 0].astype(int)], minlength=last + 1).astype(float)
    missing = float((values < 0).sum())
    return [compare_series(reference, counts, missing, **sums, seed=seed, resolution=0.05 / tests)]


def rules(results: list[SeriesResult], asymptotic: NDArray[np.float64]) -> dict[str, bool]:
    """Whether each rule raises an alarm for a window with these results."""
    columns = [result for result in results if result.kind != MISSING]
    verdict = decide_window(results)
    return {
        "Modelspan": verdict.status == "drifted",
        "same p, Bonferroni over all tests": min(r.p_value or 0 for r in results) <= 0.05 / len(results),
        "asymptotic p < .05, any column": bool((asymptotic < 0.05).any()),
        "asymptotic p, Bonferroni": bool((asymptotic < 0.05 / len(columns)).any()),
        "PSI > .1, any column": max(r.psi or 0 for r in columns) > 0.1,
        "PSI > .2, any column": max(r.psi or 0 for r in columns) > 0.2,
    }


def asymptotic_p(result: SeriesResult) -> float:
    """What a test without calibration says of the same counts (one p per column, as the peers have it)."""
    if result.method == KS:
        effective = pooled_rows(result.reference_rows, result.effective_rows)
        return float(kolmogorov(np.sqrt(effective) * (result.statistic or 0.0)))
    return float(chdtrc(max(1, result.bins - 1), result.statistic or 0.0))


# ---- faults -----------------------------------------------------------------------------------------------------------

Fault = Callable[[Adult, Table, np.random.Generator], Table]


def older(by: float, adult: Adult, window: Table, rng: np.random.Generator) -> Table:
    """Age moves up by so many standard deviations; ages stay whole numbers."""
    shift = by * adult.columns["age"].std()
    return {"age": np.floor(window["age"] + shift + rng.random(len(window["age"])))}


def busier(factor: float, adult: Adult, window: Table, rng: np.random.Generator) -> Table:
    """Hours are multiplied."""
    return {"hours-per-week": np.rint(window["hours-per-week"] * factor)}


def into(share: float, category: str | None, adult: Adult, window: Table, rng: np.random.Generator) -> Table:
    """A share of the rows get one occupation; None is one that was never seen."""
    code = adult.categories["occupation"] if category is None else adult.codes["occupation"][category]
    hit = rng.random(len(window["occupation"])) < share
    return {"occupation": np.where(hit, code, window["occupation"])}


def zeroed(share: float, adult: Adult, window: Table, rng: np.random.Generator) -> Table:
    """Capital gain is lost in a share of the rows."""
    hit = rng.random(len(window["capital-gain"])) < share
    return {"capital-gain": np.where(hit, 0.0, window["capital-gain"])}


FAULTS: dict[str, Fault] = {
    **{f"age +{by} sd": partial(older, by) for by in (0.05, 0.1, 0.2, 0.4)},
    **{f"hours x{factor}": partial(busier, factor) for factor in (1.1, 1.3)},
    **{f"occupation: {share:.0%} to Sales": partial(into, share, "Sales") for share in (0.03, 0.1)},
    **{f"occupation: {share:.1%} unseen": partial(into, share, None) for share in (0.005, 0.02)},
    **{f"capital-gain: {share:.0%} lost": partial(zeroed, share) for share in (0.5, 1.0)},
}
PRIORS = {"class: +5 points": 0.05, "class: +15 points": 0.15}
"""Faults that change the rows themselves: more of the positive class."""


def more_positives(adult: Adult, pool: NDArray[np.intp], n: int, points: float, rng: np.random.Generator) -> Table:
    """A window of the pool's rows with a larger share of the positive class."""
    positive = adult.columns[LABEL][pool] == adult.codes[LABEL][">50K"]
    wanted = round(n * (float(positive.mean()) + points))
    chosen = [rng.choice(pool[positive], wanted, replace=False), rng.choice(pool[~positive], n - wanted, replace=False)]
    rows = np.concatenate(chosen)
    return {name: values[rows] for name, values in adult.columns.items()}


# ---- many windows -----------------------------------------------------------------------------------------------------


@dataclass
class Trial:
    """Alarms of each rule in one drawn window, unchanged and with each fault, and the time of the unchanged one."""

    unchanged: dict[str, bool]
    changed: dict[str, dict[str, bool]]
    milliseconds: float


def trial(adult: Adult, n: int, index: int) -> Trial:
    """Draw a reference and a window, decide the window as it is and with each fault."""
    rng = np.random.default_rng([n, index])
    order = rng.permutation(adult.rows)
    references = {name: profile_of(adult, name, v[order[:REFERENCE]]) for name, v in adult.columns.items()}
    window = {name: values[order[REFERENCE : REFERENCE + n]] for name, values in adult.columns.items()}
    tests = len(references) + sum(name not in adult.categories for name in references)

    def tested(changed: Table) -> dict[str, list[SeriesResult]]:
        return {name: results_of(references[name], values, tests, index) for name, values in changed.items()}

    def alarms(by_column: dict[str, list[SeriesResult]]) -> dict[str, bool]:
        asymptotic = np.array([asymptotic_p(column[0]) for column in by_column.values()])
        return rules([result for column in by_column.values() for result in column], asymptotic)

    started = time.perf_counter()
    base = tested(window)
    unchanged = alarms(base)
    milliseconds = (time.perf_counter() - started) * 1e3
    changed: dict[str, dict[str, bool]] = {}
    if index < RECALL_WINDOWS:
        for name, fault in FAULTS.items():
            changed[name] = alarms({**base, **tested(fault(adult, window, rng))})
        for name, points in PRIORS.items():
            changed[name] = alarms(tested(more_positives(adult, order[REFERENCE:], n, points, rng)))
    return Trial(unchanged, changed, milliseconds)


def limits(hits: int, of: int) -> tuple[float, float]:
    """Exact 95 % limits of a share (Clopper and Pearson 1934)."""
    low = float(beta.ppf(0.025, hits, of - hits + 1)) if hits else 0.0
    high = float(beta.ppf(0.975, hits + 1, of - hits)) if hits < of else 1.0
    return low, high


def print_errors(trials: dict[int, list[Trial]]) -> None:
    """The two tables."""
    sizes = list(trials)
    print("\n## False alarms per window (share of unchanged windows with at least one alarm), and mean recall\n")
    print("| rule | " + " | ".join(f"false alarms, n = {n:,} (95 % limits)" for n in sizes) + " | ", end="")
    print(" | ".join(f"recall, n = {n:,} (least)" for n in sizes) + " |")
    print("|" + "---|" * (1 + 2 * len(sizes)))
    for rule in trials[sizes[0]][0].unchanged:
        cells = [false_alarms(trials[n], rule) for n in sizes] + [mean_recall(trials[n], rule) for n in sizes]
        print(f"| {rule} | " + " | ".join(cells) + " |")
    print("\n## Recall of Modelspan by fault\n")
    print("| fault | " + " | ".join(f"n = {n:,} (95 % limits)" for n in sizes) + " |")
    print("|" + "---|" * (1 + len(sizes)))
    for fault in [*FAULTS, *PRIORS]:
        cells = []
        for n in sizes:
            hits = [t.changed[fault]["Modelspan"] for t in trials[n] if t.changed]
            low, high = limits(sum(hits), len(hits))
            cells.append(f"{np.mean(hits):.3f} ({low:.3f} to {high:.3f})")
        print(f"| {fault} | " + " | ".join(cells) + " |")


def false_alarms(trials: list[Trial], rule: str) -> str:
    """One cell: rate and limits."""
    alarms = sum(t.unchanged[rule] for t in trials)
    low, high = limits(alarms, len(trials))
    return f"{alarms / len(trials):.3f} ({low:.3f} to {high:.3f})"


def mean_recall(trials: list[Trial], rule: str) -> str:
    """One cell: mean over the faults, and the least of them."""
    by_fault = [np.mean([t.changed[fault][rule] for t in trials if t.changed]) for fault in [*FAULTS, *PRIORS]]
    return f"{np.mean(by_fault):.3f} ({min(by_fault):.2f})"


def print_cost() -> None:
    """Time of a window of 20 numeric features on 50 bins each, with their missing values: 40 tests."""
    rng = np.random.default_rng(0)
    profiles = [numeric_profile(rng.normal(size=REFERENCE), kind="feature", name=str(i)) for i in range(20)]
    print("\n## Cost of one verdict: 20 numeric features, 50 bins each, 40 tests, one thread\n")
    print("| window rows | unchanged, ms | all features moved by 0.1 sd, ms |\n|---|---|---|")
    for n in (500, 2_000, 10_000, 100_000, 1_000_000):
        cells = []
        for shift in (0.0, 0.1):
            windows = [bin_counts(p, rng.normal(shift, size=n)) for p in profiles]
            sums = sums_of(n)
            started = time.perf_counter()
            results = [compare_series(p, w, 0.0, **sums, seed=1) for p, w in zip(profiles, windows, strict=True)]
            decide_window([*results, *(compare_missing(p, 0.0, **sums) for p in profiles)])
            cells.append(f"{(time.perf_counter() - started) * 1e3:.0f}")
        print(f"| {n:,} | " + " | ".join(cells) + " |")


def main() -> int:
    """Print everything."""
    if not DATA.exists():
        print("skipped: needs the UCI Adult data at ../shared/data/adult_mixed/adults.parquet beside the repository")
        return 0
    adult = load(DATA)
    trials: dict[int, list[Trial]] = {}
    started = time.perf_counter()
    with ProcessPoolExecutor(2, mp_context=get_context("fork")) as pool:
        for n, windows in WINDOWS.items():
            trials[n] = list(pool.map(partial(trial, adult, n), range(windows), chunksize=10))
    counted = ", ".join(f"{windows} windows of {n:,}" for n, windows in WINDOWS.items())
    print("# Measured: false alarms and recall of the drift verdicts\n\nCommand: `python -m bench.drift`\n")
    print(
        f"UCI Adult, 14 features and the class, reference of {REFERENCE:,} rows drawn anew for every window; {counted};"
    )
    print(
        f"recall from the first {RECALL_WINDOWS} of each; alpha 0.05; {time.perf_counter() - started:.0f} s on two processes."
    )
    print_errors(trials)
    medians = ", ".join(f"{np.median([t.milliseconds for t in ts]):.0f} ms (n = {n:,})" for n, ts in trials.items())
    print(f"\nMedian time of one Adult window (15 columns, 21 tests, counting included): {medians}.")
    print_cost()
    return 0


if __name__ == "__main__":
    sys.exit(main())
