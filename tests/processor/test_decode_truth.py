"""Actuals and outcomes in batches and singly, an event that lost its name, and deliveries that come twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest

from modelspan.processor.decode import Decoded, decode, rejection
from modelspan.processor.journal import Record
from modelspan.semconv import attributes, columns, events
from tests.processor.otlp import MODEL, TIME, arrow, batch, log, logs, required

WHO = {attributes.ML_MODEL_NAME: "fraud", attributes.ML_MODEL_VERSION: "3"}
ROWS = {columns.LABEL: ["yes", None, "no"], columns.VALUE: [None, 1.5, float("nan")]}
NUMBERED = {attributes.MODELSPAN_RECORDER_ID: "r-actual", attributes.MODELSPAN_RECORDER_SEQUENCE: 4}


def decoded(*records: Record, stored: Sequence[int] = ()) -> Decoded:
    return decode(records, token="j:1-1", now=1000, stored=lambda keys: set(keys) & set(stored))


def actuals(**more: Any) -> Record:
    data = {attributes.ML_PREDICTION_BATCH_DATA: arrow(ROWS), attributes.ML_PREDICTION_BATCH_ROW_COUNT: 3}
    return log(events.ML_PREDICTION_ACTUAL, {**WHO, **data, attributes.ML_ACTUAL_SOURCE: "human", **more})


def outcomes(values: dict[str, Any], **more: Any) -> Record:
    said = {attributes.ML_OUTCOME_NAME: "revenue", attributes.ML_OUTCOME_UNIT: "EUR"}
    return log(
        events.ML_PREDICTION_OUTCOME, {**WHO, **said, attributes.ML_PREDICTION_BATCH_DATA: arrow(values), **more}
    )


def test_a_batch_of_actuals_becomes_a_row_for_each() -> None:
    result = decoded(actuals(**NUMBERED))
    rows = result.tables["ml_actuals"].to_pylist()
    assert [(row["prediction_id"], row["label"], row["value"]) for row in rows] == [
        ("p0", "yes", None),
        ("p1", None, 1.5),
        ("p2", "no", None),
    ]
    assert {(row["service_name"], row["environment"], row["model_name"], row["model_version"]) for row in rows} == {
        ("shop", "prod", "fraud", "3")
    }
    assert {row["source"] for row in rows} == {"human"}
    assert [row["time"].value for row in rows] == [TIME, TIME + 1, TIME + 2]
    [counted] = result.tables["ml_recorders"].to_pylist()
    assert (counted["recorder_id"], counted["event"], counted["rows"]) == ("r-actual", events.ML_PREDICTION_ACTUAL, 3)
    [kept] = result.tables["otel_logs"].to_pylist()
    assert attributes.ML_PREDICTION_BATCH_DATA not in dict(kept["LogAttributes"])


def test_a_column_that_cannot_be_read_costs_no_other_of_a_batch_of_actuals(caplog: pytest.LogCaptureFixture) -> None:
    payload = arrow({columns.PREDICTION_TIME: ["noon"], columns.LABEL: [1], columns.VALUE: [1.5]})
    result = decoded(
        log(events.ML_PREDICTION_ACTUAL, {**WHO, attributes.ML_PREDICTION_BATCH_DATA: payload}),
    )
    [row] = result.tables["ml_actuals"].to_pylist()
    assert (row["prediction_id"], row["prediction_time"], row["label"], row["value"]) == ("p0", None, None, 1.5)
    assert result.rejected == {"column_type": 2}
    assert "left out: columns prediction_time: string, label: int64" in caplog.text


def test_the_source_of_an_actual_may_be_any_word() -> None:
    rows = decoded(actuals(**{attributes.ML_ACTUAL_SOURCE: "chargeback"})).tables["ml_actuals"].to_pylist()
    assert {row["source"] for row in rows} == {"chargeback"}


def test_a_batch_of_outcomes_becomes_a_row_for_each() -> None:
    rows = decoded(outcomes({columns.VALUE: [1, 2]})).tables["ml_outcomes"].to_pylist()
    assert [(row["prediction_id"], row["name"], row["value"], row["unit"]) for row in rows] == [
        ("p0", "revenue", 1.0, "EUR"),
        ("p1", "revenue", 2.0, "EUR"),
    ]


def test_batches_and_single_ones_come_in_one_table() -> None:
    single = log(
        events.ML_PREDICTION_ACTUAL, {**WHO, attributes.ML_PREDICTION_ID: "s", attributes.ML_ACTUAL_LABEL: "x"}
    )
    rows = decoded(single, actuals()).tables["ml_actuals"].to_pylist()
    assert [row["prediction_id"] for row in rows] == ["s", "p0", "p1", "p2"]


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        (pa.table({columns.LABEL: ["a"]}), rejection.MISSING_COLUMN),
        (pa.table(required(1)), rejection.MISSING_COLUMN),
        (pa.table({**required(1), columns.LABEL: [1.5]}), rejection.COLUMN_TYPE),
        (pa.table({**required(1), columns.PREDICTION_ID: [""], columns.LABEL: ["a"]}), rejection.MISSING_VALUE),
        (pa.table({**required(1, start=0), columns.LABEL: ["a"]}), rejection.TIME_RANGE),
        (pa.table({**required(2), columns.LABEL: ["a", "b"]}), rejection.ROW_COUNT),
    ],
)
def test_what_is_no_batch_of_actuals_is_counted_by_reason(table: pa.Table, reason: str) -> None:
    from tests.processor.otlp import stream

    wrong = {attributes.ML_PREDICTION_BATCH_DATA: stream(table), attributes.ML_PREDICTION_BATCH_ROW_COUNT: 1}
    result = decoded(actuals(**wrong))
    assert result.rejected == {reason: 1}
    assert "ml_actuals" not in result.tables
    assert result.tables["otel_logs"].num_rows == 1


SINGLE = logs(
    [
        (events.ML_PREDICTION_ACTUAL, {**WHO, attributes.ML_PREDICTION_ID: "a", attributes.ML_ACTUAL_LABEL: "x"}),
        (events.ML_PREDICTION_ACTUAL, {**WHO, attributes.ML_PREDICTION_ID: "b", attributes.ML_ACTUAL_LABEL: "x"}),
        (events.ML_PREDICTION_OUTCOME, {**WHO, attributes.ML_PREDICTION_ID: "a", attributes.ML_OUTCOME_NAME: "n"}),
    ]
)


@pytest.mark.parametrize(
    ("record", "counts"),
    [
        (actuals(), {"ml_actuals": 3}),
        (outcomes({columns.VALUE: [1.0, 2.0]}), {"ml_outcomes": 2}),
        (SINGLE, {"ml_actuals": 2, "ml_outcomes": 1}),
    ],
)
def test_a_request_that_comes_twice_is_stored_once(record: Record, counts: dict[str, int]) -> None:
    once = decoded(record)
    twice = decoded(record, replace(record, sequence=2))
    later = decoded(replace(record, sequence=9), stored=sorted(once.batch_keys))
    assert {table: once.tables[table].num_rows for table in counts} == counts
    assert {table: twice.tables[table].num_rows for table in counts} == counts
    assert not later.tables.keys() & counts.keys()
    assert later.rejected[rejection.REPEATED] == len(once.batch_keys) > 0


def test_the_same_rows_of_two_models_are_both_stored() -> None:
    other = actuals(**{attributes.ML_MODEL_NAME: "other"})
    models = [row["model_name"] for row in decoded(actuals(), other).tables["ml_actuals"].to_pylist()]
    assert models == ["fraud"] * 3 + ["other"] * 3


PROFILE = b'{"format": 1, "series": [{"kind": "label", "name": "", "type": "categorical", "rows": 1, "missing": 0, "categories": ["a"], "counts": [1, 0]}]}'
LOST = [
    ("ml_predictions", batch(arrow({"feature.a": [1.0]}))),
    ("ml_actuals", actuals()),
    ("ml_outcomes", outcomes({columns.VALUE: [1.0]})),
    (
        "ml_predictions",
        log(
            events.ML_PREDICTION_DETAILS,
            {**MODEL, attributes.ML_PREDICTION_ID: "x", attributes.ML_OUTPUT_LABEL: "a"},
        ),
    ),
    (
        "ml_references",
        log(
            events.ML_REFERENCE_PROFILE,
            {**WHO, attributes.ML_REFERENCE_ID: "r", attributes.ML_REFERENCE_PROFILE_DATA: PROFILE},
        ),
    ),
    ("ml_models", log(events.ML_MODEL_LOADED, {**WHO, attributes.ML_FRAMEWORK_NAME: "sklearn"})),
    (
        "ml_actuals",
        log(events.ML_PREDICTION_ACTUAL, {**WHO, attributes.ML_PREDICTION_ID: "a", attributes.ML_ACTUAL_VALUE: 1.0}),
    ),
]


def renamed(record: Record, name: str, **more: str) -> Record:
    """The same request, with another name in the field of the record."""
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

    from tests.processor.otlp import pairs

    request = ExportLogsServiceRequest.FromString(record.payload)
    for one in request.resource_logs[0].scope_logs[0].log_records:
        more = {key: value or one.event_name for key, value in more.items()}
        one.event_name = name
        one.attributes.extend(pairs(more))
    return replace(record, payload=request.SerializeToString())


@pytest.mark.parametrize(("table", "record"), LOST)
@pytest.mark.parametrize("name", ["", "log"])
def test_an_event_is_recognised_without_its_name(table: str, record: Record, name: str) -> None:
    expected = decoded(record).tables[table].num_rows
    assert decoded(renamed(record, name)).tables[table].num_rows == expected
    result = decoded(renamed(record, name, **{"event.name": ""}))
    assert result.tables[table].num_rows == expected
    assert not result.rejected


def test_what_looks_like_ours_and_is_not_recognised_is_counted() -> None:
    result = decoded(
        log("", {attributes.ML_MODEL_NAME: "m", attributes.ML_PREDICTION_VARIANT: "A"}),
        log("ml.prediction.bunch", {}),
        log("", {attributes.ML_MODEL_NAME: "on a line of the program's own"}),
        log("ordinary", {"a": "b"}),
    )
    assert result.rejected == {rejection.UNRECOGNISED: 2}
    assert result.tables["otel_logs"].num_rows == 4
