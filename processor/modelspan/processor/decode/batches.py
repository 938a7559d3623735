"""Batch events to rows of `ml_predictions`: the hot path. Batches with the same columns are joined before anything is computed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from modelspan.processor.decode import rejection
from modelspan.processor.decode.arrow_stream import NANOSECONDS_OF, read, refuse_expansion, validated
from modelspan.processor.decode.layout import Layout, Named, layout_of
from modelspan.processor.decode.maps import Entries, concatenated, numeric_entries, text_entries
from modelspan.processor.decode.predictions import Part, Predictions
from modelspan.processor.decode.rejection import Rejected
from modelspan.processor.decode.tables import MAX_TIME, MAX_WEIGHT, MIN_WEIGHT, Model
from modelspan.processor.decode.times import SUSPECT, in_nanoseconds
from modelspan.semconv import columns as names

_NANOSECONDS: Final = pa.timestamp("ns", "UTC")


@dataclass
class _Group:
    """Batches with the same columns."""

    layout: Layout
    batches: list[pa.RecordBatch] = field(default_factory=list)
    models: list[int] = field(default_factory=list)
    operations: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    """Of each batch: why features of it could not be read."""
    rows: list[int] = field(default_factory=list)


class Batches:
    """Collects the batch events of a block."""

    def __init__(self, predictions: Predictions, rejected: Counter[str]) -> None:
        self._predictions = predictions
        self._rejected = rejected
        self._groups: dict[bytes, _Group] = {}

    def add(self, model: Model, operation: str, rows: int | None, payload: bytes, unreadable: str = "") -> int:
        """Take one payload; `rows` is what its event says, `unreadable` why features are missing. The number of its rows. Raises `Rejected`, and takes nothing then."""
        stream = read(payload)
        group = self._groups.get(stream.layout) or _Group(layout_of(stream.schema))
        batches = [validated(batch, group.layout.used) for batch in stream.batches]
        count: int = sum(batch.num_rows for batch in batches)
        if rows is not None and rows != count:
            raise Rejected(rejection.ROW_COUNT, f"{count} rows instead of {rows}")
        faults: Counter[str] = Counter()
        plain = [_plain(batch, group.layout) for batch in batches]
        timed = [_timed(batch, group.layout) for batch in plain]
        batches = [_sound(batch, group.layout, faults) for batch, _ in timed]
        if faults and not sum(batch.num_rows for batch in batches):
            raise Rejected(next(iter(faults)), "in every row")
        times = [_times(batch, group.layout) for batch in batches]
        for reason, number in faults.items():
            rejection.left_out(self._rejected, reason, f"rows of a batch of {model.model_name!r}", number)
        if corrected := sum(number for _, number in timed):
            rejection.read_by_magnitude(self._rejected, f"rows of a batch of {model.model_name!r}", corrected)
        if group.layout.unreadable:
            said = f"columns {', '.join(group.layout.unreadable[:5])} of a batch of {model.model_name!r}"
            rejection.left_out(self._rejected, rejection.COLUMN_TYPE, said, len(group.layout.unreadable))
        self._groups[stream.layout] = group
        for batch, time in zip(batches, times, strict=True):
            self._predictions.touch(model, time)
            group.batches.append(batch)
            group.models.append(self._predictions.code(model))
            group.operations.append(operation)
            group.unreadable.append(unreadable)
            group.rows.append(batch.num_rows)
        return count

    def finish(self) -> None:
        """Hand all rows on."""
        for group in self._groups.values():
            if sum(group.rows):
                self._predictions.add(_part(group, self._predictions))


def _plain(batch: pa.RecordBatch, layout: Layout) -> pa.RecordBatch:
    """The batch with strings that can be filtered and joined, in place of views. Raises `Rejected`."""
    for place in layout.dictionaries:
        refuse_expansion(batch.column(place))
    for place in layout.views:
        column = batch.column(place)
        texts = (
            pa.DictionaryArray.from_arrays(column.indices, column.dictionary.cast(pa.string()))
            if pa.types.is_dictionary(column.type)
            else column.cast(pa.string())
        )
        batch = batch.set_column(place, batch.schema.field(place).with_type(texts.type), texts)
    return batch


def _timed(batch: pa.RecordBatch, layout: Layout) -> tuple[pa.RecordBatch, int]:
    """The batch with its times in the unit of their type, and how many were in another one, or none."""
    place = layout.single[names.TIME]
    column, each = batch.column(place), NANOSECONDS_OF[batch.column(place).type.unit]
    ticks = column.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
    if not len(ticks) or ticks.min() > SUSPECT // each:
        return batch, 0
    given = np.clip(ticks, 0, MAX_TIME // each) * each
    read, suspects = in_nanoseconds(given)
    if not suspects:
        return batch, 0
    times = pa.array(np.where(read != given, read // each, ticks), pa.int64(), mask=column.is_null().to_numpy(False))
    return batch.set_column(place, batch.schema.field(place), times.cast(column.type)), suspects


def _sound(batch: pa.RecordBatch, layout: Layout, faults: Counter[str]) -> pa.RecordBatch:
    """The rows but for those with values that no row may have, which are counted in `faults`."""
    good = np.ones(batch.num_rows, np.bool_)
    for reason, fine in _checks(batch, layout):
        if not fine.all():
            faults[reason] += int((good & ~fine).sum())
            good &= fine
    return batch if good.all() else batch.filter(pa.array(good))


def _checks(batch: pa.RecordBatch, layout: Layout) -> Iterator[tuple[str, npt.NDArray[np.bool_]]]:
    """Reasons, and for each bool [rows]: whether the row is free of it."""
    for name in (names.TIME, names.PREDICTION_ID):
        column = batch.column(layout.single[name])
        if column.null_count:
            yield rejection.MISSING_VALUE, column.is_valid().to_numpy(zero_copy_only=False)
    time = batch.column(layout.single[names.TIME])
    ticks = time.cast(pa.int64()).fill_null(1).to_numpy(zero_copy_only=False)
    # A time of 0 says unknown.
    yield rejection.TIME_RANGE, (ticks > 0) & (ticks <= MAX_TIME // NANOSECONDS_OF[time.type.unit])
    if names.WEIGHT in layout.single:
        weight = batch.column(layout.single[names.WEIGHT]).cast(pa.float64(), safe=False).fill_null(1.0)
        weights = weight.to_numpy(zero_copy_only=False)
        yield rejection.VALUE_RANGE, (weights >= MIN_WEIGHT) & (weights <= MAX_WEIGHT)


def _times(batch: pa.RecordBatch, layout: Layout) -> npt.NDArray[np.int64]:
    """Times of the rows in nanoseconds."""
    return np.asarray(batch.column(layout.single[names.TIME]).cast(_NANOSECONDS).cast(pa.int64()).to_numpy(), np.int64)


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

    def of_batches(values: list[str]) -> pa.Array:
        if len(set(values)) == 1:
            return pa.repeat(values[0], rows)
        return pa.array(values).take(pa.array(np.repeat(np.arange(len(group.rows)), group.rows)))

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
            "operation": of_batches(group.operations),
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
            "unreadable": of_batches(group.unreadable),
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
