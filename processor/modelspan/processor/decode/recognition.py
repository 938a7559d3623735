"""Recognise model events among log records, by event name or by attributes that no other record has.

The name is the youngest field of a log record. Older collectors and other agents drop it, or move it elsewhere.
"""

from __future__ import annotations

from typing import Final

from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.semconv._incubating.attributes.event_attributes import EVENT_NAME

from modelspan.processor.decode.values import Raw, text
from modelspan.semconv import attributes as names
from modelspan.semconv import events

_NAMES: Final = frozenset(
    value for value in vars(events).values() if isinstance(value, str) and value.startswith("ml.")
)
_BATCH: Final = (names.ML_PREDICTION_BATCH_DATA, names.ML_PREDICTION_BATCH_ROW_COUNT)
_OUTPUTS: Final = ("ml.output.", names.ML_INPUT_FEATURES, names.ML_PREDICTION_ID)
_OURS: Final = ("ml.prediction.", "ml.output.", "ml.actual.", "ml.outcome.", "ml.reference.", "modelspan.recorder.")
"""Beginnings of attributes that a program is unlikely to put on log records of its own."""


def event_of(name: str, values: dict[str, Raw]) -> str:
    """The name of a record with these attributes; empty where it has none that is known."""
    if name in _NAMES:
        return name
    said = text(values.get(EVENT_NAME))
    if said in _NAMES:
        return said
    return _by_attributes(values) or name


def is_batch(values: dict[str, Raw]) -> bool:
    """True if an event holds rows, or counts them."""
    return any(name in values for name in _BATCH)


def looks_like_ours(name: str, values: dict[str, Raw]) -> bool:
    """True if a record without a known name is likely to be a model event."""
    return name not in _NAMES and (name.startswith("ml.") or any(key.startswith(_OURS) for key in values))


def may_be_ours(record: LogRecord) -> bool:
    """True if a record may be a model event; a cheap test before its attributes are decoded."""
    return record.event_name in _NAMES or any(pair.key.startswith(_OURS) for pair in record.attributes)


def _by_attributes(values: dict[str, Raw]) -> str:
    if names.ML_REFERENCE_PROFILE_DATA in values:
        return events.ML_REFERENCE_PROFILE
    if names.ML_OUTCOME_NAME in values:
        return events.ML_PREDICTION_OUTCOME
    if names.ML_ACTUAL_LABEL in values or names.ML_ACTUAL_VALUE in values:
        return events.ML_PREDICTION_ACTUAL
    if is_batch(values):
        return events.ML_PREDICTION_BATCH if names.ML_OPERATION_NAME in values else events.ML_PREDICTION_ACTUAL
    if names.ML_MODEL_NAME not in values:
        return ""
    if names.ML_OPERATION_NAME in values:
        return events.ML_PREDICTION_DETAILS if any(key.startswith(_OUTPUTS) for key in values) else ""
    return events.ML_MODEL_LOADED if names.ML_FRAMEWORK_NAME in values else ""
