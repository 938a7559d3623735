"""Spans that are alike and are predictions, as rows of `ml_predictions`: `row_form` for many at once.

Only what nearly all senders send is read here; whatever else there is in a group raises `Unusual`, and its spans go one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.compute as pc
from opentelemetry.semconv.attributes import error_attributes

from modelspan.processor.decode.alike import Alike, Column
from modelspan.processor.decode.maps import Codes, Entries, no_entries, numeric_entries, row_entries, text_entries
from modelspan.processor.decode.predictions import Part, Predictions
from modelspan.processor.decode.rejection import Rejected
from modelspan.processor.decode.row_form import SEGMENT, SEVERAL_OUTPUTS, split
from modelspan.processor.decode.source import MAX_NAME, Source, refuse_long
from modelspan.processor.decode.tables import MAX_TIME, MAX_WEIGHT, MIN_WEIGHT, Model
from modelspan.processor.decode.wire import Unusual
from modelspan.semconv import attributes as names

_ONE_BY_ONE: Final = SEVERAL_OUTPUTS | {names.ML_OUTPUT_PREDICTIONS}


class Circumstances(NamedTuple):
    """What the spans say beside their attributes. All have one value for each span."""

    times: npt.NDArray[np.int64]
    durations: npt.NDArray[np.uint64]
    trace_ids: pa.Array
    span_ids: pa.Array
    sources: Sequence[Source]
    """Of the block; not one for each span."""
    origins: Codes
    """Places in `sources`."""


def are_predictions(spans: Alike) -> bool:
    """Whether the spans are predictions that no batch event carries. Raises `Unusual` when only some are."""
    if names.ML_MODEL_NAME not in spans.attributes or names.ML_OPERATION_NAME not in spans.attributes:
        return False
    batched = spans.attributes.get(names.ML_PREDICTION_BATCHED)
    if not isinstance(batched, np.ndarray) or batched.dtype != np.bool_:
        return True
    if batched.any() and not batched.all():
        raise Unusual("some are in a batch")
    return not batched.all()


def prediction_part(predictions: Predictions, spans: Alike, about: Circumstances) -> Part:
    """The rows of the spans. Raises `Unusual`, and has changed nothing then."""
    if not _ONE_BY_ONE.isdisjoint(spans.attributes):
        raise Unusual("several outputs")
    if about.times.min() <= 0 or about.times.max() >= MAX_TIME:
        raise Unusual("a time that cannot be stored")
    count = len(spans)
    text = {name: _string(spans, name) for name in _STRINGS}
    if pc.any(pc.equal(text[names.ML_MODEL_NAME], "")).as_py():
        raise Unusual("a model without a name")
    columns = {
        "time": pa.array(about.times, pa.timestamp("ns", "UTC")),
        "operation": text[names.ML_OPERATION_NAME],
        "trace_id": about.trace_ids,
        "span_id": about.span_ids,
        "duration": pa.array(about.durations, pa.uint64()),
        "variant": text[names.ML_PREDICTION_VARIANT],
        "weight": _weights(spans),
        "keep_reason": text[names.ML_SAMPLING_REASON],
        "error_type": text[error_attributes.ERROR_TYPE],
        "unreadable": text[names.ML_CAPTURE_UNREADABLE],
        "prediction_id": _ids(text[names.ML_PREDICTION_ID], about),
        "label": _label(spans),
        "score": _numbers(spans, names.ML_OUTPUT_SCORE),
        "value": _numbers(spans, names.ML_OUTPUT_VALUE),
    }
    segment = _segment(spans, predictions)
    numeric, texts = _features(spans, predictions)
    maps = {
        "segment": segment,
        "features_numeric": numeric,
        "features_text": texts,
        "outputs_numeric": no_entries(count, pa.float64()),
        "outputs_text": no_entries(count, pa.string()),
    }
    models = _models(predictions, text[names.ML_MODEL_NAME], text[names.ML_MODEL_VERSION], about)
    return Part(models, columns, maps)


_STRINGS: Final = (
    names.ML_MODEL_NAME,
    names.ML_MODEL_VERSION,
    names.ML_OPERATION_NAME,
    names.ML_PREDICTION_ID,
    names.ML_PREDICTION_VARIANT,
    names.ML_SAMPLING_REASON,
    names.ML_CAPTURE_UNREADABLE,
    error_attributes.ERROR_TYPE,
)


def _string(spans: Alike, name: str) -> pa.Array:
    column = spans.attributes.get(name)
    if column is None:
        return pa.repeat("", len(spans))
    if not isinstance(column, pa.Array):
        raise Unusual(name)
    return column


def _label(spans: Alike) -> pa.Array:
    return (
        _string(spans, names.ML_OUTPUT_LABEL)
        if spans.attributes.get(names.ML_OUTPUT_LABEL) is not None
        else (pa.nulls(len(spans), pa.string()))
    )


def _numbers(spans: Alike, name: str) -> pa.Array:
    column = spans.attributes.get(name)
    if column is None:
        return pa.nulls(len(spans), pa.float64())
    if not isinstance(column, np.ndarray):
        raise Unusual(name)
    values = column.astype(np.float64)
    return pa.array(values, mask=np.isnan(values))


def _weights(spans: Alike) -> pa.Array:
    weights = _numbers(spans, names.ML_SAMPLING_ADJUSTED_COUNT).fill_null(1.0).to_numpy()
    if not ((weights >= MIN_WEIGHT) & (weights <= MAX_WEIGHT)).all():
        raise Unusual(names.ML_SAMPLING_ADJUSTED_COUNT)
    return pa.array(weights)


def _ids(given: pa.Array, about: Circumstances) -> pa.Array:
    missing = pc.equal(given, "")
    if not pc.any(missing).as_py():
        return given
    return pc.if_else(missing, pc.binary_join_element_wise(about.trace_ids, about.span_ids, "-"), given)


def _segment(spans: Alike, predictions: Predictions) -> Entries:
    keys = sorted(key for key in spans.attributes if key.startswith(SEGMENT))
    columns = [pa.chunked_array([_string(spans, key)]) for key in keys]
    return text_entries(columns, predictions.names.codes([key[len(SEGMENT) :] for key in keys]), len(spans))


def _features(spans: Alike, predictions: Predictions) -> tuple[Entries, Entries]:
    """Numeric and text features."""
    features = spans.attributes.get(names.ML_INPUT_FEATURES)
    if isinstance(features, pa.Array):
        return _parsed_features(features.to_pylist(), predictions)
    if features is not None and not isinstance(features, dict):
        raise Unusual(names.ML_INPUT_FEATURES)
    columns: dict[str, Column] = dict(features or {})
    if any(len(name.encode()) > MAX_NAME for name in columns):
        raise Unusual("a long name")

    def of(kind: type) -> tuple[list[pa.ChunkedArray], Codes, int]:
        keys = sorted(key for key, column in columns.items() if isinstance(column, kind))
        return [pa.chunked_array([columns[key]]) for key in keys], predictions.names.codes(keys), len(spans)

    return numeric_entries(*of(np.ndarray)), text_entries(*of(pa.Array))


def _parsed_features(rows: Sequence[str], predictions: Predictions) -> tuple[Entries, Entries]:
    try:
        features = [orjson.loads(row) if row else {} for row in rows]
        if set(map(type, features)) != {dict} or any(list in set(map(type, row.values())) for row in features):
            raise Unusual(names.ML_INPUT_FEATURES)
        numeric, texts = zip(*map(split, features), strict=True)
    except (orjson.JSONDecodeError, Rejected) as error:
        raise Unusual(str(error)) from error
    return (
        row_entries(numeric, pa.float64(), predictions.names),
        row_entries(texts, pa.string(), predictions.names),
    )


def _refuse_long(model: Model) -> None:
    try:
        refuse_long(*model)
    except Rejected as error:
        raise Unusual(str(error)) from error


def _models(predictions: Predictions, name: pa.Array, version: pa.Array, about: Circumstances) -> Codes:
    names_, versions = name.dictionary_encode(), version.dictionary_encode()
    shape = len(about.sources), len(names_.dictionary), len(versions.dictionary)
    places = about.origins, names_.indices.to_numpy(), versions.indices.to_numpy()
    distinct, which = np.unique(np.ravel_multi_index(places, shape), return_inverse=True)
    models: list[Model] = []
    for origin, n, v in zip(*np.unravel_index(distinct, shape), strict=True):
        source = about.sources[origin]
        known = names_.dictionary[n].as_py(), versions.dictionary[v].as_py()
        models.append(Model(source.service_name, source.environment, *known))
        _refuse_long(models[-1])
    codes = np.array([predictions.code(model) for model in models], np.int32)
    result = codes[which]
    for code in set(codes.tolist()):
        predictions.touch(predictions.models[code], about.times[result == code])
    return result
