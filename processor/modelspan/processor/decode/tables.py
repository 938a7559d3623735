"""The tables of the store as Arrow schemas, in the order in which a block fills them, and rows collected for one of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import pyarrow as pa

MAX_TIME: Final = 2**63 - 1
"""Nanoseconds since 1970 that a DateTime64(9) holds: the year 2262."""

MILLISECOND: Final = 1_000_000
"""In nanoseconds."""

MIN_WEIGHT, MAX_WEIGHT = 1e-9, 1e9
"""Of a row: beyond, sums of squares are no longer numbers that can be computed with."""


class Model(NamedTuple):
    """What a prediction belongs to: the prefix of the sort key of `ml_predictions`."""

    service_name: str
    environment: str
    model_name: str
    model_version: str


_s, _f64, _u8, _u32, _i32, _u64 = pa.string(), pa.float64(), pa.uint8(), pa.uint32(), pa.int32(), pa.uint64()
_ns = pa.timestamp("ns", "UTC")
_map = pa.map_(_s, _s)


def _strings(names: str) -> list[tuple[str, pa.DataType]]:
    return [(name, _s) for name in names.split()]


_MODEL = _strings("service_name environment model_name model_version")

_METRIC: Final = [
    ("ResourceAttributes", _map),
    *_strings("ResourceSchemaUrl ScopeName ScopeVersion"),
    ("ScopeAttributes", _map),
    ("ScopeDroppedAttrCount", _u32),
    *_strings("ScopeSchemaUrl ServiceName MetricName MetricDescription MetricUnit"),
    ("Attributes", _map),
    ("StartTimeUnix", _u32),
    ("TimeUnix", _u32),
    ("Flags", _u32),
]
_EXEMPLARS: Final = [
    ("Exemplars.FilteredAttributes", pa.list_(_map)),
    ("Exemplars.TimeUnix", pa.list_(_u32)),
    ("Exemplars.Value", pa.list_(_f64)),
    ("Exemplars.SpanId", pa.list_(_s)),
    ("Exemplars.TraceId", pa.list_(_s)),
]
_DISTRIBUTION: Final = [("Count", _u64), ("Sum", _f64)]
_RANGE: Final = [("Min", _f64), ("Max", _f64), ("AggregationTemporality", _i32)]

TRACES: Final = "otel_traces"
PREDICTIONS: Final = "ml_predictions"
INGESTED: Final = "ml_ingested"

_COLUMNS: Final[dict[str, list[tuple[str, pa.DataType]]]] = {
    TRACES: [
        ("Timestamp", _ns),
        *_strings("TraceId SpanId ParentSpanId TraceState SpanName SpanKind ServiceName"),
        ("ResourceAttributes", _map),
        *_strings("ScopeName ScopeVersion"),
        ("SpanAttributes", _map),
        ("Duration", _u64),
        *_strings("StatusCode StatusMessage"),
        ("Events.Timestamp", pa.list_(_ns)),
        ("Events.Name", pa.list_(_s)),
        ("Events.Attributes", pa.list_(_map)),
        ("Links.TraceId", pa.list_(_s)),
        ("Links.SpanId", pa.list_(_s)),
        ("Links.TraceState", pa.list_(_s)),
        ("Links.Attributes", pa.list_(_map)),
    ],
    "otel_logs": [
        ("Timestamp", _ns),
        *_strings("TraceId SpanId"),
        ("TraceFlags", _u8),
        ("SeverityText", _s),
        ("SeverityNumber", _u8),
        *_strings("ServiceName Body ResourceSchemaUrl"),
        ("ResourceAttributes", _map),
        *_strings("ScopeSchemaUrl ScopeName ScopeVersion"),
        ("ScopeAttributes", _map),
        ("LogAttributes", _map),
        ("EventName", _s),
    ],
    "otel_metrics_gauge": [*_METRIC, ("Value", _f64), *_EXEMPLARS],
    "otel_metrics_sum": [
        *_METRIC,
        ("Value", _f64),
        *_EXEMPLARS,
        ("AggregationTemporality", _i32),
        ("IsMonotonic", pa.bool_()),
    ],
    "otel_metrics_histogram": [
        *_METRIC,
        *_DISTRIBUTION,
        ("BucketCounts", pa.list_(_u64)),
        ("ExplicitBounds", pa.list_(_f64)),
        *_EXEMPLARS,
        *_RANGE,
    ],
    "otel_metrics_exponential_histogram": [
        *_METRIC,
        *_DISTRIBUTION,
        ("Scale", _i32),
        ("ZeroCount", _u64),
        ("PositiveOffset", _i32),
        ("PositiveBucketCounts", pa.list_(_u64)),
        ("NegativeOffset", _i32),
        ("NegativeBucketCounts", pa.list_(_u64)),
        *_EXEMPLARS,
        *_RANGE,
    ],
    "otel_metrics_summary": [
        *_METRIC,
        *_DISTRIBUTION,
        ("ValueAtQuantiles.Quantile", pa.list_(_f64)),
        ("ValueAtQuantiles.Value", pa.list_(_f64)),
    ],
    "ml_models": [
        *_MODEL,
        *_strings("model_type framework_name framework_version task_type"),
        ("lineage", _map),
        ("training_data", pa.list_(_s)),
        ("model_digest", _s),
        ("first_seen", pa.timestamp("ms", "UTC")),
        ("last_seen", pa.timestamp("ms", "UTC")),
    ],
    "ml_references": [
        *_strings("reference_id source"),
        *_MODEL,
        *_strings("model_digest series_kind series_name series_type"),
        ("rows", _f64),
        ("missing", _f64),
        ("text", _f64),
        ("cuts", pa.list_(_f64)),
        ("categories", pa.list_(_s)),
        ("counts", pa.list_(_f64)),
        ("mean", _f64),
        ("stddev", _f64),
        ("min", _f64),
        ("max", _f64),
        ("valid_from", _ns),
        ("created_at", pa.timestamp("ms", "UTC")),
    ],
    "ml_withdrawn_references": [
        *_strings("model_name reference_id service_name"),
        ("withdrawn_at", pa.timestamp("ms", "UTC")),
    ],
    PREDICTIONS: [
        ("time", _ns),
        *_MODEL,
        *_strings("operation prediction_id trace_id span_id"),
        ("duration", _u64),
        ("segment", _map),
        ("variant", _s),
        ("features_numeric", pa.map_(_s, _f64)),
        ("features_text", _map),
        ("label", _s),
        ("score", _f64),
        ("value", _f64),
        ("outputs_numeric", pa.map_(_s, _f64)),
        ("outputs_text", _map),
        ("weight", _f64),
        *_strings("keep_reason error_type unreadable"),
        ("inserted_at", pa.timestamp("ms", "UTC")),
    ],
    "ml_actuals": [
        ("time", _ns),
        *_MODEL,
        ("prediction_id", _s),
        ("prediction_time", _ns),
        ("label", _s),
        ("value", _f64),
        ("source", _s),
        ("inserted_at", pa.timestamp("ms", "UTC")),
    ],
    "ml_outcomes": [
        ("time", _ns),
        *_MODEL,
        *_strings("prediction_id name"),
        ("value", _f64),
        ("unit", _s),
        ("inserted_at", pa.timestamp("ms", "UTC")),
    ],
    "ml_recorders": [
        *_strings("recorder_id service_name model_name event"),
        ("sequence", _u64),
        ("rows", _u64),
        ("rows_recorded", _u64),
        ("rows_dropped", _u64),
        ("rows_unsampled", _u64),
        ("inserted_at", pa.timestamp("ms", "UTC")),
    ],
    INGESTED: [
        ("key", pa.binary(16)),
        *_strings("kind token"),
        ("inserted_at", pa.timestamp("ms", "UTC")),
    ],
}

ORDER: Final = tuple(_COLUMNS)
"""Tables in the order of their inserts. `ml_ingested` is last: what it says is stored then."""

SCHEMAS: Final = {table: pa.schema(columns) for table, columns in _COLUMNS.items()}


class Rows:
    """Rows of any table, as tuples in the order of the columns, until they become Arrow tables."""

    def __init__(self) -> None:
        self._rows: dict[str, list[tuple[Any, ...]]] = {}

    def __getitem__(self, table: str) -> list[tuple[Any, ...]]:
        return self._rows.setdefault(table, [])

    def arrow(self) -> dict[str, pa.Table]:
        """The tables that have rows."""
        return {table: arrow_table(table, rows) for table, rows in self._rows.items() if rows}


def arrow_table(table: str, rows: Sequence[tuple[Any, ...]]) -> pa.Table:
    """Rows of one table as columns. Maps are given as dicts with sorted keys."""
    columns = [
        column(values, field.type) for values, field in zip(zip(*rows, strict=True), SCHEMAS[table], strict=True)
    ]
    return pa.table(columns, names=SCHEMAS[table].names)


def column(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """One column."""
    if pa.types.is_map(kind):
        return _shared_maps(values)
    if pa.types.is_list(kind) and pa.types.is_map(kind.value_type):
        inner = [one for several in values for one in several]
        return pa.ListArray.from_arrays(_offsets(values), _maps(inner))
    return pa.array(values, kind)


def _shared_maps(values: Sequence[dict[str, str]]) -> pa.Array:
    """Maps of a column in which rows may share one dict, as those of a resource do: each is converted once."""
    place: dict[int, int] = {}
    for value in values:
        place.setdefault(id(value), len(place))
    if len(place) == len(values):
        return _maps(values)
    distinct = {id(value): value for value in values}
    return _maps([distinct[i] for i in place]).take(pa.array([place[id(value)] for value in values], pa.int32()))


def _maps(values: Sequence[dict[str, str]]) -> pa.Array:
    keys: list[str] = []
    items: list[str] = []
    for value in values:
        keys.extend(value)
        items.extend(value.values())
    return pa.MapArray.from_arrays(_offsets(values), pa.array(keys, _s).dictionary_encode(), pa.array(items, _s))


def _offsets(values: Sequence[Any]) -> pa.Array:
    offsets = [0]
    total = 0
    for value in values:
        total += len(value)
        offsets.append(total)
    return pa.array(offsets, pa.int32())
