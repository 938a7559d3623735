"""A reference data set to the event that carries its profile."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from opentelemetry._logs import Logger
from opentelemetry.instrumentation.utils import suppress_instrumentation

from modelspan.instrumentation.failure import failed, warn_once
from modelspan.instrumentation.recorder import columns
from modelspan.instrumentation.recorder import snapshot as snap
from modelspan.instrumentation.recorder.columns import Column
from modelspan.instrumentation.recorder.events import announce, emit, who
from modelspan.instrumentation.recorder.feature_names import given_names, note_columns
from modelspan.instrumentation.recorder.features import Features, features
from modelspan.instrumentation.recorder.identity import Identity, identities
from modelspan.instrumentation.recorder.kinds import kind_of
from modelspan.instrumentation.recorder.misnamed import note_model_name
from modelspan.instrumentation.recorder.outputs import PREDICT, outputs
from modelspan.instrumentation.recorder.recorder import Recorder
from modelspan.instrumentation.recorder.redaction import FeaturePolicy
from modelspan.instrumentation.recorder.reference_check import chooses_columns, few_rows, wrong_columns
from modelspan.instrumentation.recorder.reference_content import refusal, suspicious, wrong_predictions, wrong_values
from modelspan.instrumentation.recorder.snapshot import Snapshot
from modelspan.instrumentation.recorder.texts import distinct
from modelspan.profile import Profile, categorical_profile, mixed_profile, to_json
from modelspan.semconv import attributes as ml
from modelspan.semconv import columns as names
from modelspan.semconv import events
from modelspan.semconv.attributes import MlCaptureUnreadableValues as Reason
from modelspan.semconv.attributes import MlOperationNameValues, MlReferenceSourceValues

MAX_ROWS = 100_000
"""Rows of a reference; of more, a random sample that is the same each time."""

_SENTENCE = 200
"""Characters of it."""
_KINDS = ((names.SCORE, "score"), (names.VALUE, "value"), (names.LABEL, "label"))

_OPERATIONS = frozenset(one.value for one in MlOperationNameValues)

Predictions = Mapping[str, Snapshot]
"""Held-out predictions by operation."""


def submit_reference(recorder: Recorder, model: Any, x: Any, predictions: Any, name: str | None) -> bool:
    """Copy a bounded sample of the data, and have its profile made and emitted in the background. `model` is the model or its name."""
    called = model if isinstance(model, str) else None
    if called is not None:
        model = identities.named(called)
    given = x if model is None else kind_of(model).readable(model, x)
    copied = _sample(given)
    problem = _unreadable(x, copied)
    held_out: Predictions = {}
    others = None
    if problem is None:
        others = None if model is None else wrong_columns(model, given)
        problem = _unusable(recorder, model, given, copied, others)
    if problem is None:
        try:
            made = _predictions(x, predictions)
        except Exception as error:  # which may show a value that is withheld
            raise recorder.policy.without_values(error) from None
        held_out = {operation: _sample(values) for operation, values in made.items()}
        rows = max(copied.rows, min(snap.measure(given)[0], MAX_ROWS))  # of long rows fewer are copied
        problem = _wrong_predictions(model, made, held_out, rows)
    if problem is not None:
        warn_once(f"reference:{problem}", f"set_reference sets no reference: {problem}.")
        return False
    warning = few_rows(copied.rows)
    if warning is not None:
        warn_once(f"few:{copied.rows}", f"set_reference: {warning}")
    if model is None:
        if called is not None:
            note_model_name(called)
        identity = Identity(called, "", {})
        identity.digest = ""
    else:
        note_columns(model, given)
        identity = identities.get(model)
        if warning is None:
            identity.training = None
    only = None if others is None else frozenset(distinct(given_names(model) or ()))
    size = copied.size + sum(part.size for part in held_out.values())
    return recorder.submit(lambda: _emit(recorder, identity, model, copied, held_out, name, only), size)


def submit_withdrawal(recorder: Recorder, model: Any, name: str) -> bool:
    """Have the background say that a reference holds no longer. `model` is the model or its name."""
    if not isinstance(name, str) or not name.strip():
        raise ValueError("it takes the identifier of the reference, which `modelspan query references` shows")
    identity = Identity(model, "", {}) if isinstance(model, str) else identities.get(model)
    return recorder.submit(lambda: _withdraw(recorder, identity, model, name))


def _withdraw(recorder: Recorder, identity: Identity, model: Any, name: str) -> None:
    logger = recorder.logger
    if logger is not None:
        if isinstance(model, str):
            note_model_name(model)
        identity.resolve(model, recorder.config)
        attributes = {ml.ML_REFERENCE_ID: name, ml.ML_MODEL_NAME: identity.name}
        emit(logger, events.ML_REFERENCE_WITHDRAWN, attributes, said=f"withdrawn reference {name}")


def _unreadable(x: Any, copied: Snapshot) -> str | None:
    if copied.kind == snap.OPAQUE:
        why = _REASONS.get(copied.layout, "give what predict takes")
        return f"no rows can be read from {type(x).__name__}; {why}"
    return f"no rows can be read from {type(x).__name__}" if copied.rows < 1 else None


_REASONS = {
    **dict.fromkeys(
        (Reason.QUANTIZED.value, Reason.STREAMED.value, Reason.CATEGORICAL.value), "give the table that it was made of"
    ),
    Reason.WITHHELD.value: "OTEL_INSTRUMENTATION_ML_TENSORS or CAPTURE withholds them",
}


def _unusable(recorder: Recorder, model: Any, x: Any, copied: Snapshot, others: str | None) -> str | None:
    """Why no reference can be made of readable rows, as a sentence. `others`: how the columns differ from those that the model knows."""
    if others is not None and not chooses_columns(model, x):
        return others
    refused = None if model is None else refusal(model, x, copied)
    if refused is not None:
        return others or f"the model does not take it: {_said(recorder.policy.without_values(refused))}"
    try:
        return wrong_values(model, x, copied)
    except Exception as error:  # which may show a value that is withheld
        failed("look at the values of a reference", recorder.policy.without_values(error))
        return None


def _said(error: Exception) -> str:
    """The first sentence of a message, which may be a manual."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].partition(". ")[0].rstrip(".")[:_SENTENCE]


def _predictions(x: Any, given: Any) -> dict[str, Any]:
    """Predictions by operation, made here where a method of the model is given."""
    if isinstance(given, Mapping):
        return {operation: _made(x, values) for operation, values in given.items() if values is not None}
    if given is None:
        return {}
    made = _made(x, given)
    name = getattr(given, "__name__", None) if callable(given) else None
    return {name if name in _OPERATIONS else _operation(made): made}


def _made(x: Any, given: Any) -> Any:
    if not callable(given):
        return given
    with suppress_instrumentation():
        return given(x)


def _wrong_predictions(model: Any, given: Mapping[str, Any], copied: Predictions, rows: int) -> str | None:
    for operation, part in copied.items():
        if part.rows < 1 or part.kind == snap.OPAQUE:
            return f"no predictions can be read from {type(given[operation]).__name__}"
        problem = wrong_predictions(model, operation, part, rows)
        if problem is not None:
            return problem
    return None


def _sample(values: Any) -> Snapshot:
    if hasattr(values, "__array__") and not hasattr(values, "shape"):
        values = np.asarray(values)
    rows = snap.measure(values)[0]
    if rows > MAX_ROWS:
        values = snap.pick(values, np.sort(np.random.default_rng(0).choice(rows, MAX_ROWS, replace=False)))
    return snap.copy(values)


def _operation(predictions: Any) -> str:
    """Several columns are class probabilities, one is what `predict` returns."""
    first = predictions[0] if isinstance(predictions, (list, tuple)) and predictions else None
    shape: tuple[Any, ...] = getattr(predictions, "shape", ())
    many = shape[1] > 1 if len(shape) == 2 else isinstance(first, (list, tuple)) and len(first) > 1
    return MlOperationNameValues.PREDICT_PROBA.value if many else PREDICT


def _emit(
    recorder: Recorder,
    identity: Identity,
    model: Any,
    x: Snapshot,
    predictions: Predictions,
    name: str | None,
    only: Collection[str] | None,
) -> None:
    logger = recorder.logger
    if logger is None:
        return
    if model is not None:
        identity.resolve(model, recorder.config)
    policy = recorder.policy.afresh(identity.name)
    found = _features(x, model, policy)
    if model is not None:
        announce(logger, identity, model, policy.described)
    if only is not None:  # what the model does not know, it does not use
        found = {feature: column for feature, column in found.items() if feature in only}
    odd = suspicious(found, x.rows)
    if odd is not None:
        warn_once(f"reference:{odd}", f"set_reference: {odd}.")
    series = feature_series(found)
    for operation, values in predictions.items():
        told = outputs([values], operation, model)
        series += [_profile(kind, "", told[column]) for column, kind in _KINDS if column in told]
    if not series:
        warn_once("empty-reference", "set_reference was given no feature that is captured; no reference is set.")
        return
    emit_profile(logger, identity, MlReferenceSourceValues.TRAINING, x.rows, to_json(Profile(tuple(series))), name)


def read(copied: Snapshot, model: Any, policy: FeaturePolicy) -> tuple[Features, bytes]:
    """The features of copied rows, and their profile; empty where there are none."""
    found = _features(copied, model, policy)
    series = feature_series(found)
    return found, to_json(Profile(tuple(series))) if series else b""


def _features(x: Snapshot, model: Any, policy: FeaturePolicy) -> Features:
    try:
        return features([x], model, policy)
    except Exception as error:  # which may show a value that is withheld
        raise policy.without_values(error) from None


def emit_profile(
    logger: Logger, identity: Identity, source: MlReferenceSourceValues, rows: int, data: bytes, name: str | None
) -> None:
    """Emit a profile as the reference of a model. Its identifier is `name`, by default a digest of the profile."""
    emit(
        logger,
        events.ML_REFERENCE_PROFILE,
        {
            **who(identity),
            ml.ML_REFERENCE_ID: name or hashlib.sha256(data).hexdigest()[:16],
            ml.ML_REFERENCE_SOURCE: source.value,
            ml.ML_REFERENCE_SAMPLE_COUNT: rows,
            ml.ML_REFERENCE_PROFILE_DATA: data,
        },
        said=f"reference of {rows} rows",
    )


def feature_series(found: Features) -> list[Any]:
    """Profiles of the features under the names and types that predictions record."""
    return [_profile("feature", name, column) for name, column in found.items()]


def _profile(kind: str, name: str, column: Column) -> Any:
    if column.type == columns.UTF8:
        return categorical_profile(column.objects(), kind=kind, name=name)
    values = np.array(column.values, dtype=np.float64)
    if column.valid is not None:
        values[~column.valid] = np.nan
    texts = [None] * len(values) if column.texts is None else column.texts.objects()
    return mixed_profile(values, texts, kind=kind, name=name)
