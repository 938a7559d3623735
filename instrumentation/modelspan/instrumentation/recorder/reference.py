"""A reference data set to the event that carries its profile."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from opentelemetry._logs import Logger

from modelspan.instrumentation.failure import warn_once
from modelspan.instrumentation.recorder import columns
from modelspan.instrumentation.recorder import snapshot as snap
from modelspan.instrumentation.recorder.columns import Column
from modelspan.instrumentation.recorder.events import announce, emit, who
from modelspan.instrumentation.recorder.feature_names import note_columns
from modelspan.instrumentation.recorder.features import Features, features
from modelspan.instrumentation.recorder.identity import Identity, identities
from modelspan.instrumentation.recorder.outputs import PREDICT, outputs
from modelspan.instrumentation.recorder.recorder import Recorder
from modelspan.instrumentation.recorder.redaction import FeaturePolicy
from modelspan.instrumentation.recorder.reference_check import few_rows, wrong_columns, wrong_predictions
from modelspan.instrumentation.recorder.snapshot import Snapshot
from modelspan.profile import Profile, categorical_profile, mixed_profile, to_json
from modelspan.semconv import attributes as ml
from modelspan.semconv import columns as names
from modelspan.semconv import events
from modelspan.semconv.attributes import MlOperationNameValues, MlReferenceSourceValues

MAX_ROWS = 100_000
"""Rows of a reference; of more, a random sample that is the same each time."""

_KINDS = ((names.SCORE, "score"), (names.VALUE, "value"), (names.LABEL, "label"))

Predictions = Mapping[str, Snapshot]
"""Held-out predictions by operation."""


def submit_reference(recorder: Recorder, model: Any, x: Any, predictions: Any, name: str | None) -> bool:
    """Copy a bounded sample of the data, and have its profile made and emitted in the background. `model` is the model or its name."""
    copied = _sample(x)
    given = predictions if isinstance(predictions, Mapping) else {_operation(predictions): predictions}
    held_out = {operation: _sample(values) for operation, values in given.items() if values is not None}
    called = model if isinstance(model, str) else None
    if called is not None:
        model = identities.named(called)
    problem = _problem(model, x, copied, given, held_out)
    if problem is not None:
        warn_once(f"reference:{problem}", f"set_reference sets no reference: {problem}.")
        return False
    few = min([copied, *held_out.values()], key=lambda part: part.rows).rows
    warning = few_rows(few)
    if warning is not None:
        warn_once(f"few:{few}", f"set_reference: {warning}")
    if model is None:
        identity = Identity(called, "", {})
        identity.digest = ""
    else:
        note_columns(model, x)
        identity = identities.get(model)
        if warning is None:
            identity.training = None
    size = copied.size + sum(part.size for part in held_out.values())
    return recorder.submit(lambda: _emit(recorder, identity, model, copied, held_out, name), size)


def _problem(model: Any, x: Any, copied: Snapshot, predictions: Mapping[Any, Any], held_out: Predictions) -> str | None:
    """Why no reference can be made of what was given, as a sentence; None where one can."""
    if copied.rows < 1 or copied.kind == snap.OPAQUE:
        return f"no rows can be read from {type(x).__name__}"
    problem = None if model is None else wrong_columns(model, x)
    for operation, part in held_out.items():
        if part.rows < 1 or part.kind == snap.OPAQUE:
            problem = problem or f"no predictions can be read from {type(predictions[operation]).__name__}"
        problem = problem or wrong_predictions(model, operation, predictions[operation])
    return problem


def _sample(values: Any) -> Snapshot:
    if hasattr(values, "__array__") and not hasattr(values, "shape"):
        values = np.asarray(values)
    rows = snap.measure(values)[0]
    if rows > MAX_ROWS:
        values = snap.pick(values, np.sort(np.random.default_rng(0).choice(rows, MAX_ROWS, replace=False)))
    return snap.copy(values)


def _operation(predictions: Any) -> str:
    """Two dimensions are class probabilities, one is what `predict` returns."""
    many = len(getattr(predictions, "shape", ())) == 2
    return MlOperationNameValues.PREDICT_PROBA.value if many else PREDICT


def _emit(
    recorder: Recorder, identity: Identity, model: Any, x: Snapshot, predictions: Predictions, name: str | None
) -> None:
    logger = recorder.logger
    if logger is None:
        return
    if model is not None:
        identity.resolve(model, recorder.config)
        announce(logger, identity, model, recorder.policy.described())
    found = _features(x, model, recorder.policy.afresh())
    if found and all(column.is_empty() for column in found.values()):
        warn_once(
            "missing-reference",
            "set_reference: every value of the reference is missing; no drift can be found with it.",
        )
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
