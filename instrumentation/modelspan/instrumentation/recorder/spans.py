"""The span of a prediction, made after the fact so that the caller does not pay for it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, get_args, get_origin

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
from opentelemetry.util.types import AttributeValue

from modelspan.instrumentation.config import ROWS, Config
from modelspan.instrumentation.recorder.clock import monotonic
from modelspan.instrumentation.recorder.events import identity_last
from modelspan.instrumentation.recorder.group import Group, Ids
from modelspan.instrumentation.recorder.identity import Identity
from modelspan.instrumentation.recorder.texts import Texts
from modelspan.semconv import attributes as ml
from modelspan.semconv import columns as names

_TAKES_MAPS = any(get_origin(kind) is Mapping for kind in get_args(AttributeValue))
"""Whether an attribute may be a map, as in newer versions of OpenTelemetry's API; else it is one in JSON."""

_OUTPUTS = (
    (names.LABEL, ml.ML_OUTPUT_LABEL),
    (names.SCORE, ml.ML_OUTPUT_SCORE),
    (names.VALUE, ml.ML_OUTPUT_VALUE),
)


def make_spans(group: Group, ids: Texts, tracer: Tracer | None, config: Config) -> dict[int, Ids]:
    """Make the spans of a group's calls: each within a sampled trace, few without.

    Gives, by the position of the call, the trace and span id to record: of its span, else of what surrounded the call.
    """
    budget = _earn(group.first.identity, config.span_rate) if tracer is not None else 0.0
    traced = any(group.contexts)
    common: dict[str, Any] | None = None
    found: dict[int, Ids] = {}
    for i, context in enumerate(group.contexts):
        if not context and budget < 1:
            if not traced:
                break
            continue
        parent = get_current_span(context).get_span_context() if context else INVALID_SPAN_CONTEXT
        if parent.is_valid:
            found[i] = _ids(parent)
        if tracer is None or (not parent.trace_flags.sampled if parent.is_valid else budget < 1):
            continue
        budget -= not parent.is_valid
        common = common or _attributes(group)
        made = _span(tracer, group, i, identity_last({**common, **_row(group, i, ids, config)}))
        if made is not None:
            found[i] = made
    group.first.identity.spans = (budget, group.first.identity.spans[1])
    return found


def _earn(identity: Identity, rate: float) -> float:
    """Spans without a trace that the model may make now: `rate` each second, saved up for at most one second."""
    now = monotonic()
    budget, then = identity.spans
    budget = min(rate, budget + (now - then) * rate) if then else rate
    identity.spans = (budget, now)
    return budget


def _span(tracer: Tracer, group: Group, i: int, attributes: Mapping[str, Any]) -> Ids | None:
    """Make one span; its ids if the SDK records it."""
    first, started = group.first, int(group.started[i])
    span = tracer.start_span(
        f"{first.operation} {first.identity.name}",
        context=group.contexts[i],
        kind=SpanKind.INTERNAL,
        attributes=attributes,
        start_time=started,
    )
    recording = span.is_recording()
    if first.error is not None:
        span.set_status(Status(StatusCode.ERROR))
    span.end(started + int(group.durations[i]))
    return _ids(span.get_span_context()) if recording else None


def _attributes(group: Group) -> dict[str, Any]:
    """Attributes that all calls of a group share."""
    first = group.first
    facts = first.identity.facts(first.model)
    attributes: dict[str, Any] = {
        **{name: facts[name] for name in (ml.ML_FRAMEWORK_NAME, ml.ML_TASK_TYPE) if name in facts},
        ml.ML_MODEL_VERSION: first.identity.version,
        ml.ML_PREDICTION_BATCHED: True,
        ml.ML_OPERATION_NAME: first.operation,
        ml.ML_MODEL_NAME: first.identity.name,
    }
    if group.features:
        attributes[ml.ML_INPUT_FEATURE_COUNT] = len(group.features)
    if first.error is not None:
        attributes[ERROR_TYPE] = first.error
    return attributes


def _row(group: Group, i: int, ids: Texts, config: Config) -> dict[str, Any]:
    """What a span says of the rows of its call, most of it where there is only one."""
    rows = int(group.totals[i])
    found: dict[str, Any] = {ml.ML_INPUT_ROW_COUNT: rows}
    if rows != 1:
        return found
    row = group.position(i)
    found[ml.ML_PREDICTION_ID] = ids[row : row + 1].tolist()[0]
    for column, attribute in _OUTPUTS:
        if column in group.outputs:
            found[attribute] = group.outputs[column].part(row, row + 1).objects()[0]
    if (config.span_features or config.form == ROWS) and group.features:
        cells = {name: column.part(row, row + 1).objects()[0] for name, column in group.features.items()}
        found[ml.ML_INPUT_FEATURES] = cells if _TAKES_MAPS else json.dumps(cells)
    return {name: value for name, value in found.items() if value is not None}


def _ids(context: SpanContext) -> Ids:
    return format_trace_id(context.trace_id), format_span_id(context.span_id)
