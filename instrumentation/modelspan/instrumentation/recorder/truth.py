"""What became known after a prediction: the actual label or value, and the outcome for the business."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from modelspan.instrumentation.recorder.columns import is_missing, label_text
from modelspan.instrumentation.recorder.events import emit
from modelspan.instrumentation.recorder.identity import identities
from modelspan.instrumentation.recorder.recorder import Recorder
from modelspan.instrumentation.recorder.times import nanoseconds
from modelspan.semconv import attributes as ml
from modelspan.semconv import events

Attributes = dict[str, Any]


def submit_actuals(
    recorder: Recorder, model: Any, prediction_id: Any, label: Any, value: Any, time: Any, source: str | None
) -> bool:
    """Have one `ml.prediction.actual` event emitted for each id of which a label or value is known. Raises ValueError if lengths
    differ.
    """

    def attributes(i: int) -> Attributes:
        return {
            ml.ML_PREDICTION_ID: ids[i],
            ml.ML_ACTUAL_LABEL: label_text(labels[i]),
            ml.ML_ACTUAL_VALUE: _number(values[i]),
            ml.ML_ACTUAL_SOURCE: source,
        }

    if label is None and value is None:
        raise ValueError("an actual has a label or a value: give one")
    ids = [str(one) for one in _listed(prediction_id)]
    labels, values = _per_id(label, ids, "label"), _per_id(value, ids, "value")
    times = _per_id(time, ids, "time")
    known = [i for i in range(len(ids)) if not (is_missing(labels[i]) and is_missing(values[i]))]
    rows, at = [attributes(i) for i in known], [times[i] for i in known]
    return _submit(recorder, model, events.ML_PREDICTION_ACTUAL, rows, at)


def submit_outcomes(
    recorder: Recorder, model: Any, prediction_id: Any, name: str, value: Any, unit: str | None, time: Any
) -> bool:
    """Have one `ml.prediction.outcome` event emitted for each id. Raises ValueError if lengths differ, or without a name."""
    if not name:
        raise ValueError("an outcome has a name: give one")
    ids = [str(one) for one in _listed(prediction_id)]
    values = _per_id(value, ids, "value")
    rows = [
        {
            ml.ML_PREDICTION_ID: one,
            ml.ML_OUTCOME_NAME: name,
            ml.ML_OUTCOME_VALUE: _number(values[i]),
            ml.ML_OUTCOME_UNIT: unit,
        }
        for i, one in enumerate(ids)
    ]
    return _submit(recorder, model, events.ML_PREDICTION_OUTCOME, rows, _per_id(time, ids, "time"))


def _submit(recorder: Recorder, model: Any, event: str, rows: Sequence[Attributes], times: Sequence[Any]) -> bool:
    stamps = [None if time is None else _stamp(time) for time in times]
    identify = _identifier(recorder, model)

    def task() -> None:
        logger = recorder.logger
        if logger is None:
            return
        who = identify()
        for row, stamp in zip(rows, stamps, strict=True):
            present = {name: value for name, value in row.items() if value is not None}
            emit(logger, event, {**who, **present}, timestamp=stamp)

    return recorder.submit(task, 500 * len(rows) + 500)


def _stamp(time: Any) -> int:
    found = nanoseconds(time)
    if found < 0:  # OTLP has no such time, and the SDK would lose the whole export
        raise ValueError(f"{time} is before 1970")
    return found


def _identifier(recorder: Recorder, model: Any) -> Callable[[], Attributes]:
    if isinstance(model, str):
        return lambda: {ml.ML_MODEL_NAME: model}
    identity = identities.get(model)

    def identify() -> Attributes:
        identity.resolve(model, recorder.config)
        return {ml.ML_MODEL_NAME: identity.name, ml.ML_MODEL_VERSION: identity.version}

    return identify


def _listed(value: Any) -> list[Any]:
    if hasattr(value, "tolist"):
        value = value.tolist()
    return list(value) if hasattr(value, "__iter__") and not isinstance(value, (str, bytes, Mapping)) else [value]


def _number(value: Any) -> float | None:
    return None if is_missing(value) else float(value)


def _per_id(value: Any, ids: Sequence[str], what: str) -> list[Any]:
    """One value for each id: one for all, or as many as there are ids."""
    found = _listed(value)
    if len(found) == 1:
        return found * len(ids)
    if len(found) != len(ids):
        raise ValueError(f"{len(found)} of {what} for {len(ids)} prediction ids: give one for each, or one for all")
    return found
