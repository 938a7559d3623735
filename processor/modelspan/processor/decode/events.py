"""Events about models, other than predictions: what was loaded, what came true, what to compare with."""

from __future__ import annotations

import contextlib
import datetime
from decimal import Decimal
from typing import Any, Final

from modelspan.processor.decode import rejection
from modelspan.processor.decode.rejection import Rejected
from modelspan.processor.decode.row_form import id_text, label_text, number
from modelspan.processor.decode.source import Source, model_of
from modelspan.processor.decode.tables import MAX_TIME, MILLISECOND, Model, Rows
from modelspan.processor.decode.times import of_number
from modelspan.processor.decode.values import Raw, text
from modelspan.profile import CategoricalProfile, InvalidProfile, NumericProfile
from modelspan.profile.wire import from_json
from modelspan.queries import iso8601
from modelspan.semconv import attributes as names

_IDENTITY: Final = frozenset(
    {
        names.ML_MODEL_NAME,
        names.ML_MODEL_VERSION,
        names.ML_MODEL_DIGEST,
        names.ML_MODEL_TYPE,
        names.ML_FRAMEWORK_NAME,
        names.ML_FRAMEWORK_VERSION,
        names.ML_TASK_TYPE,
    }
)


def loaded(origin: Source, values: dict[str, Raw], time: int, rows: Rows) -> None:
    """To `ml_models`. What does not identify the model is its lineage."""
    lineage = {key: text(value) for key, value in sorted(values.items()) if key not in _IDENTITY}
    kind = [
        text(values.get(name))
        for name in (names.ML_MODEL_TYPE, names.ML_FRAMEWORK_NAME, names.ML_FRAMEWORK_VERSION, names.ML_TASK_TYPE)
    ]
    digest = text(values.get(names.ML_MODEL_DIGEST)) or None
    seen = time // MILLISECOND
    rows["ml_models"].append((*model_of(origin, values), *kind, lineage, _training_data(values), digest, seen, seen))


def _training_data(values: dict[str, Raw]) -> list[str]:
    """Digests of the data that the model was fitted on; those of a tracking server have the name of the data set before them."""
    own = text(values.get(names.ML_TRAINING_DATASET_DIGEST))
    tracked = zip(
        _texts(values.get(names.ML_TRAINING_DATASET_NAMES)),
        _texts(values.get(names.ML_TRAINING_DATASET_DIGESTS)),
        strict=False,
    )
    return [*([own] if own else []), *(f"{name}@{digest}" for name, digest in tracked)]


def _texts(value: Raw) -> list[str]:
    return [text(one) for one in value] if isinstance(value, list) else []


def actual(origin: Source, values: dict[str, Raw], time: int, rows: Rows, now: int) -> None:
    """To `ml_actuals`. Raises `Rejected` without a prediction id, or with neither label nor value."""
    label = label_text(values.get(names.ML_ACTUAL_LABEL))
    value = number(values.get(names.ML_ACTUAL_VALUE), names.ML_ACTUAL_VALUE)
    if label is None and value is None:
        raise Rejected(rejection.MISSING_ATTRIBUTE, f"{names.ML_ACTUAL_LABEL} or {names.ML_ACTUAL_VALUE}")
    model, prediction = model_of(origin, values), _prediction(values)
    when = _time_of_prediction(values.get(names.ML_PREDICTION_TIME))
    rows["ml_actuals"].append(
        (time, *model, prediction, when, label, value, text(values.get(names.ML_ACTUAL_SOURCE)), now)
    )


def outcome(origin: Source, values: dict[str, Raw], time: int, rows: Rows, now: int) -> None:
    """To `ml_outcomes`. Raises `Rejected` without a prediction id or a name."""
    value = number(values.get(names.ML_OUTCOME_VALUE), names.ML_OUTCOME_VALUE)
    prediction, name = _prediction(values), _required(values, names.ML_OUTCOME_NAME)
    unit = text(values.get(names.ML_OUTCOME_UNIT))
    rows["ml_outcomes"].append((time, *model_of(origin, values), prediction, name, value, unit, now))


def reference(origin: Source, values: dict[str, Raw], rows: Rows, now: int) -> Model:
    """To `ml_references`, one row for each series; the model that it is for. Raises `Rejected`."""
    data = values.get(names.ML_REFERENCE_PROFILE_DATA)
    if not isinstance(data, (bytes, str)):
        raise Rejected(rejection.MISSING_ATTRIBUTE, names.ML_REFERENCE_PROFILE_DATA)
    try:
        profile = from_json(data if isinstance(data, bytes) else data.encode())
    except InvalidProfile as error:
        raise Rejected(rejection.INVALID_PROFILE, str(error)) from error
    model = model_of(origin, values)
    source, digest = text(values.get(names.ML_REFERENCE_SOURCE)), text(values.get(names.ML_MODEL_DIGEST))
    identity = (_required(values, names.ML_REFERENCE_ID), source, *model, digest)
    rows["ml_references"].extend([(*identity, *_series(series), 0, now) for series in profile.series])
    return model


def withdrawn(origin: Source, values: dict[str, Raw], rows: Rows, now: int) -> Model:
    """To `ml_withdrawn_references`; the model whose reference it was, any version. Raises `Rejected`."""
    model = model_of(origin, values)
    rows["ml_withdrawn_references"].append(
        (model.model_name, _required(values, names.ML_REFERENCE_ID), model.service_name, now)
    )
    return model._replace(model_version="")


def _series(series: NumericProfile | CategoricalProfile) -> tuple[Any, ...]:
    if isinstance(series, NumericProfile):
        shape: tuple[Any, ...] = ("numeric", series.rows, series.missing, series.text, series.cuts.tolist(), [])
        moments = (series.mean, series.stddev, series.min, series.max)
    else:
        shape = ("categorical", series.rows, series.missing, 0.0, [], list(series.categories))
        moments = (None, None, None, None)
    return (series.kind, series.name, *shape, series.counts.tolist(), *moments)


def _prediction(values: dict[str, Raw]) -> str:
    found = id_text(values.get(names.ML_PREDICTION_ID))
    if not found:
        raise Rejected(rejection.MISSING_ATTRIBUTE, names.ML_PREDICTION_ID)
    return found


def _required(values: dict[str, Raw], name: str) -> str:
    value = text(values.get(name))
    if not value:
        raise Rejected(rejection.MISSING_ATTRIBUTE, name)
    return value


def _time_of_prediction(value: Raw) -> int | None:
    """ISO 8601, in UTC where there is no offset, or a number in any unit, to nanoseconds."""
    if value is None:
        return None
    with contextlib.suppress(ArithmeticError):  # no number, or one beyond all bounds
        counted = of_number(Decimal(text(value)))
        if counted is not None:
            return counted
    try:
        moment = iso8601.read(text(value))
    except ValueError as error:
        raise Rejected(rejection.ATTRIBUTE_TYPE, names.ML_PREDICTION_TIME) from error
    epoch = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
    nanoseconds = (moment - epoch) // datetime.timedelta(microseconds=1) * 1000
    if not 0 <= nanoseconds <= MAX_TIME:
        raise Rejected(rejection.TIME_RANGE, text(value))
    return nanoseconds
