"""Predictions that arrive as the attributes of a span or of an `ml.prediction.details` event (`docs/wire.md` section 2)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import numpy as np
import orjson
import pyarrow as pa
from opentelemetry.semconv.attributes import error_attributes

from modelspan.processor.decode import rejection
from modelspan.processor.decode.maps import Entries
from modelspan.processor.decode.predictions import Part, Predictions
from modelspan.processor.decode.rejection import Rejected
from modelspan.processor.decode.tables import MAX_TIME, Model
from modelspan.processor.decode.values import Raw, text
from modelspan.semconv import attributes as names

MAX_ROWS: Final = 100_000
"""Rows of one span or event."""

_SEGMENT: Final = names.ML_SEGMENT + "."
_LABEL, _SCORE, _VALUE = "label", "score", "value"
"""Keys of `ml.output.predictions`."""


class Occasion(NamedTuple):
    """What a span or log record says by itself."""

    time: int
    duration: int
    trace_id: str
    span_id: str
    default_id: str
    """Prediction id where the attributes have none."""


class RowForm:
    """Collects the predictions of a block that came in row form."""

    def __init__(self, predictions: Predictions) -> None:
        self._predictions = predictions
        self._models: list[int] = []
        self._columns: dict[str, list[Any]] = {name: [] for name in _TYPES}
        self._maps = {name: _Maps(predictions) for name in _MAP_TYPES}

    def __len__(self) -> int:
        return len(self._models)

    def add(self, model: Model, values: dict[str, Raw], occasion: Occasion) -> None:
        """Take the rows of one span or event. Raises `Rejected`, and takes nothing then."""
        if not 0 < occasion.time < MAX_TIME:
            raise Rejected(rejection.TIME_RANGE, str(occasion.time))
        rows = list(_rows(values))
        shared = _shared(values, occasion)
        segment = {key[len(_SEGMENT) :]: text(value) for key, value in values.items() if key.startswith(_SEGMENT)}
        prediction_id = text(values.get(names.ML_PREDICTION_ID)) or occasion.default_id
        several = _is_several(values)
        code = self._predictions.code(model)
        for i, row in enumerate(rows):
            self._models.append(code)
            for name, value in shared.items():
                self._columns[name].append(value)
            self._columns["prediction_id"].append(f"{prediction_id}-{i}" if several else prediction_id)
            self._columns["label"].append(row.label)
            self._columns["score"].append(row.score)
            self._columns["value"].append(row.value)
            self._maps["segment"].add(segment)
            self._maps["features_numeric"].add(row.numeric)
            self._maps["features_text"].add(row.text)
            self._maps["outputs_numeric"].add(row.numeric_outputs)
            self._maps["outputs_text"].add(row.text_outputs)
        if rows:
            self._predictions.touch(model, np.array([occasion.time], np.int64))

    def finish(self) -> None:
        """Hand all rows on."""
        if self._models:
            columns = {name: pa.array(self._columns[name], kind) for name, kind in _TYPES.items()}
            maps = {name: self._maps[name].entries(kind) for name, kind in _MAP_TYPES.items()}
            self._predictions.add(Part(np.array(self._models, np.int32), columns, maps))


_TYPES: Final[dict[str, pa.DataType]] = {
    "time": pa.timestamp("ns", "UTC"),
    "operation": pa.string(),
    "prediction_id": pa.string(),
    "trace_id": pa.string(),
    "span_id": pa.string(),
    "duration": pa.uint64(),
    "variant": pa.string(),
    "label": pa.string(),
    "score": pa.float64(),
    "value": pa.float64(),
    "weight": pa.float64(),
    "keep_reason": pa.string(),
    "error_type": pa.string(),
}
_MAP_TYPES: Final[dict[str, pa.DataType]] = {
    "segment": pa.string(),
    "features_numeric": pa.float64(),
    "features_text": pa.string(),
    "outputs_numeric": pa.float64(),
    "outputs_text": pa.string(),
}


class _Maps:
    """One map column."""

    def __init__(self, predictions: Predictions) -> None:
        self._names = predictions.names
        self._lengths: list[int] = []
        self._keys: list[str] = []
        self._values: list[Any] = []

    def add(self, row: dict[str, Any]) -> None:
        self._lengths.append(len(row))
        if row:
            keys = sorted(row)
            self._keys += keys
            self._values += [row[key] for key in keys]

    def entries(self, kind: pa.DataType) -> Entries:
        return Entries(np.array(self._lengths, np.int32), self._names.codes(self._keys), pa.array(self._values, kind))


class _Row(NamedTuple):
    label: str | None
    score: float | None
    value: float | None
    numeric: dict[str, float]
    text: dict[str, str]
    numeric_outputs: dict[str, float]
    text_outputs: dict[str, str]


def label_text(value: Raw) -> str | None:
    """A label as its string; integral floats as integers. Raises `Rejected` for what cannot be a label."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return text(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        if value != value:
            return None
        return str(int(value)) if value.is_integer() else repr(value)
    raise Rejected(rejection.ATTRIBUTE_TYPE, "label")


def number(value: Raw, name: str) -> float | None:
    """A number; None for a missing one. Raises `Rejected` for anything else."""
    if value is None:
        return None
    if isinstance(value, (int, float)):
        result = float(value)
        return result if result == result else None
    raise Rejected(rejection.ATTRIBUTE_TYPE, name)


def _shared(values: dict[str, Raw], occasion: Occasion) -> dict[str, Any]:
    weight = number(values.get(names.ML_SAMPLING_ADJUSTED_COUNT), names.ML_SAMPLING_ADJUSTED_COUNT)
    if weight is not None and not 0 < weight < float("inf"):
        raise Rejected(rejection.VALUE_RANGE, names.ML_SAMPLING_ADJUSTED_COUNT)
    return {
        "time": occasion.time,
        "operation": text(values.get(names.ML_OPERATION_NAME)),
        "trace_id": occasion.trace_id,
        "span_id": occasion.span_id,
        "duration": occasion.duration,
        "variant": text(values.get(names.ML_PREDICTION_VARIANT)),
        "weight": 1.0 if weight is None else weight,
        "keep_reason": text(values.get(names.ML_SAMPLING_REASON)),
        "error_type": text(values.get(error_attributes.ERROR_TYPE)),
    }


def _features(values: dict[str, Raw]) -> dict[str, Raw]:
    return _mapping(values.get(names.ML_INPUT_FEATURES), names.ML_INPUT_FEATURES)


def _mapping(value: Raw, name: str) -> dict[str, Raw]:
    if value is None or value == "":
        return {}
    if isinstance(value, str):
        try:
            value = orjson.loads(value)
        except orjson.JSONDecodeError as error:
            raise Rejected(rejection.ATTRIBUTE_TYPE, f"{name}: not JSON") from error
    if not isinstance(value, dict):
        raise Rejected(rejection.ATTRIBUTE_TYPE, name)
    return value


def _is_several(values: dict[str, Raw]) -> bool:
    return values.get(names.ML_OUTPUT_PREDICTIONS) is not None or any(
        isinstance(value, list) for value in _features(values).values()
    )


def _rows(values: dict[str, Raw]) -> Iterator[_Row]:
    if not _is_several(values):
        return iter([_row(_features(values), values)])
    return _several(_features(values), _mapping(values.get(names.ML_OUTPUT_PREDICTIONS), names.ML_OUTPUT_PREDICTIONS))


def _row(features: dict[str, Raw], values: dict[str, Raw]) -> _Row:
    numeric, texts = _split(features)
    scores = _scores(values)
    outputs = _mapping(values.get(names.ML_OUTPUT_VALUES), names.ML_OUTPUT_VALUES)
    labels = _mapping(values.get(names.ML_OUTPUT_LABELS), names.ML_OUTPUT_LABELS)
    return _Row(
        label_text(values.get(names.ML_OUTPUT_LABEL)),
        number(values.get(names.ML_OUTPUT_SCORE), names.ML_OUTPUT_SCORE),
        number(values.get(names.ML_OUTPUT_VALUE), names.ML_OUTPUT_VALUE),
        numeric,
        texts,
        {k: n for k, v in {**scores, **outputs}.items() if (n := number(v, k)) is not None},
        {k: label for k, v in labels.items() if (label := label_text(v)) is not None},
    )


def _scores(values: dict[str, Raw]) -> dict[str, Raw]:
    scores = values.get(names.ML_OUTPUT_SCORES)
    if not isinstance(scores, list):
        return _mapping(scores, names.ML_OUTPUT_SCORES)
    classes = values.get(names.ML_MODEL_CLASSES)
    if not isinstance(classes, list) or len(classes) != len(scores):
        raise Rejected(rejection.MISSING_ATTRIBUTE, names.ML_MODEL_CLASSES)
    return {label_text(name) or "": score for name, score in zip(classes, scores, strict=True)}


def _several(features: dict[str, Raw], outputs: dict[str, Raw]) -> Iterator[_Row]:
    columns = [*features.values(), *outputs.values()]
    if not all(isinstance(column, list) for column in columns):
        raise Rejected(rejection.ATTRIBUTE_TYPE, "several rows need an array for every feature and output")
    lengths = {len(column) for column in columns if isinstance(column, list)}
    if len(lengths) > 1 or max(lengths, default=0) > MAX_ROWS:
        raise Rejected(rejection.ROW_COUNT, f"arrays of {sorted(lengths)} values")
    for i in range(max(lengths, default=0)):
        numeric, texts = _split({name: column[i] for name, column in features.items()})  # type: ignore[index]  # lists, checked above
        output = {name: column[i] for name, column in outputs.items()}  # type: ignore[index]  # lists, checked above
        label, score, value = output.get(_LABEL), output.get(_SCORE), output.get(_VALUE)
        yield _Row(label_text(label), number(score, _SCORE), number(value, _VALUE), numeric, texts, {}, {})


def _split(features: dict[str, Raw]) -> tuple[dict[str, float], dict[str, str]]:
    numeric: dict[str, float] = {}
    texts: dict[str, str] = {}
    for name, value in features.items():
        if isinstance(value, float):
            if value == value:
                numeric[name] = value
        elif isinstance(value, str):
            texts[name] = value
        elif isinstance(value, int):
            numeric[name] = float(value)
        elif value is not None:
            raise Rejected(rejection.ATTRIBUTE_TYPE, f"feature {name!r}")
    return numeric, texts
