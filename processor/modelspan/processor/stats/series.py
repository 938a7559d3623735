"""One series of one window against its reference: which test, and everything a verdict needs to know of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from modelspan.processor.stats import chi2, js, ks, proportion, psi, wasserstein
from modelspan.processor.stats.effective import Floats, effective_rows, scale_to, shares
from modelspan.processor.stats.family import attainable_p
from modelspan.processor.stats.words import number, percent, percents, quoted
from modelspan.profile import CategoricalProfile, NumericProfile

KS = "ks"
CHI2 = "chi2"
PROPORTION = "proportion"
MISSING, TEXT = "missing", "text"
"""Kinds of the series that are the share of missing values, and of texts, of a numeric one."""
RESOLUTION = 0.05 / 100
_INFINITE = 8e307
"""A cut beyond this lies between the finite values and infinity."""


@dataclass(frozen=True)
class SeriesResult:
    """What one test found. `p_value` is None where there was no reference to test against.

    `effective_rows` and `reference_rows` are those that entered the test: rows with a value for `ks`, all rows otherwise. `effect` is the
    KS distance, the total variation distance, or the difference of the shares. `finding` says in half a sentence what changed most,
    `sameness` why nothing could: all rows of both samples are alike to the test.
    """

    kind: str
    name: str
    method: str = ""
    statistic: float | None = None
    effect: float | None = None
    p_value: float | None = None
    attainable_p: float = 1.0
    bins: int = 0
    reference_share: float = 0.0
    psi: float | None = None
    js: float | None = None
    wasserstein: float | None = None
    severity: str = "none"
    rows: int = 0
    effective_rows: float = 0.0
    reference_rows: float = 0.0
    finding: str = ""
    sameness: str = ""


def compare_series(
    reference: NumericProfile | CategoricalProfile,
    counts: ArrayLike,
    missing: float,
    *,
    rows: int,
    weight: float,
    weight_squared: float,
    seed: int,
    text: float = 0.0,
    resolution: float = RESOLUTION,
    unseen: Sequence[tuple[str, float]] = (),
) -> SeriesResult:
    """KS test of a numeric series on its numbers, or chi-square test of a categorical one with its missing values.

    `counts` (k,) on the bins of the reference, `missing` and `text` are sums of weights; `weight` and `weight_squared` are the sums over all rows of the
    window that have this series. `resolution` is the smallest p that matters (alpha over the number of tests), `seed` a number that
    is always the same for this window and series: the same arguments give the same result. `unseen` are the most frequent values that the
    reference does not list, with their weights: they are named and decide nothing.

    Raises ValueError where the counts do not fit the bins of the reference or are negative or not finite.
    """
    observed = _checked(reference, counts, missing + text)
    if reference.rows <= 0:
        return no_reference(reference.kind, reference.name, rows=rows, weight=weight, weight_squared=weight_squared)
    effective = effective_rows(weight, weight_squared)
    if isinstance(reference, NumericProfile):
        scaled = scale_to(np.append(observed, [missing, text]), effective)
        return _numeric(reference, scaled[:-2], scaled[-2:], rows)
    scaled = scale_to(np.append(observed, missing), effective)
    named = [(value, of_value / weight) for value, of_value in unseen] if weight > 0 else []
    return _categorical(reference, scaled, rows, resolution, seed, named)


def compare_missing(
    reference: NumericProfile, missing: float, *, rows: int, weight: float, weight_squared: float
) -> SeriesResult:
    """Fisher's exact test of the share of missing values of a numeric series; `missing` is the sum of their weights."""
    counted = Counted(reference.missing, missing, rows, weight, weight_squared)
    return _compare_share(MISSING, "missing values", reference, counted)


def compare_text(
    reference: NumericProfile, text: float, *, rows: int, weight: float, weight_squared: float
) -> SeriesResult:
    """Fisher's exact test of the share of texts in a numeric series; `text` is the sum of their weights."""
    counted = Counted(reference.text, text, rows, weight, weight_squared)
    return _compare_share(TEXT, "values that are texts", reference, counted)


class Counted(NamedTuple):
    """Rows of some sort: how many in the reference, and their weight among that of all rows of a window."""

    before: float
    now: float
    rows: int
    weight: float
    weight_squared: float


def _compare_share(kind: str, what: str, reference: NumericProfile, counted: Counted) -> SeriesResult:
    _, _, rows, weight, weight_squared = counted
    if reference.rows <= 0:
        return no_reference(kind, reference.name, rows=rows, weight=weight, weight_squared=weight_squared)
    before = (counted.before, reference.rows - counted.before)
    effective = effective_rows(weight, weight_squared)
    share = min(1.0, counted.now / weight) if weight > 0 else 0.0
    now = (share * effective, (1 - share) * effective)
    share_before = counted.before / reference.rows
    difference = share - share_before if effective > 0 else 0.0
    index = psi.psi(before, now)
    return SeriesResult(
        kind=kind,
        name=reference.name,
        method=PROPORTION,
        statistic=difference,
        effect=abs(difference),
        p_value=proportion.proportion_p_value(before, now),
        attainable_p=attainable_p(before, now),
        bins=2,
        reference_share=share_before,
        psi=index,
        js=js.js_distance(before, now),
        severity=psi.severity(index),
        rows=rows,
        effective_rows=effective,
        reference_rows=reference.rows,
        finding=_went(what, share_before, share),
        sameness=_share_alike(what, counted.before + now[0], reference.rows - counted.before + now[1]),
    )


def no_reference(kind: str, name: str, *, rows: int, weight: float, weight_squared: float) -> SeriesResult:
    """The result of a series that no reference knows."""
    return SeriesResult(kind=kind, name=name, rows=rows, effective_rows=effective_rows(weight, weight_squared))


def _checked(reference: NumericProfile | CategoricalProfile, counts: ArrayLike, missing: float) -> Floats:
    observed = np.asarray(counts, dtype=np.float64)
    if observed.shape != reference.counts.shape:
        raise ValueError(
            f"{reference.kind} {reference.name!r} has {len(observed)} counts but its reference has {len(reference.counts)} bins: "
            "count the window on the edges of this reference"
        )
    if not (np.isfinite(observed).all() and (observed >= 0).all() and 0 <= missing < np.inf):
        raise ValueError(f"{reference.kind} {reference.name!r} has a count that is negative or not finite")
    return observed


def _numeric(reference: NumericProfile, window: Floats, others: Floats, rows: int) -> SeriesResult:
    """`others`: missing values and texts of the window."""
    groups = psi.neighbour_groups(reference.counts)
    others_before = np.array([reference.missing, reference.text])
    if not (reference.text or others[1]):
        others_before, others = others_before[:1], others[:1]
    index = psi.psi(psi.grouped(reference.counts, groups, others_before), psi.grouped(window, groups, others))
    distance = ks.ks_distance(reference.counts, window)
    return SeriesResult(
        kind=reference.kind,
        name=reference.name,
        method=KS,
        statistic=distance,
        effect=distance,
        p_value=ks.ks_p_value(reference.counts, window),
        attainable_p=attainable_p(reference.counts, window),
        bins=len(window),
        psi=index,
        js=js.js_distance(np.append(reference.counts, others_before), np.append(window, others)),
        wasserstein=wasserstein.wasserstein(reference, window),
        severity=psi.severity(index),
        rows=rows,
        effective_rows=float(window.sum()),
        reference_rows=float(reference.counts.sum()),
        finding=_largest_gap(reference, window),
        sameness="all its values are the same, as in the reference" if _in_one_bin(reference.counts + window) else "",
    )


def _categorical(
    reference: CategoricalProfile,
    window: Floats,
    rows: int,
    resolution: float,
    seed: int,
    unseen: Sequence[tuple[str, float]],
) -> SeriesResult:
    before = np.append(reference.counts, reference.missing)
    groups = psi.category_groups(reference.counts)
    index = psi.psi(
        psi.grouped(reference.counts, groups, reference.missing), psi.grouped(window[:-1], groups, float(window[-1]))
    )
    merged = chi2.merge_rare(before, window)
    return SeriesResult(
        kind=reference.kind,
        name=reference.name,
        method=CHI2,
        statistic=chi2.chi2_statistic(*merged),
        effect=chi2.total_variation(before, window),
        p_value=chi2.chi2_p_value(*merged, resolution=resolution, seed=seed),
        attainable_p=attainable_p(*merged),
        bins=int(((merged[0] + merged[1]) > 0).sum()),
        psi=index,
        js=js.js_distance(before, window),
        severity=psi.severity(index),
        rows=rows,
        effective_rows=float(window.sum()),
        reference_rows=reference.rows,
        finding=_largest_residual(reference, before, window, unseen),
        sameness=_categories_alike(reference, before + window),
    )


def _in_one_bin(pooled: Floats) -> bool:
    return int((pooled > 0).sum()) <= 1


def _share_alike(what: str, some: float, others: float) -> str:
    if some <= 0:
        return f"there are no {what}, as in the reference"
    return f"there are only {what}, as in the reference" if others <= 0 else ""


def _categories_alike(reference: CategoricalProfile, pooled: Floats) -> str:
    if not _in_one_bin(pooled):
        return ""
    if pooled[-1] > 0:
        return "every value is missing, as in the reference"
    if pooled[-2] > 0:
        return "its values hardly repeat, so the reference lists none that could become rarer or more frequent"
    return "it has one value in all rows, as in the reference"


def _largest_gap(reference: NumericProfile, window: Floats) -> str:
    gaps = ks.cumulative_gaps(reference.counts, window)
    if not np.any(gaps):
        return ""
    place = int(np.abs(gaps).argmax())
    before, now = (float(shares(counts)[: place + 1].sum()) for counts in (reference.counts, window))
    cut = float(reference.cuts[place])
    if cut > _INFINITE and (reference.max is None or reference.max < cut):
        return _went("infinite values", 1 - before, 1 - now)
    if cut < -_INFINITE and (reference.min is None or reference.min >= cut):
        return _went("values of minus infinity", before, now)
    if reference.max is not None and cut > reference.max:
        return _went(f"values above {number(reference.max)}", 1 - before, 1 - now)
    if reference.min is not None and cut <= reference.min:
        return _went(f"values below {number(reference.min)}", before, now)
    neighbours = tuple(reference.cuts[max(0, place - 1) : place + 2].tolist())
    return _went(f"values below {number(cut, tuple(one for one in neighbours if one != cut))}", before, now)


def _largest_residual(
    reference: CategoricalProfile, before: Floats, window: Floats, unseen: Sequence[tuple[str, float]]
) -> str:
    pooled = shares(before + window)
    difference = shares(window) - shares(before)
    if window.sum() <= 0 or not np.any(difference):
        return ""
    place = int((np.square(difference) / np.maximum(pooled, 1e-300)).argmax())
    names = [quoted(category) for category in reference.categories]
    unlisted = "values that the reference does not list" if reference.counts.any() else "rows with a value"
    what = [*names, f"{unlisted}{_listed(unseen)}", "missing values"][place]
    return _went(what, float(shares(before)[place]), float(shares(window)[place]))


def _listed(unseen: Sequence[tuple[str, float]]) -> str:
    text = ", ".join(f"{quoted(value)} {percent(share)}" for value, share in unseen)
    return f" ({text})" if text else ""


def _went(what: str, before: float, now: float) -> str:
    first, second = percents(before, now)
    return f"the share of {what} went from {first} to {second}"
