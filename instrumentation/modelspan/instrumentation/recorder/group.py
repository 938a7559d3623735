"""Calls that look alike, as one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from modelspan.instrumentation.recorder.snapshot import ARRAY, OPAQUE
from modelspan.instrumentation.recorder.texts import Texts, from_strings, joined, numbered, scattered
from modelspan.semconv import attributes as ml
from modelspan.semconv import columns as names

Ids = tuple[str, str]
"""Trace id and span id as lower-case hex."""


def split(calls: Sequence[Call]) -> list[list[Call]]:
    """Calls by what they must share to become one table."""
    groups: dict[Any, list[Call]] = {}
    for call in calls:
        x, y = call.x, call.y
        layout = x.layout if x.kind == ARRAY else join_key(x)
        aligned = x.rows == (call.rows if call.keep is None else len(call.keep.rows))
        key = (call.identity, call.operation, call.error, layout, y.kind, y.layout, aligned)
        found = groups.get(key)
        if found is None:
            groups[key] = [call]
        else:
            found.append(call)
    return list(groups.values())


class Group:
    """Calls of one model, operation and layout, and the columns of their rows."""

    def __init__(self, calls: Sequence[Call], policy: FeaturePolicy) -> None:
        self.calls = calls
        self.first = calls[0]
        (_, _, _, self._xs, self._ys, rows, keeps, self._started, durations, self.contexts, self._scopes, _, _) = zip(
            *calls, strict=True
        )
        self.total = sum(rows)
        """Rows of all calls, also those that were not kept."""
        self.rows: npt.NDArray[np.int64] = np.array(rows, dtype=np.int64)
        """Captured rows of each call."""
        self._sampled = any(keeps)
        if self._sampled:
            self.rows = np.array([n if k is None else len(k.rows) for n, k in zip(rows, keeps, strict=True)], np.int64)
        self.durations: npt.NDArray[np.int64] = np.array(durations, dtype=np.int64)
        self.size = int(self.rows.sum())
        self.features = self._read_features(policy)
        self.outputs = self._read_outputs()

    def _read_features(self, policy: FeaturePolicy) -> Features:
        """Feature columns; none of values that cannot be read, which is said once."""
        first = self.first.x
        if first.kind == OPAQUE or first.rows != self.rows[0]:
            return {}
        try:
            return features(self._xs, self.first.model, policy)
        except Exception as error:
            failed("read the inputs of a model", error)
            return {}

    def _read_outputs(self) -> Outputs:
        if self.first.error is not None:
            return {}
        first = self.first
        try:
            task = first.identity.facts(first.model).get(ml.ML_TASK_TYPE)
            found = outputs(self._ys, first.operation, first.model, task)
        except Exception as error:
            failed("read the outputs of a model", error)
            return {}
        return {name: column for name, column in found.items() if len(column) == self.size}

    def position(self, call: int) -> int:
        """Position of the first row of a call."""
        return int(self.rows[:call].sum())

    def ids(self, prefix: str, number: int) -> Texts:
        """Identifiers of all rows: those that the caller knows, else `prefix` and the number of the row from `number` on."""
        if not any(self._scopes):
            return numbered(prefix, np.arange(number, number + self.size, dtype=np.int64))
        parts = []
        for call, rows in zip(self.calls, self.rows.tolist(), strict=True):
            own = numbered(prefix, np.arange(number, number + rows, dtype=np.int64))
            parts.append(own if call.ids is None else from_strings(call.ids))
            number += rows
        return joined(parts)

    def table(self, ids: Texts, spans: Mapping[int, Ids]) -> dict[str, Column]:
        """Every column of a batch. `spans` are the ids to record for a call, by its position."""
        table = {
            names.TIME: Column(columns.TIMESTAMP, self._times()),
            names.DURATION: Column(columns.INT64, np.repeat(self.durations, self.rows)),
            names.PREDICTION_ID: Column(columns.UTF8, ids),
            **self._traces(spans),
            **self._said(),
            **self._weights(),
            **self.outputs,
            **{names.FEATURE_PREFIX + name: column for name, column in self.features.items()},
        }
        if self.first.error is not None:
            table[names.ERROR_TYPE] = columns.from_texts([self.first.error] * self.size)
        return {name: column for name, column in table.items() if not column.is_empty()}

    def _traces(self, spans: Mapping[int, Ids]) -> dict[str, Column]:
        if not spans:
            return {}
        with_span = np.zeros(len(self.calls), dtype=bool)
        with_span[list(spans)] = True
        valid = np.repeat(with_span, self.rows)
        per_row = [(ids, rows) for call, rows in enumerate(self.rows.tolist()) if (ids := spans.get(call))]
        return {
            names.TRACE_ID: _some([ids[0] for ids, rows in per_row for _ in range(rows)], valid),
            names.SPAN_ID: _some([ids[1] for ids, rows in per_row for _ in range(rows)], valid),
        }

    def _times(self) -> npt.NDArray[np.int64]:
        times = np.repeat(np.array(self._started, dtype=np.int64), self.rows)
        if not any(self._scopes):
            return times
        for i, call in enumerate(self.calls):
            given = None if call.scope is None else call.scope.times
            if isinstance(given, int) or (given is not None and len(given) == call.rows):
                rows = slice(self.position(i), self.position(i) + int(self.rows[i]))
                times[rows] = given if isinstance(given, int) or call.keep is None else given[call.keep.rows]
        return times

    def _said(self) -> dict[str, Column]:
        """Variant and segments, where the program said any."""
        scopes = self._scopes
        if not any(scopes):
            return {}
        keys = sorted({key for said in scopes if said for key in said.segment or ()})
        table = {
            names.SEGMENT_PREFIX + key: self._per_row(
                [(said.segment or {}).get(key) if said else None for said in scopes]
            )
            for key in keys
        }
        return table | {names.VARIANT: self._per_row([said.variant if said else None for said in scopes])}

    def _per_row(self, values: Sequence[PerRow | None]) -> Column:
        """One value of each call for all its rows, or one for each row; none where their number does not fit."""
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
        if not self._sampled:
            return {}
        weights = np.array([call.rows for call in self.calls]) / self.rows
        return {names.WEIGHT: Column(columns.FLOAT64, np.repeat(weights, self.rows))}


def _some(present: Sequence[str], valid: npt.NDArray[np.bool_]) -> Column:
    """A column of strings from those that are there, which are the rows that are valid."""
    return Column(columns.UTF8, scattered(present, valid), None if valid.all() else valid)
