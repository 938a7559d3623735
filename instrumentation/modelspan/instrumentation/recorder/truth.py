"""What became known after a prediction: the actual label or value, and the outcome for the business."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from modelspan.instrumentation.failure import warn_once
from modelspan.instrumentation.recorder.elements import elements
from modelspan.instrumentation.recorder.events import emit
from modelspan.instrumentation.recorder.identity import identities
from modelspan.instrumentation.recorder.ids import id_texts
from modelspan.instrumentation.recorder.recorder import Recorder
from modelspan.instrumentation.recorder.times import UNKNOWN, each_in_nanoseconds
from modelspan.instrumentation.recorder.values import is_missing, label_text
from modelspan.semconv import attributes as ml
from modelspan.semconv import events

Attributes = dict[str, Any]


def submit_actuals(
    recorder: Recorder, model: Any, prediction_id: Any, label: Any, value: Any, time: Any, source: str | None
) -> bool:
    """Have one `ml.prediction.actual` event emitted for each id of which a label or value is known. False if an id is missing.
    Raises ValueError if lengths differ.
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
    ids = id_texts(prediction_id)
    labels, values = _per_id(label, len(ids), "label"), _per_id(value, len(ids), "value")
    times = _stamps(time, len(ids))
    known = [i for i in _identified(ids) if not (is_missing(labels[i]) and is_missing(values[i]))]
    rows, at = [attributes(i) for i in known], [times[i] for i in known]
    return _submit(recorder, model, events.ML_PREDICTION_ACTUAL, rows, at) and None not in ids


def submit_outcomes(
    recorder: Recorder, model: Any, prediction_id: Any, name: str, value: Any, unit: str | None, time: Any
) -> bool:
    """Have one `ml.prediction.outcome` event emitted for each id. False if an id is missing. Raises ValueError if lengths differ, or
    without a name.
    """
    if not name:
        raise ValueError("an outcome has a name: give one")
    ids = id_texts(prediction_id)
    values, times = _per_id(value, len(ids), "value"), _stamps(time, len(ids))
    known = _identified(ids)
    rows = [
        {
            ml.ML_PREDICTION_ID: ids[i],
            ml.ML_OUTCOME_NAME: name,
            ml.ML_OUTCOME_VALUE: _number(values[i]),
            ml.ML_OUTCOME_UNIT: unit,
        }
        for i in known
    ]
    return _submit(recorder, model, events.ML_PREDICTION_OUTCOME, rows, [times[i] for i in known]) and None not in ids


def _identified(ids: Sequence[str | None]) -> list[int]:
    """Positions of the ids that are there; how many are missing is said once."""
    known = [i for i, one in enumerate(ids) if one is not None]
    if len(known) < len(ids):
        warn_once(
            "no-id", f"{len(ids) - len(known)} of {len(ids)} prediction ids are missing: their rows are not recorded."
        )
    return known


def _submit(
    recorder: Recorder, model: Any, event: str, rows: Sequence[Attributes], stamps: Sequence[int | None]
) -> bool:
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


def _stamps(time: Any, count: int) -> Sequence[int | None]:
    """When each became known; None for now."""
    found = UNKNOWN if time is None else each_in_nanoseconds(time)
    if np.min(found, initial=0) < 0:  # OTLP has no such time, and the SDK would lose the whole export
        raise ValueError(f"{time} is before 1970")
    return [int(one) or None for one in _per_id(found, count, "time")]


def _identifier(recorder: Recorder, model: Any) -> Callable[[], Attributes]:
    if isinstance(model, str):
        return lambda: {ml.ML_MODEL_NAME: model}
    identity = identities.get(model)

    def identify() -> Attributes:
        identity.resolve(model, recorder.config)
        return {ml.ML_MODEL_NAME: identity.name, ml.ML_MODEL_VERSION: identity.version}

    return identify


def _number(value: Any) -> float | None:
    return None if is_missing(value) else float(value)


def _per_id(given: Any, count: int, what: str) -> list[Any]:
    """One value for each of so many ids: one for all, or as many as there are ids."""
    found = elements(given)
    if found is None or len(found) == 1:
        return (found or [given]) * count
    if len(found) != count:
        raise ValueError(f"{len(found)} of {what} for {count} prediction ids: give one for each, or one for all")
    return found
