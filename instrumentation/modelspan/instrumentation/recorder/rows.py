"""Predictions as events that people can read: one for each row, with its features and outputs, the row form of docs/wire.md."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from opentelemetry.context import Context
from opentelemetry.semconv.attributes.error_attributes import ERROR_TYPE
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

from modelspan.instrumentation.recorder.columns import Column
from modelspan.semconv import attributes as ml
from modelspan.semconv import columns as names

_SINGLE = {
    names.PREDICTION_ID: ml.ML_PREDICTION_ID,
    names.VARIANT: ml.ML_PREDICTION_VARIANT,
    names.LABEL: ml.ML_OUTPUT_LABEL,
    names.SCORE: ml.ML_OUTPUT_SCORE,
    names.VALUE: ml.ML_OUTPUT_VALUE,
    names.WEIGHT: ml.ML_SAMPLING_ADJUSTED_COUNT,
    names.KEEP_REASON: ml.ML_SAMPLING_REASON,
    names.ERROR_TYPE: ERROR_TYPE,
}
_MAPS = {
    names.FEATURE_PREFIX: ml.ML_INPUT_FEATURES,
    names.TEXT_PREFIX: ml.ML_INPUT_FEATURES,
    names.SCORE_PREFIX: ml.ML_OUTPUT_SCORES,
    names.VALUE_PREFIX: ml.ML_OUTPUT_VALUES,
    names.LABEL_PREFIX: ml.ML_OUTPUT_LABELS,
}
_SAID = (names.LABEL, names.VALUE, names.SCORE)


class RowEvent(NamedTuple):
    """One prediction."""

    time: int
    """Nanoseconds since 1970."""
    context: Context
    """Its trace, if there is one."""
    attributes: dict[str, Any]
    said: str
    """The outputs in words, such as `label=1 score=0.93`."""


def row_events(table: Mapping[str, Column], rows: int) -> Iterator[RowEvent]:
    """One event for each of the rows of a batch."""
    cells = {name: column.objects() for name, column in table.items()}
    times = table[names.TIME].values.astype("int64").tolist()
    for i in range(rows):
        row = {name: values[i] for name, values in cells.items() if values[i] is not None}
        said = " ".join(f"{name}={row[name]}" for name in _SAID if name in row)
        yield RowEvent(times[i], _context(row), _attributes(row), said)


def _attributes(row: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {attribute: row[name] for name, attribute in _SINGLE.items() if name in row}
    if names.DURATION in row:
        found[ml.ML_PREDICTION_DURATION] = row[names.DURATION] / 1e9
    for name, value in row.items():
        prefix, dot, key = name.partition(".")
        if prefix + dot == names.SEGMENT_PREFIX:
            found[f"{ml.ML_SEGMENT}.{key}"] = value
        elif prefix + dot in _MAPS:
            found.setdefault(_MAPS[prefix + dot], {})[key] = value
    return found


def _context(row: Mapping[str, Any]) -> Context:
    trace, span = row.get(names.TRACE_ID), row.get(names.SPAN_ID)
    if trace is None or span is None:
        return Context()
    known = SpanContext(int(trace, 16), int(span, 16), is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))
    return set_span_in_context(NonRecordingSpan(known), Context())
