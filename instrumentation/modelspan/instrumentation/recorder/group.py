"""Calls that look alike, as one table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Sized
from typing import Any

import numpy as np
import numpy.typing as npt

from modelspan.instrumentation.failure import failed, warn_once
from modelspan.instrumentation.recorder import columns
from modelspan.instrumentation.recorder.alike import Alike
from modelspan.instrumentation.recorder.columns import Column
from modelspan.instrumentation.recorder.features import Features, features
from modelspan.instrumentation.recorder.outputs import Outputs, outputs
from modelspan.instrumentation.recorder.redaction import FeaturePolicy
from modelspan.instrumentation.recorder.scope import PerRow, PredictionScope
from modelspan.instrumentation.recorder.snapshot import OPAQUE, Kept, unreadable
from modelspan.instrumentation.recorder.texts import Texts, from_strings, joined, numbered, scattered, short
from modelspan.instrumentation.recorder.times import UNKNOWN
from modelspan.semconv import columns as names
from modelspan.semconv.attributes import ML_CAPTURE_UNREADABLE
from modelspan.semconv.attributes import MlCaptureUnreadableValues as Reason

Ids = tuple[str, str]
"""Trace id and span id as lower-case hex."""


class Group:
    """Calls of one model, operation and layout, and the columns of their rows."""

    def __init__(self, alike: Alike, policy: FeaturePolicy) -> None:
        self._alike = alike
        self.first = alike.first
        self.totals = alike.rows
        """Rows of each call, also those that were not kept."""
        self.rows = alike.rows
        """Captured rows of each call."""
        self._sampled = any(alike.keeps) or bool((alike.calls > 1).any())
        if any(alike.keeps):
            kept = [n if keep is None else len(keep.rows) for n, keep in zip(self.rows, alike.keeps, strict=True)]
            self.rows = np.array(kept, dtype=np.int64)
        self.size = int(self.rows.sum())
        self._scoped = any(alike.scopes)
        self.started, self.durations, self.contexts = alike.started, alike.durations, alike.contexts
        self.policy = policy.afresh(self.first.identity.name)
        """What was withheld of these features."""
        self.unreadable = unreadable(self.first.x)
        """Why there are features that could not be read."""
        self.features = self._read_features(self.policy)
        self.outputs = self._read_outputs()

    def _read_features(self, policy: FeaturePolicy) -> Features:
        """Feature columns; none of values that cannot be read, which is said once."""
        if self.first.x.kind == OPAQUE:
            return {}
        if not self._alike.aligned:
            self.unreadable = Reason.ROW_COUNT.value
            return {}
        try:
            return features(self._alike.x, self.first.model, policy)
        except Exception as error:
            failed("read the inputs of a model", policy.without_values(error))
            self.unreadable = Reason.ERROR.value
            return {}

    def captured(self) -> dict[str, Any]:
        """Attributes that say which features are missing and why."""
        said = self.unreadable is not None and self.policy.captures
        unread = {ML_CAPTURE_UNREADABLE: self.unreadable} if said else {}
        return self.policy.attributes() | unread

    def _read_outputs(self) -> Outputs:
        if self.first.error is not None:
            return {}
        first = self.first
        try:
            found = outputs(self._alike.y, first.operation, first.model)
        except Exception as error:
            failed("read the outputs of a model", error)
            return {}
        return {name: column for name, column in found.items() if len(column) == self.size}

    def identified(self) -> npt.NDArray[np.bool_]:
        """Rows that actuals are to find."""
        given = [said is not None and said.identifies for said in self._alike.scopes]
        return np.repeat(np.array(given, dtype=bool), self.rows) if given else np.zeros(self.size, dtype=bool)

    def position(self, call: int) -> int:
        """Position of the first row of a call."""
        return int(self.rows[:call].sum())

    def ids(self, prefix: str, number: int) -> Texts:
        """Identifiers of all rows: those that the caller knows, else `prefix` and the number of the row from `number` on."""
        if not self._scoped:
            return numbered(prefix, np.arange(number, number + self.size, dtype=np.int64))
        parts = []
        for given, rows in zip(self._alike.ids, self.rows.tolist(), strict=True):
            own = numbered(prefix, np.arange(number, number + rows, dtype=np.int64))
            parts.append(own if given is None else from_strings(given))
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
            **{names.FEATURE_PREFIX + name: column.numbers() for name, column in self.features.items()},
            **{names.TEXT_PREFIX + name: one.texts for name, one in self.features.items() if one.texts is not None},
        }
        if self.first.error is not None:
            table[names.ERROR_TYPE] = columns.from_texts([self.first.error] * self.size)
        return {short(name): column for name, column in table.items() if not column.is_empty()}

    def _traces(self, spans: Mapping[int, Ids]) -> dict[str, Column]:
        if not spans:
            return {}
        calls = sorted(spans)
        with_span = np.zeros(len(self.rows), dtype=bool)
        with_span[calls] = True
        valid = np.repeat(with_span, self.rows)
        per_row = [(spans[call], rows) for call, rows in zip(calls, self.rows[calls].tolist(), strict=True)]
        return {
            names.TRACE_ID: _some([ids[0] for ids, rows in per_row for _ in range(rows)], valid),
            names.SPAN_ID: _some([ids[1] for ids, rows in per_row for _ in range(rows)], valid),
        }

    def _times(self) -> npt.NDArray[np.int64]:
        times = np.repeat(self.started, self.rows)
        if not self._scoped:
            return times
        for i, (said, keep, rows) in enumerate(self._calls()):
            given = None if said is None else said.times
            if isinstance(given, int) or (given is not None and _fits(given, rows)):
                place = slice(self.position(i), self.position(i) + int(self.rows[i]))
                own = given if isinstance(given, int) or keep is None else given[keep.rows]
                times[place] = np.where(np.equal(own, UNKNOWN), times[place], own)
        return times

    def _calls(self) -> Iterator[tuple[PredictionScope | None, Kept | None, int]]:
        """What was said about each call, the rows kept of it, and the number of all of them."""
        return zip(self._alike.scopes, self._alike.keeps, self._alike.rows.tolist(), strict=True)

    def _said(self) -> dict[str, Column]:
        """Variant and segments, where the program said any."""
        scopes = self._alike.scopes
        if not self._scoped:
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
        for (_, keep, rows), captured, value in zip(self._calls(), self.rows.tolist(), values, strict=True):
            if value is None or isinstance(value, str):
                found.extend([value] * captured)
            elif _fits(value, rows):
                found.extend(value if keep is None else [value[i] for i in keep.rows.tolist()])
            else:
                found.extend([None] * captured)
        return columns.from_texts(found)

    def counts(self) -> npt.NDArray[np.int64] | None:
        """Predictions that each row stands for, as whole numbers that add up to the rows of each call, times the calls that it
        stands for; None: each for itself.
        """
        if not self._sampled:
            return None
        totals, rows = np.repeat(self.totals * self._alike.calls, self.rows), np.repeat(self.rows, self.rows)
        place = np.arange(self.size) - np.repeat(np.cumsum(self.rows) - self.rows, self.rows)
        counts: npt.NDArray[np.int64] = (place + 1) * totals // rows - place * totals // rows
        return counts

    def _weights(self) -> dict[str, Column]:
        """Predictions that each row stands for, where calls were too large to capture whole, or left out."""
        if not self._sampled:
            return {}
        weights = self._alike.rows * self._alike.calls / np.maximum(self.rows, 1)
        return {names.WEIGHT: Column(columns.FLOAT64, np.repeat(weights, self.rows))}


def _fits(given: Sized, rows: int) -> bool:
    """Whether there is one for each row; else they are left out, which is said once."""
    if len(given) != rows:
        said = f"prediction_context got {len(given)} times, segments or variants for {rows} rows; they are left out."
        warn_once("per-row", said)
    return len(given) == rows


def _some(present: Sequence[str], valid: npt.NDArray[np.bool_]) -> Column:
    """A column of strings from those that are there, which are the rows that are valid."""
    return Column(columns.UTF8, scattered(present, valid), None if valid.all() else valid)
