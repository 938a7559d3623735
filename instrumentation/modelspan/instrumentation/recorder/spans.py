"""The span of a prediction, made after the fact so that the caller does not pay for it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from opentelemetry.semconv.attributes.error_attributes import ERROR_TYPE
from opentelemetry.trace import (
    INVALID_SPAN_CONTEXT,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    Tracer,
    format_span_id,
    format_trace_id,
    get_current_span,
)

from modelspan.instrumentation.config import Config
from modelspan.instrumentation.recorder.group import Group
from modelspan.instrumentation.recorder.identity import Identity
from modelspan.semconv import attributes as ml
from modelspan.semconv import columns as names

Ids = tuple[str | None, str | None]
"""Trace id and span id as lower-case hex."""

_NONE: Ids = (None, None)

_OUTPUTS = (
    (names.LABEL, ml.ML_OUTPUT_LABEL),
    (names.SCORE, ml.ML_OUTPUT_SCORE),
    (names.VALUE, ml.ML_OUTPUT_VALUE),
)


def spans_of(group: Group, tracer: Tracer | None, config: Config) -> list[Ids]:
    """Make the spans of a group's calls: each within a sampled trace, few without. Returns the ids to record for each call."""
    identity = group.first.identity
    budget = _earn(identity, config.span_rate)
    common: dict[str, Any] | None = None
    result: list[Ids] = []
    for i, call in enumerate(group.calls):
        parent = get_current_span(call.context).get_span_context() if call.context else INVALID_SPAN_CONTEXT
        alone = not parent.is_valid
        if tracer is None or (budget < 1 if alone else not parent.trace_flags.sampled):
            result.append(_NONE if alone else _ids(parent))
            continue
        budget -= alone
        common = common or _attributes(group)
        result.append(_span(tracer, group, i, common, config) or (_NONE if alone else _ids(parent)))
    identity.spans = (budget, identity.spans[1])
    return result


def _earn(identity: Identity, rate: float) -> float:
    """Spans without a trace that the model may make now: `rate` each second, saved up for at most one second."""
    now = time.monotonic()
    budget, then = identity.spans
    budget = min(rate, budget + (now - then) * rate) if then else rate
    identity.spans = (budget, now)
    return budget


def _span(tracer: Tracer, group: Group, i: int, common: Mapping[str, Any], config: Config) -> Ids | None:
    call = group.calls[i]
    span = tracer.start_span(
        f"{call.operation} {call.identity.name}",
        context=call.context,
        kind=SpanKind.INTERNAL,
        attributes={**common, ml.ML_INPUT_ROW_COUNT: call.rows, **_row(group, i, config)},
        start_time=call.started,
    )
    recording = span.is_recording()
    if call.error is not None:
        span.set_attribute(ERROR_TYPE, call.error)
        span.set_status(Status(StatusCode.ERROR))
    span.end(call.started + call.duration)
    return _ids(span.get_span_context()) if recording else None


def _attributes(group: Group) -> dict[str, Any]:
    identity = group.first.identity
    facts = identity.facts(group.first.model)
    attributes: dict[str, Any] = {
        ml.ML_MODEL_NAME: identity.name,
        ml.ML_MODEL_VERSION: identity.version,
        ml.ML_OPERATION_NAME: group.first.operation,
        ml.ML_PREDICTION_BATCHED: True,
        **{name: facts[name] for name in (ml.ML_FRAMEWORK_NAME, ml.ML_TASK_TYPE) if name in facts},
    }
    if group.features:
        attributes[ml.ML_INPUT_FEATURE_COUNT] = len(group.features)
    return attributes


def _row(group: Group, i: int, config: Config) -> dict[str, Any]:
    """What a span says of the row of a call that has one row."""
    if group.rows[i] != 1:
        return {}
    row = int(group.rows[:i].sum())
    found: dict[str, Any] = {ml.ML_PREDICTION_ID: group.ids[row]}
    for column, attribute in _OUTPUTS:
        if column in group.outputs:
            found[attribute] = group.outputs[column].part(row, row + 1).objects()[0]
    if config.span_features and group.features:
        found[ml.ML_INPUT_FEATURES] = {
            name: column.part(row, row + 1).objects()[0] for name, column in group.features.items()
        }
    return {name: value for name, value in found.items() if value is not None}


def _ids(context: SpanContext) -> Ids:
    return format_trace_id(context.trace_id), format_span_id(context.span_id)
