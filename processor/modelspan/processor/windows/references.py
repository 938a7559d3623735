"""The references that a window of a model is compared with.

They are chosen series by series, so one that knows a few series never replaces one that knows all. What only a later one knows counts
as long as predictions have it. Of the references of a series the first of these is in force:

1. one that was set for the model in its own service and environment, or for every one; of several the newest,
2. one that was set for the name of the model alone, for every version and service; the newest,
3. one that was set elsewhere under a name and version that the program gave: a training job seldom bears the name of the service,
4. one that came from elsewhere, or was seen at a fit, under the name and version of the model,
5. one of the same fitted model under another name, by its digest,
6. the first predictions, and until these are all there few of them.

A service that sets a reference for itself takes over no other: of 4 and 5 only the program counts that gave one first, and only if
that was before any of those that come before it. Of what one program gave elsewhere (3 to 5), a reference that was set wins over one
that was seen at a fit, then the newest. One with too few rows to test anything comes last.

**Verdicts of the past stay.** A window is compared with the references that were there when its first prediction was stored, and for
series that had none by then with the first that came. That follows from what is stored alone, so it is found again after a crash.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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
_OF_A_FIT = "fit-"
"""Prefix of a generated version: a digest of the fitted model."""

# One row of ml_references is found by these; parameters carry the names, so no name is ever part of a statement.
_ROW = (
    "model_name = {{reference_model_{i}:String}} AND model_version = {{reference_version_{i}:String}} AND"
    " service_name = {{reference_service_{i}:String}} AND environment = {{reference_environment_{i}:String}} AND"
    " reference_id = {{reference_id_{i}:String}} AND series_kind = {{series_kind:String}}"
)

_KEY = "reference_id, service_name, environment, model_name, model_version, series_kind"

_CANDIDATES = f"""
SELECT reference_id, toString(source) AS source, toString(service_name) AS service, toString(environment) AS env,
    toString(model_name) AS model, toString(model_version) AS version, toString(series_kind) AS kind,
    toUnixTimestamp64Milli(max(created_at)) AS created, min(arrived) AS arrived,
    toUnixTimestamp64Nano(max(valid_from)) AS valid_from, toString(any(operation)) AS operation,
    max(rows) AS rows, arraySort(groupUniqArray(toString(series_name))) AS names,
    toUnixTimestamp64Milli(max(taken_back)) AS withdrawn
FROM
(
    SELECT stored.*, withdrawn.withdrawn_at AS taken_back
    FROM (SELECT * FROM ml_references FINAL WHERE {{condition}}) AS stored
    LEFT JOIN (SELECT * FROM ml_withdrawn_references FINAL) AS withdrawn USING (model_name, reference_id)
    WHERE stored.created_at > withdrawn.withdrawn_at
) AS given
LEFT JOIN
(
    SELECT {_KEY}, toUnixTimestamp64Milli(min(arrived_at)) AS arrived FROM ml_reference_arrivals
    WHERE model_name IN (SELECT model_name FROM ml_references WHERE {{condition}}) GROUP BY {_KEY}
) AS arrivals USING ({_KEY})
GROUP BY reference_id, source, service, env, model, version, kind
"""

_BY_NAME = """
model_name = {model_name:String} AND model_version IN ({model_version:String}, '')
    AND (source NOT IN ('first_predictions', 'provisional_predictions') OR (model_version = {model_version:String}
        AND service_name = {service_name:String} AND environment = {environment:String}))
"""

_BY_DIGEST = f"""
source NOT IN ('first_predictions', 'provisional_predictions') AND model_digest != '' AND model_digest IN
    (SELECT assumeNotNull(model_digest) FROM ml_models FINAL WHERE {KEY_CONDITION} AND model_digest IS NOT NULL)
"""

_SERIES = f"""
SELECT toString(series_kind) AS kind, toString(series_name) AS name, toString(series_type) AS type, rows, missing, text, cuts,
    categories, arrayMap(category -> {forms.date_key("category")}, categories) AS keys,
    arrayExists(category -> {forms.number_of("category")} IS NOT NULL, categories) AS has_numbers,
    arrayExists(category -> {forms.is_date("category")}, categories) AS has_dates,
    counts, mean, stddev, min, max, place
"""

_IN_VAIN = """
SELECT reference_id, (SELECT arraySort(groupUniqArray(10)(reference_id)) FROM ml_references WHERE model_name = {model_name:String}) AS known
FROM ml_withdrawn_references WHERE model_name = {model_name:String} AND reference_id NOT IN
    (SELECT reference_id FROM ml_references WHERE model_name = {model_name:String})
GROUP BY reference_id ORDER BY reference_id
"""

Series = NumericProfile | CategoricalProfile


@dataclass(frozen=True)
class Source:
    """One stored reference: the series of one kind of a model that arrived together."""

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
    created: int
    """Time at which it was last given; milliseconds, as `arrived`."""
    arrived: int
    """Time at which it was first given."""
    rows: float
    names: tuple[str, ...] = field(repr=False)
    """Of its series."""
    withdrawn: int = 0
    """Time at which one of its name and model was last taken back, before it was given again; 0: never."""

    @property
    def is_baseline(self) -> bool:
        """True if it was built from the first predictions, provisional or full."""
        return self.source in BASELINES

    @property
    def is_provisional(self) -> bool:
        """True if a baseline of more predictions will replace it."""
        return self.source == PROVISIONAL

    @property
    def origin(self) -> tuple[str, ...]:
        """The program that gave it, and what that calls the model."""
        return self.service_name, self.environment, self.model_name, self.model_version

    def holds_for(self, window_end: int) -> bool:
        """True if any row before `window_end` may be compared with it."""
        return not self.is_baseline or self.valid_from < window_end


Chosen = Mapping[str, tuple[Source, ...]]
"""By kind: the sources in force, those first that come first for a series that several know."""


@dataclass(frozen=True)
class Reference:
    """Reference of one kind of series of a model, combined from its sources.

    Series `i` comes from `sources_of[i]` and owns the slots from `bases[i]` on: one for each of its counts, then one for texts among
    numbers. Slots count from 1; the SQL of `rollup` numbers them in the same way, and slot 0 is for names that no source knows.
    """

    sources: tuple[Source, ...]
    series: tuple[Series, ...] = field(repr=False)
    sources_of: tuple[Source, ...] = field(repr=False)
    bases: tuple[int, ...] = field(repr=False)
    slots: int
    """Number of slots, the unknown one included."""
    has_numbers_as_categories: bool = False
    """True if a number may be a category."""
    has_dates: bool = False
    """True if a category is a date or time."""

    @property
    def baseline(self) -> Source | None:
        """The source that was built from the first predictions, if one was."""
        return next((one for one in self.sources if one.is_baseline), None)

    @property
    def operation(self) -> str:
        """Operation whose rows it counted; empty: any."""
        return next((one.operation for one in self.sources if one.operation), "")

    @property
    def rows_sql(self) -> str:
        """Subquery of the rows of ml_references, one for each series."""
        return _chosen_sql(len(self.sources))

    def parameters(self) -> dict[str, str]:
        """Parameters of `rows_sql`."""
        return _parameters(self.sources)


References = dict[str, Reference]
"""By kind; a kind without a reference is absent."""


class Candidates:
    """Every reference that may ever be in force for a model."""

    def __init__(self, key: ModelKey, sources: Iterable[Source], min_rows: float) -> None:
        self._min_rows = min_rows
        in_order = _in_order(key, list(sources))
        self._kinds = {kind.name: [one for one in in_order if one.kind == kind.name] for kind in KINDS}

    @property
    def depend_on_time(self) -> bool:
        """True if windows stored at different times may have different references."""
        return any(len(sources) > 1 for sources in self._kinds.values())

    def missing_baselines(self, kind: str, is_provisional_wanted: bool) -> list[str]:
        """Baselines of a kind that are missing where none was given. Beside a full one no provisional one is of use."""
        known = {one.source for one in self._kinds[kind] if self._is_enough(one)}
        if known - {PROVISIONAL}:
            return []
        return [FIRST_PREDICTIONS] if known or not is_provisional_wanted else [PROVISIONAL, FIRST_PREDICTIONS]

    def chosen(self, stored: int, start: int, end: int) -> Chosen:
        """Return the sources in force for a window: `stored` is when its first prediction was stored (milliseconds); start and end in nanoseconds."""
        found = {kind: self._of_kind(sources, stored, start, end) for kind, sources in self._kinds.items()}
        return {kind: sources for kind, sources in found.items() if sources}

    def _of_kind(self, sources: Sequence[Source], stored: int, start: int, end: int) -> tuple[Source, ...]:
        held = _one_baseline([one for one in sources if one.holds_for(end)])
        if any(self._is_enough(one) and not one.is_baseline for one in held):
            # A baseline that ends within the window leaves it few rows: a given reference does not share it with one.
            held = [one for one in held if not (one.is_baseline and one.valid_from >= start)]
        in_time = [one for one in held if one.arrived <= stored]
        late = sorted((one for one in held if one.arrived > stored), key=lambda one: one.arrived)
        in_order = sorted([*in_time, *late], key=lambda one: not self._is_enough(one))
        return _adding(in_order)

    def _is_enough(self, source: Source) -> bool:
        return source.is_baseline or source.rows >= self._min_rows


def _one_baseline(sources: list[Source]) -> list[Source]:
    """Of several baselines that hold, the first, since when there was any: which one it is depends on event time alone."""
    baselines = [one for one in sources if one.is_baseline]
    if len(baselines) < 2:
        return sources
    best = replace(baselines[0], arrived=min(one.arrived for one in baselines))
    return [*(one for one in sources if not one.is_baseline), best]


def _adding(sources: Iterable[Source]) -> tuple[Source, ...]:
    """Return the sources that add a series which none before them has."""
    known: set[str] = set()
    chosen = []
    for one in sources:
        if not known.issuperset(one.names):
            known.update(one.names)
            chosen.append(one)
    return tuple(chosen)


def _in_order(key: ModelKey, sources: list[Source]) -> list[Source]:
    """The order in which they are in force for windows that begin now, without those that would take over another's."""
    rank = {one: _rank(key, one) for one in sources}
    since: dict[tuple[Any, ...], int] = {}
    for one in sources:
        since[one.origin] = min(one.arrived, since.get(one.origin, one.arrived))

    def is_first(one: Source) -> bool:
        of_rank = min((since[other.origin], other.origin) for other in sources if rank[other] == rank[one])
        better = min((other.arrived for other in sources if rank[other] < rank[one]), default=since[one.origin])
        return (since[one.origin], one.origin) == of_rank and since[one.origin] <= better

    def precedence(one: Source) -> tuple[Any, ...]:
        if rank[one] == _OWN:
            near = _nearness(one.service_name, key.service_name), _nearness(one.environment, key.environment)
            before: tuple[Any, ...] = one.model_version == "", -near[0], -near[1]
        elif (
            rank[one] == _BASELINE
        ):  # two services may build one at once: the oldest, so that verdicts stay as they are
            before = one.is_provisional, one.created
        else:
            before = since[one.origin], one.origin, one.source == FIT
        return rank[one], before, -one.created, one.reference_id

    kept = [one for one in sources if rank[one] not in (_SAME_NAME, _SAME_DIGEST) or is_first(one)]
    return sorted(kept, key=precedence)


_OWN, _NAME_ALONE, _SET_ELSEWHERE, _SAME_NAME, _SAME_DIGEST, _BASELINE = range(1, 7)


def _rank(key: ModelKey, one: Source) -> int:
    """Its place in the list of the module."""
    if one.is_baseline:
        return _BASELINE
    if one.model_name != key.model_name:
        return _SAME_DIGEST
    if one.source == FIT:
        return _SAME_NAME
    if _nearness(one.service_name, key.service_name) and _nearness(one.environment, key.environment):
        return _OWN
    if one.model_version == "":
        return _NAME_ALONE
    return _SAME_NAME if key.model_version.startswith(_OF_A_FIT) else _SET_ELSEWHERE


def _nearness(of_reference: str, of_model: str) -> int:
    """2: the same; 1: the reference names none; 0: another, such as that of a training job."""
    return 2 if of_reference == of_model else int(of_reference == "")


def identity(chosen: Chosen) -> str:
    """The references of a window, as `ml_windows.reference_id` names them."""
    return ",".join(sorted({one.reference_id for sources in chosen.values() for one in sources}))


def load(client: Any, key: ModelKey, settings: dict[str, Any], min_rows: float) -> Candidates:
    """The candidates of `key`. `min_rows`: rows without which nothing is tested."""
    found = [*_candidates(client, key, _BY_NAME, settings), *_candidates(client, key, _BY_DIGEST, settings)]
    return Candidates(key, dict.fromkeys(found), min_rows)


def withdrawn_in_vain(client: Any, model_name: str, settings: dict[str, Any]) -> dict[str, list[str]]:
    """Identifiers that were taken back and that no reference of the model has, each with some of those that there are."""
    rows = ask(client, _IN_VAIN, {"model_name": model_name}, settings).to_pylist()
    return {row["reference_id"]: row["known"] for row in rows}


def _candidates(client: Any, key: ModelKey, condition: str, settings: dict[str, Any]) -> list[Source]:
    rows = ask(client, _CANDIDATES.format(condition=condition), key._asdict(), settings).to_pylist()
    return [
        Source(
            reference_id=row["reference_id"],
            source=row["source"],
            service_name=row["service"],
            environment=row["env"],
            model_name=row["model"],
            model_version=row["version"],
            kind=row["kind"],
            valid_from=row["valid_from"],
            operation=row["operation"],
            created=row["created"],
            arrived=row["arrived"] or row["created"],
            rows=row["rows"],
            names=tuple(row["names"]),
            withdrawn=row["withdrawn"],
        )
        for row in rows
    ]


def with_series(client: Any, chosen: Chosen, settings: dict[str, Any]) -> References:
    """Read the series of what was chosen."""
    return {kind: _with_series(client, sources, settings) for kind, sources in chosen.items()}


def _with_series(client: Any, sources: tuple[Source, ...], settings: dict[str, Any]) -> Reference:
    sql = f"{_SERIES} FROM {_chosen_sql(len(sources))} ORDER BY name"
    rows = ask(client, sql, _parameters(sources), settings).to_pylist()
    series = tuple(_profile(row["kind"], row) for row in rows)
    bases, slots = _slots(series)
    return Reference(
        sources,
        series,
        tuple(sources[row["place"]] for row in rows),
        bases,
        slots,
        has_numbers_as_categories=any(row["has_numbers"] for row in rows),
        has_dates=any(row["has_dates"] for row in rows),
    )


def _chosen_sql(sources: int) -> str:
    """Subquery of the rows of so many sources: of a series that several know, that of the first."""
    rows = [_ROW.format(i=i) for i in range(sources)]
    place = "".join(f"{row}, {i}, " for i, row in enumerate(rows))
    return (
        f"(SELECT *, multiIf({place}0) AS place FROM ml_references FINAL WHERE {' OR '.join(f'({row})' for row in rows)}"
        " ORDER BY series_name, place LIMIT 1 BY series_name)"
    )


def _parameters(sources: Sequence[Source]) -> dict[str, str]:
    found = {"series_kind": sources[0].kind}
    for i, one in enumerate(sources):
        found |= {
            f"reference_model_{i}": one.model_name,
            f"reference_version_{i}": one.model_version,
            f"reference_service_{i}": one.service_name,
            f"reference_environment_{i}": one.environment,
            f"reference_id_{i}": one.reference_id,
        }
    return found


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
