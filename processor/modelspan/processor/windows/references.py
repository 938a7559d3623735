"""Which reference is in force for the series of a model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from modelspan.profile import CategoricalProfile, NumericProfile

from . import forms
from .ask import ask
from .keys import KEY_CONDITION, ModelKey
from .kinds import KINDS

FIT = "fit"
FIRST_PREDICTIONS = "first_predictions"
PROVISIONAL = "provisional_predictions"
"""The first predictions as well, but far fewer: what windows are compared with until the full baseline is there."""
BASELINES = (FIRST_PREDICTIONS, PROVISIONAL)

# One row of ml_references is found by these; parameters carry the names, so no name is ever part of a statement.
REFERENCE_CONDITION = (
    "model_name = {reference_model:String} AND model_version = {reference_version:String} AND"
    " service_name = {reference_service:String} AND environment = {reference_environment:String} AND"
    " reference_id = {reference_id:String} AND series_kind = {series_kind:String}"
)

_CANDIDATES = """
SELECT reference_id, toString(source) AS source, toString(service_name) AS service, toString(environment) AS env,
    toString(model_name) AS model, toString(model_version) AS version, toString(series_kind) AS kind,
    max(created_at) AS created, toUnixTimestamp64Nano(max(valid_from)) AS valid_from, toString(any(operation)) AS operation
FROM ml_references FINAL WHERE {condition}
GROUP BY reference_id, source, service, env, model, version, kind
"""

_BY_NAME = """
model_name = {model_name:String} AND model_version IN ({model_version:String}, '')
    AND (source NOT IN ('first_predictions', 'provisional_predictions')
        OR (service_name = {service_name:String} AND environment = {environment:String}))
"""

_BY_DIGEST = f"""
model_digest != '' AND model_digest IN
    (SELECT assumeNotNull(model_digest) FROM ml_models FINAL WHERE {KEY_CONDITION} AND model_digest IS NOT NULL)
"""

_SERIES = f"""
SELECT reference_id, toString(series_kind) AS kind, toString(series_name) AS name, toString(series_type) AS type, rows, missing, text, cuts,
    categories, arrayMap(category -> {forms.date_key("category")}, categories) AS keys,
    arrayExists(category -> {forms.number_of("category")} IS NOT NULL, categories) AS has_numbers,
    arrayExists(category -> {forms.is_date("category")}, categories) AS has_dates,
    counts, mean, stddev, min, max
FROM ml_references FINAL
"""

Series = NumericProfile | CategoricalProfile


@dataclass(frozen=True)
class Reference:
    """What one kind of series of a model is compared with.

    Series `i` owns the slots from `bases[i]` on: one for each of its counts, then one for texts among numbers. Slots count
    from 1; the SQL of `rollup` numbers them in the same way, and slot 0 is for names that the reference does not know.
    """

    reference_id: str
    source: str
    service_name: str
    environment: str
    model_name: str
    """Differs from that of the model where the reference was found by what the model has learnt."""
    model_version: str
    kind: str
    valid_from: int
    """Baseline: event time of its last row, nanoseconds. Only later rows are compared with it."""
    operation: str
    """Operation whose rows it counted; empty: any."""
    series: tuple[Series, ...] = field(repr=False)
    bases: tuple[int, ...] = field(repr=False)
    slots: int
    """Number of slots, the unknown one included."""
    has_numbers_as_categories: bool = False
    """Whether a number may be a category."""
    has_dates: bool = False
    """Whether a category is a date or time."""

    @property
    def is_baseline(self) -> bool:
        """Whether it was built from the first predictions, be it of all that are wanted or of few."""
        return self.source in BASELINES

    @property
    def is_provisional(self) -> bool:
        """Whether a baseline of more predictions will take its place."""
        return self.source == PROVISIONAL

    def holds_for(self, window_end: int) -> bool:
        """Whether any row before `window_end` may be compared with it."""
        return not self.is_baseline or self.valid_from < window_end

    def parameters(self) -> dict[str, str]:
        """Parameters of `REFERENCE_CONDITION`."""
        return {
            "reference_model": self.model_name,
            "reference_version": self.model_version,
            "reference_service": self.service_name,
            "reference_environment": self.environment,
            "reference_id": self.reference_id,
            "series_kind": self.kind,
        }


References = dict[str, Reference]
"""What one window is compared with, by kind; a kind without a reference is absent."""

Timeline = dict[str, tuple[Reference, ...]]
"""References of a model by kind, the one to be preferred first: a baseline holds from its last row on."""


def at(timeline: Timeline, window_end: int) -> References:
    """References of a window that ends there: the first that holds, else the last."""
    return {kind: next((one for one in some if one.holds_for(window_end)), some[-1]) for kind, some in timeline.items()}


def identity(timeline: Timeline, window_end: int) -> str:
    """References that a window ending there is compared with, as `ml_windows.reference_id` names them."""
    in_force = at(timeline, window_end).values()
    return ",".join(sorted({one.reference_id for one in in_force if one.holds_for(window_end)}))


def load(client: Any, key: ModelKey, settings: dict[str, Any]) -> Timeline:
    """References of `key`.

    A reference that was given wins over one that was seen at a fit, and that over the baseline of first predictions, kind by
    kind: training data usually has no outputs.
    Where none was given or seen under its name and version, those of the same fitted model under another name are looked for: a
    training program seldom knows what a registry will call the model.
    A given one holds wherever the model runs, since a training job seldom bears the name of the service; of several the one for
    this version, from this service and this environment wins, then the newest.
    Of several baselines (two services may build one at once) the oldest wins, so that verdicts stay as they are. The provisional
    one holds until the full one ends; it is not replaced for windows before: their rows are part of the full one.
    """
    candidates = _candidates(client, key, _BY_NAME, settings)
    if all(row["source"] in BASELINES for row in candidates):
        candidates += _candidates(client, key, _BY_DIGEST, settings)
    chosen = ((kind.name, _choose(key, [row for row in candidates if row["kind"] == kind.name])) for kind in KINDS)
    heads = {kind: tuple(map(_head, rows)) for kind, rows in chosen if rows}
    return _with_series(client, heads, settings) if heads else {}


def _candidates(client: Any, key: ModelKey, condition: str, settings: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = ask(
        client, _CANDIDATES.format(condition=condition), key._asdict(), settings
    ).to_pylist()
    return found


def _choose(key: ModelKey, candidates: list[dict[str, Any]]) -> list[dict[str, Any]]:
    given = [row for row in candidates if row["source"] not in BASELINES]
    if given:
        return [max(given, key=lambda row: _precedence(key, row))]
    own = (key.service_name, key.environment, key.model_version)
    baselines = [row for row in candidates if (row["service"], row["env"], row["version"]) == own]
    oldest = {
        row["source"]: row
        for row in sorted(baselines, key=lambda row: (row["created"], row["reference_id"]), reverse=True)
    }
    return [oldest[source] for source in BASELINES if source in oldest]


def _precedence(key: ModelKey, row: dict[str, Any]) -> tuple[Any, ...]:
    service, environment = _nearness(row["service"], key.service_name), _nearness(row["env"], key.environment)
    return (row["source"] != FIT, row["version"] != "", service, environment, row["created"], row["reference_id"])


def _nearness(of_reference: str, of_model: str) -> int:
    """2: the same; 1: the reference names none; 0: another, such as that of a training job."""
    return 2 if of_reference == of_model else int(of_reference == "")


def _head(row: dict[str, Any]) -> Reference:
    """A reference without its series."""
    return Reference(
        reference_id=row["reference_id"],
        source=row["source"],
        service_name=row["service"],
        environment=row["env"],
        model_name=row["model"],
        model_version=row["version"],
        kind=row["kind"],
        valid_from=row["valid_from"],
        operation=row["operation"],
        series=(),
        bases=(),
        slots=1,
    )


def _with_series(client: Any, heads: Timeline, settings: dict[str, Any]) -> Timeline:
    """Read the series of all of them at once."""
    conditions, parameters = [], {}
    for i, head in enumerate(head for some in heads.values() for head in some):
        conditions.append(f"({REFERENCE_CONDITION.replace(':String', f'_{i}:String')})")
        parameters.update({f"{name}_{i}": value for name, value in head.parameters().items()})
    where = " OR ".join(conditions)
    found = ask(client, f"{_SERIES} WHERE {where} ORDER BY kind, name", parameters, settings).to_pylist()
    return {kind: tuple(_complete(head, found) for head in some) for kind, some in heads.items()}


def _complete(head: Reference, found: list[dict[str, Any]]) -> Reference:
    rows = [row for row in found if (row["kind"], row["reference_id"]) == (head.kind, head.reference_id)]
    series = tuple(_profile(head.kind, row) for row in rows)
    bases, slots = _slots(series)
    return replace(
        head,
        series=series,
        bases=bases,
        slots=slots,
        has_numbers_as_categories=any(row["has_numbers"] for row in rows),
        has_dates=any(row["has_dates"] for row in rows),
    )


def _slots(series: Iterable[Series]) -> tuple[tuple[int, ...], int]:
    bases: list[int] = []
    following = 1
    for one in series:
        bases.append(following)
        following += len(one.counts) + 1
    return tuple(bases), following


def _profile(kind: str, row: dict[str, Any]) -> Series:
    counts = np.asarray(row["counts"], np.float64)
    shared = {"kind": kind, "name": row["name"], "rows": row["rows"], "missing": row["missing"]}
    if row["type"] == "numeric":
        cuts = np.asarray(row["cuts"], np.float64)
        moments = {name: row[name] for name in ("mean", "stddev", "min", "max", "text")}
        return NumericProfile(**shared, cuts=cuts, counts=_sized(counts, len(cuts) + 1), **moments)
    categories = tuple(row["categories"])
    counts = _folded(_sized(counts, len(categories) + 1), row["keys"])
    return CategoricalProfile(**shared, categories=categories, counts=counts)


def _folded(counts: Any, keys: Sequence[str]) -> Any:
    """Counts in which the first of several categories that are written differently has those of all."""
    if len(set(keys)) == len(keys):
        return counts
    first = {key: place for place, key in reversed(list(enumerate(keys)))}
    places = [*(first[key] for key in keys), len(keys)]
    return np.bincount(places, weights=counts, minlength=len(counts))


def _sized(counts: Any, size: int) -> Any:
    """The counts, or none at all where someone stored a wrong number of them: such a series is not tested."""
    return counts if len(counts) == size else np.zeros(size)
