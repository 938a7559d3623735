"""Actuals and outcomes in batches, to rows of `ml_actuals` and `ml_outcomes`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types

from modelspan.processor.decode import rejection
from modelspan.processor.decode.arrow_stream import read, refuse_expansion, validated
from modelspan.processor.decode.layout import is_number, is_text, is_view
from modelspan.processor.decode.rejection import Rejected
from modelspan.processor.decode.tables import SCHEMAS, Model
from modelspan.processor.decode.times import in_nanoseconds
from modelspan.processor.decode.values import Raw, text
from modelspan.semconv import attributes, columns

ACTUALS: Final = "ml_actuals"
OUTCOMES: Final = "ml_outcomes"


def _is_text(kind: pa.DataType) -> bool:
    return is_text(kind) and not (types.is_dictionary(kind) and is_view(kind))


_TYPES: Final[dict[str, Callable[[pa.DataType], bool]]] = {
    columns.TIME: types.is_timestamp,
    columns.PREDICTION_ID: _is_text,
    columns.PREDICTION_TIME: types.is_timestamp,
    columns.LABEL: _is_text,
    columns.VALUE: is_number,
}
_REQUIRED: Final = (columns.TIME, columns.PREDICTION_ID)


class Truth:
    """Collects the actuals and outcomes of a block."""

    def __init__(self, rejected: Counter[str], now: int) -> None:
        """`now`: milliseconds since 1970."""
        self._rejected = rejected
        self._now = now
        self._tables: dict[str, list[pa.Table]] = {}

    def actuals(self, model: Model, values: dict[str, Raw], rows: int | None, payload: bytes) -> int:
        """Take one payload of actuals; `rows` is what its event says. The number of its rows. Raises `Rejected`."""
        found = _read(payload, rows, self._rejected)
        if not (columns.LABEL in found.column_names or columns.VALUE in found.column_names):
            raise Rejected(rejection.MISSING_COLUMN, f"{columns.LABEL} or {columns.VALUE}")
        self._add(ACTUALS, model, self._timed(found, model), {"source": text(values.get(attributes.ML_ACTUAL_SOURCE))})
        return int(found.num_rows)

    def outcomes(self, model: Model, values: dict[str, Raw], rows: int | None, payload: bytes) -> int:
        """Take one payload of outcomes, as `actuals` does."""
        name = text(values.get(attributes.ML_OUTCOME_NAME))
        if not name:
            raise Rejected(rejection.MISSING_ATTRIBUTE, attributes.ML_OUTCOME_NAME)
        found = _read(payload, rows, self._rejected)
        self._add(
            OUTCOMES,
            model,
            self._timed(found, model),
            {"name": name, "unit": text(values.get(attributes.ML_OUTCOME_UNIT))},
        )
        return int(found.num_rows)

    def joined(self, tables: dict[str, pa.Table]) -> dict[str, pa.Table]:
        """The tables of a block, with these rows."""
        for table, parts in self._tables.items():
            tables[table] = pa.concat_tables([tables[table], *parts] if table in tables else parts)
        return tables

    def _timed(self, found: pa.Table, model: Model) -> pa.Table:
        """With times in nanoseconds."""
        for name in (columns.TIME, columns.PREDICTION_TIME):
            if name in found.column_names:
                given = found.column(name).cast(pa.int64()).fill_null(0).to_numpy()
                read, suspects = in_nanoseconds(given)
                if suspects:
                    times = pa.array(read, pa.int64(), mask=read == 0).cast(found.column(name).type)
                    found = _with(found, name, times)
                    whose = f"rows about predictions of {model.model_name!r}"
                    rejection.read_by_magnitude(self._rejected, whose, suspects)
        return found

    def _add(self, table: str, model: Model, found: pa.Table, shared: Mapping[str, str]) -> None:
        known: dict[str, Any] = {**model._asdict(), **shared, "inserted_at": self._now}
        schema = SCHEMAS[table]
        filled = [
            found.column(field.name).cast(field.type, safe=False)
            if field.name in found.column_names
            else pa.repeat(pa.scalar(known.get(field.name), field.type), found.num_rows)
            for field in schema
        ]
        self._tables.setdefault(table, []).append(pa.table(filled, schema=schema))


def _read(payload: bytes, rows: int | None, rejected: Counter[str]) -> pa.Table:
    """The columns that are known, checked. Those that cannot be read are left out, if what came true is in another one."""
    stream = read(payload)
    places = [i for i, field in enumerate(stream.schema) if field.name in _TYPES and not types.is_null(field.type)]
    known = [stream.schema.field(i) for i in places]
    for name in _REQUIRED:
        if name not in {field.name for field in known}:
            raise Rejected(rejection.MISSING_COLUMN, name)
    if len({field.name for field in known}) < len(known):
        raise Rejected(rejection.DUPLICATE_COLUMN)
    unreadable = [field for field in known if not _TYPES[field.name](field.type)]
    known = [field for field in known if field not in unreadable]
    left = {field.name for field in known}
    said = ", ".join(f"{field.name}: {field.type}" for field in unreadable)
    if unreadable and not (left.issuperset(_REQUIRED) and left & {columns.LABEL, columns.VALUE}):
        raise Rejected(rejection.COLUMN_TYPE, said)
    places = [stream.schema.get_field_index(field.name) for field in known]
    batches = [validated(batch, places) for batch in stream.batches]
    for batch in batches:
        for column in batch.columns:
            if types.is_dictionary(column.type) or is_view(column.type):
                refuse_expansion(column)
    table = pa.Table.from_batches(batches, pa.schema(known))
    if rows is not None and rows != table.num_rows:
        raise Rejected(rejection.ROW_COUNT, f"{table.num_rows} rows instead of {rows}")
    checked = _checked(table)
    if unreadable:
        rejection.left_out(rejected, rejection.COLUMN_TYPE, f"columns {said}", len(unreadable))
    return checked


def _checked(table: pa.Table) -> pa.Table:
    for name in _REQUIRED:
        if table.column(name).null_count:
            raise Rejected(rejection.MISSING_VALUE, name)
    for name in (columns.TIME, columns.PREDICTION_TIME):
        if name in table.column_names:
            table = _with(table, name, _in_nanoseconds(table.column(name)))
    for name in (columns.PREDICTION_ID, columns.LABEL):
        if name in table.column_names:
            table = _with(table, name, table.column(name).cast(pa.string()))
    if pc.any(pc.equal(table.column(columns.PREDICTION_ID), "")).as_py():
        raise Rejected(rejection.MISSING_VALUE, columns.PREDICTION_ID)
    if columns.VALUE in table.column_names:
        value = table.column(columns.VALUE).cast(pa.float64(), safe=False)
        table = _with(table, columns.VALUE, pc.if_else(pc.is_nan(value), pa.scalar(None, pa.float64()), value))
    return table


def _in_nanoseconds(column: pa.ChunkedArray) -> pa.ChunkedArray:
    try:
        times = column.cast(pa.timestamp("ns", "UTC"))
    except pa.ArrowInvalid as error:
        raise Rejected(rejection.TIME_RANGE, str(error)) from error
    earliest = pc.min(times.cast(pa.int64())).as_py()
    if earliest is not None and earliest <= 0:
        raise Rejected(rejection.TIME_RANGE, "a time is 0, which says unknown, or before 1970")
    return times


def _with(table: pa.Table, name: str, column: Any) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, column)
