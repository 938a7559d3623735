"""Calls that look alike, as one table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from modelspan.instrumentation.failure import failed
from modelspan.instrumentation.recorder import columns
from modelspan.instrumentation.recorder.calls import Call
from modelspan.instrumentation.recorder.columns import Column
from modelspan.instrumentation.recorder.features import FeaturePolicy, Features, features, join_key
from modelspan.instrumentation.recorder.outputs import Outputs, outputs
from modelspan.instrumentation.recorder.scope import PerRow
from modelspan.instrumentation.recorder.snapshot import OPAQUE
from modelspan.semconv import attributes as ml
from modelspan.semconv import columns as names


@dataclass
class Group:
    """Calls of one model, operation and layout, and the columns of their rows."""

    calls: list[Call]
    rows: npt.NDArray[np.int64]
    """Captured rows of each call."""
    features: Features
    outputs: Outputs
    ids: list[str]

    @property
    def first(self) -> Call:
        return self.calls[0]

    def size(self) -> int:
        """Captured rows of all calls."""
        return len(self.ids)

    def starts(self) -> list[int]:
        """Position of the first row of each call."""
        return (np.cumsum(self.rows) - self.rows).tolist()  # type: ignore[no-any-return]

    def table(self, trace_ids: Sequence[str | None], span_ids: Sequence[str | None]) -> dict[str, Column]:
        """Every column of a batch. `trace_ids` and `span_ids` are one for each call."""
        table = {
            names.TIME: Column(columns.TIMESTAMP, self._times()),
            names.DURATION: Column(columns.INT64, self._repeat([call.duration for call in self.calls])),
            names.PREDICTION_ID: columns.from_texts(self.ids),
            names.TRACE_ID: self._texts(trace_ids),
            names.SPAN_ID: self._texts(span_ids),
            names.ERROR_TYPE: self._texts([call.error for call in self.calls]),
            **self._scopes(),
            **self._weights(),
            **self.outputs,
            **{names.FEATURE_PREFIX + name: column for name, column in self.features.items()},
        }
        return {name: column for name, column in table.items() if not column.is_empty()}

    def _repeat(self, per_call: Sequence[int]) -> npt.NDArray[np.int64]:
        return np.repeat(np.array(per_call, dtype=np.int64), self.rows)

    def _texts(self, per_call: Sequence[str | None]) -> Column:
        if not any(per_call):
            return Column(columns.UTF8, [""] * self.size(), np.zeros(self.size(), dtype=bool))
        return columns.from_texts([t for t, n in zip(per_call, self.rows.tolist(), strict=True) for _ in range(n)])

    def _times(self) -> npt.NDArray[np.int64]:
        times = self._repeat([call.started for call in self.calls])
        for call, start, rows in zip(self.calls, self.starts(), self.rows.tolist(), strict=True):
            if call.scope is None or call.scope.times is None:
                continue
            given = call.scope.times
            if isinstance(given, int) or len(given) == call.rows:
                times[start : start + rows] = (
                    given if isinstance(given, int) or call.keep is None else given[call.keep.rows]
                )
        return times

    def _scopes(self) -> dict[str, Column]:
        """Variant and segments, where the program said any."""
        if all(call.scope is None for call in self.calls):
            return {}
        keys = sorted({key for call in self.calls if call.scope for key in call.scope.segment or ()})
        table = {
            names.SEGMENT_PREFIX + key: self._per_row([_segment(call, key) for call in self.calls]) for key in keys
        }
        table[names.VARIANT] = self._per_row([call.scope.variant if call.scope else None for call in self.calls])
        return table

    def _per_row(self, values: Sequence[PerRow | None]) -> Column:
        found: list[str | None] = []
        for call, rows, value in zip(self.calls, self.rows.tolist(), values, strict=True):
            if value is None or isinstance(value, str):
                found.extend([value] * rows)
            elif len(value) == call.rows:
                found.extend(value if call.keep is None else [value[i] for i in call.keep.rows.tolist()])
            else:
                found.extend([None] * rows)
        return columns.from_texts(found)

    def _weights(self) -> dict[str, Column]:
        """Predictions that each row stands for, where calls were too large to capture whole."""
        if all(call.keep is None for call in self.calls):
            return {}
        weights = np.array([call.rows for call in self.calls]) / self.rows
        return {names.WEIGHT: Column(columns.FLOAT64, np.repeat(weights, self.rows))}


def _segment(call: Call, key: str) -> PerRow | None:
    return (call.scope.segment or {}).get(key) if call.scope else None


def split(calls: Sequence[Call]) -> list[list[Call]]:
    """Calls by what they must share to become one table."""
    groups: dict[Any, list[Call]] = {}
    for call in calls:
        key = (
            call.identity,
            call.operation,
            call.error,
            join_key(call.x),
            call.y.kind,
            call.y.layout,
            captured_rows(call) == call.x.rows,
        )
        groups.setdefault(key, []).append(call)
    return list(groups.values())


def captured_rows(call: Call) -> int:
    """Rows of a call in the batch: all of them, or those that were kept."""
    return call.rows if call.keep is None else len(call.keep.rows)


def build(calls: list[Call], policy: FeaturePolicy, ids: list[str]) -> Group:
    """The columns of calls that `split` put together. Values that cannot be read are left out, with one warning."""
    first = calls[0]
    rows = np.array([captured_rows(call) for call in calls], dtype=np.int64)
    group = Group(calls, rows, {}, {}, ids)
    try:
        if first.x.kind != OPAQUE and captured_rows(first) == first.x.rows:
            group.features = features([call.x for call in calls], first.model, policy)
    except Exception as error:
        failed("read the inputs of a model", error)
    try:
        if first.error is None:
            task = first.identity.facts(first.model).get(ml.ML_TASK_TYPE)
            found = outputs([call.y for call in calls], first.operation, first.model, task)
            group.outputs = {name: column for name, column in found.items() if len(column) == len(ids)}
    except Exception as error:
        failed("read the outputs of a model", error)
    return group
