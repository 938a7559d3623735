"""Which rows are handed on, of those that were captured: all, or a random sample and what is always to be kept.

Each row has one probability of being kept: 1 where a rule keeps it, else that of the sample; its weight is one divided by that. So
sums of weights estimate sums over all rows without bias (Horvitz and Thompson 1952): a row that a rule keeps stands for itself
alone, and the sampled ones stand for the rows that no rule keeps. A rule sees every row before any is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from modelspan.instrumentation.config import RowRule
from modelspan.instrumentation.failure import failed, faults
from modelspan.instrumentation.recorder import columns
from modelspan.instrumentation.recorder.columns import Column
from modelspan.instrumentation.recorder.group import Group
from modelspan.instrumentation.recorder.keep import KeepRules
from modelspan.instrumentation.recorder.outputs import Outputs
from modelspan.instrumentation.recorder.quantile import RunningQuantile
from modelspan.semconv import columns as names
from modelspan.semconv.attributes import MlOperationNameValues, MlSamplingReasonValues

Mask = npt.NDArray[np.bool_]
Table = Mapping[str, Column]

_PROBABILITIES = (MlOperationNameValues.PREDICT.value, MlOperationNameValues.PREDICT_PROBA.value)
_MOST_MODELS = 256
"""Models and operations whose durations are followed."""


class Sample(NamedTuple):
    """The rows that are handed on."""

    table: Table
    rows: int


class Sampling:
    """Keeps each row with a probability, and those for which a rule says so."""

    def __init__(self, probability: float, rules: KeepRules, rule: RowRule | str | None) -> None:
        self._probability = probability
        self._rules = rules
        self._rule = rule
        self._generator = np.random.default_rng()
        self._durations: dict[tuple[str | None, str | None, str], RunningQuantile] = {}

    def of(self, group: Group, table: Table) -> Sample:
        """The rows of a group's table to hand on, with their weights and reasons."""
        if self._probability >= 1:
            return Sample(table, group.size)
        reasons = np.zeros(group.size, dtype=np.intp)
        for code, found in enumerate(self._always(group, table), start=1):
            reasons[(reasons == 0) & found] = code
        kept = (reasons > 0) | (self._generator.random(group.size) < self._probability)
        weights = np.ones(group.size) if names.WEIGHT not in table else table[names.WEIGHT].values
        weights = np.where(reasons > 0, weights, weights / self._probability)
        marked = {**table, names.WEIGHT: Column(columns.FLOAT64, weights), names.KEEP_REASON: _reasons(reasons)}
        rows = np.flatnonzero(kept)
        thinned = {name: column.taken(rows) for name, column in marked.items()}
        return Sample({name: column for name, column in thinned.items() if not column.is_empty()}, len(rows))

    def _always(self, group: Group, table: Table) -> Iterator[Mask]:
        """Rows that each rule keeps, in the order of `_REASONS`."""
        yield np.full(group.size, self._rules.errors and group.first.error is not None)
        yield self._demanded(group, table) | group.identified()
        yield _margins(group) < self._rules.margin
        yield np.repeat(self._slow(group), group.rows)

    def _slow(self, group: Group) -> Mask:
        slow = np.zeros(len(group.durations), dtype=bool)
        if self._rules.slow_seconds is not None:
            slow |= group.durations > self._rules.slow_seconds * 1e9
        if self._rules.slow_share is not None:
            first = group.first
            key = first.identity.name, first.identity.version, first.operation
            if key not in self._durations and len(self._durations) >= _MOST_MODELS:
                self._durations.clear()
            seen = self._durations.setdefault(key, RunningQuantile(self._rules.slow_share))
            slow |= seen.exceeded(group.durations)
        return slow

    def _demanded(self, group: Group, table: Table) -> Mask:
        """Rows that the rule of the program keeps; none where it fails, which is said once."""
        none = np.zeros(group.size, dtype=bool)
        if self._rule is None:
            return none
        try:
            if isinstance(self._rule, str):
                module, _, name = self._rule.partition(":")
                self._rule = getattr(import_module(module), name)
            found = np.asarray(self._rule(_Rows(table)), dtype=bool)  # type: ignore[operator]  # no string any more
            if found.shape != none.shape:
                raise ValueError(f"the rule gave an array of shape {found.shape} for {group.size} rows")
        except faults() as error:
            failed("ask the program which rows to keep", error)
            return none
        return found


class _Rows(Mapping[str, Sequence[Any]]):
    """Columns as lists of Python objects, None for missing, made when asked for."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def __getitem__(self, name: str) -> Sequence[Any]:
        return self._table[name].objects()

    def __iter__(self) -> Iterator[str]:
        return iter(self._table)

    def __len__(self) -> int:
        return len(self._table)


_REASONS = (
    "",
    MlSamplingReasonValues.ERROR.value,
    MlSamplingReasonValues.FORCED.value,
    MlSamplingReasonValues.UNCERTAIN.value,
    MlSamplingReasonValues.SLOW.value,
)


def _reasons(codes: npt.NDArray[np.intp]) -> Column:
    from modelspan.instrumentation.recorder.texts import chosen

    return Column(columns.UTF8, chosen(_REASONS, codes), codes > 0)


def _margins(group: Group) -> npt.NDArray[np.float64]:
    """What lies between the two highest class probabilities of each row; infinity where there are none."""
    unknown = np.full(group.size, np.inf)
    scores = _probabilities(group.outputs) if group.first.operation in _PROBABILITIES else None
    if scores is None or scores.shape[1] == 0 or not ((scores >= 0) & (scores <= 1)).all():
        return unknown
    if scores.shape[1] == 1:
        return np.abs(2 * scores[:, 0] - 1)
    highest = np.partition(scores, -2, axis=1)
    margins: npt.NDArray[np.float64] = highest[:, -1] - highest[:, -2]
    return margins


def _probabilities(outputs: Outputs) -> npt.NDArray[np.float64] | None:
    if names.SCORE not in outputs:
        return None
    by_class = [column for name, column in outputs.items() if name.startswith(names.SCORE_PREFIX)]
    return np.column_stack([column.values for column in by_class or [outputs[names.SCORE]]])
