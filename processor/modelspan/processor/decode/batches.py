"""Batch events to rows of `ml_predictions`: the hot path. Batches with the same columns are joined before anything is computed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from modelspan.processor.decode import rejection
from modelspan.processor.decode.arrow_stream import read, text_bytes, validated
from modelspan.processor.decode.layout import Layout, Named, layout_of
from modelspan.processor.decode.maps import Entries, concatenated, numeric_entries, text_entries
from modelspan.processor.decode.predictions import Part, Predictions
from modelspan.processor.decode.rejection import Rejected
from modelspan.processor.decode.tables import Model
from modelspan.semconv import columns as names

MAX_TEXT: Final = 64 * 1024 * 1024
"""Bytes of one dictionary-encoded column after decoding: a long value can be repeated by each of its rows."""

_NANOSECONDS: Final = pa.timestamp("ns", "UTC")


@dataclass
class _Group:
    """Batches with the same columns."""

    layout: Layout
    batches: list[pa.RecordBatch] = field(default_factory=list)
    models: list[int] = field(default_factory=list)
    operations: list[str] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)


class Batches:
    """Collects the batch events of a block."""

    def __init__(self, predictions: Predictions) -> None:
        self._predictions = predictions
        self._groups: dict[bytes, _Group] = {}

    def add(self, model: Model, operation: str, rows: int | None, payload: bytes) -> int:
        """Take one payload; `rows` is what its event says. The number of its rows. Raises `Rejected`, and takes nothing then."""
        stream = read(payload)
        group = self._groups.get(stream.layout) or _Group(layout_of(stream.schema))
        batches = [validated(batch, group.layout.used) for batch in stream.batches]
        count: int = sum(batch.num_rows for batch in batches)
        if rows is not None and rows != count:
            raise Rejected(rejection.ROW_COUNT, f"{count} rows instead of {rows}")
        times = [_checked(batch, group.layout) for batch in batches]
        self._groups[stream.layout] = group
        for batch, time in zip(batches, times, strict=True):
            self._predictions.touch(model, time)
            group.batches.append(batch)
            group.models.append(self._predictions.code(model))
            group.operations.append(operation)
            group.rows.append(batch.num_rows)
        return count

    def finish(self) -> None:
        """Hand all rows on."""
        for group in self._groups.values():
            if sum(group.rows):
                self._predictions.add(_part(group, self._predictions))


def _checked(batch: pa.RecordBatch, layout: Layout) -> npt.NDArray[np.int64]:
    """Times of the rows in nanoseconds. Raises `Rejected` for values that no row may have."""
    for name in (names.TIME, names.PREDICTION_ID):
        if batch.column(layout.single[name]).null_count:
            raise Rejected(rejection.MISSING_VALUE, name)
    for place in layout.dictionaries:
        _refuse_expansion(batch.column(place))
    if names.WEIGHT in layout.single:
        _refuse_weights(batch.column(layout.single[names.WEIGHT]))
    try:
        time = batch.column(layout.single[names.TIME]).cast(_NANOSECONDS).cast(pa.int64()).to_numpy()
    except pa.ArrowInvalid as error:
        raise Rejected(rejection.TIME_RANGE, str(error)) from error
    if len(time) and time.min() <= 0:
        raise Rejected(rejection.TIME_RANGE, "a time is 0, which says unknown, or before 1970")
    return np.asarray(time, np.int64)


def _refuse_expansion(column: pa.DictionaryArray) -> None:
    total = text_bytes(column)
    if total > MAX_TEXT:
        raise Rejected(rejection.TOO_LARGE, f"{total} bytes of text")


def _refuse_weights(column: pa.Array) -> None:
    weights = column.drop_null().cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    if not (np.isfinite(weights) & (weights > 0)).all():
        raise Rejected(rejection.VALUE_RANGE, names.WEIGHT)


def _part(group: _Group, predictions: Predictions) -> Part:
    table = pa.Table.from_batches(group.batches)
    rows = table.num_rows
    layout = group.layout

    def single(
        name: str, absent: pa.Scalar, prepare: Callable[[pa.Array], pa.Array] = lambda column: column
    ) -> pa.Array:
        if name not in layout.single:
            return pa.repeat(absent, rows)
        return prepare(_one(table.column(layout.single[name]).cast(absent.type, safe=False)))

    def filled(name: str) -> pa.Array:
        return single(name, pa.scalar(""), lambda column: column.fill_null("") if column.null_count else column)

    def numeric(chosen: Named) -> Entries:
        keys = predictions.names.codes([key for key, _ in chosen])
        return numeric_entries([table.column(place) for _, place in chosen], keys, rows)

    def text(chosen: Named) -> Entries:
        keys = predictions.names.codes([key for key, _ in chosen])
        return text_entries([table.column(place).cast(pa.string()) for _, place in chosen], keys, rows)

    return Part(
        np.repeat(np.array(group.models, np.int32), group.rows),
        {
            "time": single(names.TIME, pa.scalar(0, _NANOSECONDS)),
            "operation": pa.array(group.operations).take(pa.array(np.repeat(np.arange(len(group.rows)), group.rows))),
            "prediction_id": filled(names.PREDICTION_ID),
            "trace_id": filled(names.TRACE_ID),
            "span_id": filled(names.SPAN_ID),
            "duration": single(names.DURATION, pa.scalar(0, pa.int64()), _durations).cast(pa.uint64()),
            "variant": filled(names.VARIANT),
            "label": single(names.LABEL, pa.scalar(None, pa.string())),
            "score": single(names.SCORE, pa.scalar(None, pa.float64()), _without_nan),
            "value": single(names.VALUE, pa.scalar(None, pa.float64()), _without_nan),
            "weight": single(names.WEIGHT, pa.scalar(1.0), lambda column: column.fill_null(1.0)),
            "keep_reason": filled(names.KEEP_REASON),
            "error_type": filled(names.ERROR_TYPE),
        },
        {
            "segment": text(layout.segments),
            "features_numeric": numeric(layout.numeric_features),
            "features_text": text(layout.text_features),
            "outputs_numeric": numeric(layout.numeric_outputs),
            "outputs_text": text(layout.text_outputs),
        },
    )


def _one(column: pa.ChunkedArray) -> pa.Array:
    return concatenated(column.chunks, column.type)


def _durations(column: pa.Array) -> pa.Array:
    return pc.max_element_wise(column.fill_null(0), pa.scalar(0, pa.int64()))


def _without_nan(column: pa.Array) -> pa.Array:
    return pc.if_else(pc.is_nan(column), pa.scalar(None, pa.float64()), column)
