"""Times in another unit than nanoseconds: taken by their magnitude, counted, and kept as they came where telemetry is kept."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from modelspan.processor.decode import Decoded, decode
from modelspan.processor.decode.spread import days_of, months_of
from modelspan.processor.journal import Record
from modelspan.semconv import attributes, columns, events
from tests.processor.otlp import MODEL, arrow, batch, log, spans

SECONDS = 1_764_583_200
WHEN = SECONDS * 10**9
NOW = 1_764_590_000_000
UNITS = pytest.mark.parametrize("given", [SECONDS, SECONDS * 10**3, SECONDS * 10**6])
"""Of one time in seconds, milli- and microseconds."""
ACTUAL = {**MODEL, attributes.ML_PREDICTION_ID: "a", attributes.ML_ACTUAL_LABEL: "x"}
OUTCOME = {**MODEL, attributes.ML_PREDICTION_ID: "a", attributes.ML_OUTCOME_NAME: "revenue"}
EVENTS = {
    "ml_predictions": (events.ML_PREDICTION_DETAILS, MODEL),
    "ml_actuals": (events.ML_PREDICTION_ACTUAL, ACTUAL),
    "ml_outcomes": (events.ML_PREDICTION_OUTCOME, OUTCOME),
}


def decoded(*records: Record) -> Decoded:
    return decode(records, token="t", now=NOW)


def times(result: Decoded, table: str, name: str = columns.TIME) -> list[Any]:
    return result.tables[table].column(name).cast(pa.int64()).to_pylist()


def in_column(*ticks: int | None, unit: str = "ns", **more: Any) -> bytes:
    return arrow({columns.TIME: pa.array(ticks, pa.timestamp(unit)), "feature.a": [1.0] * len(ticks), **more})


@UNITS
@pytest.mark.parametrize("table", EVENTS)
def test_an_event_has_the_time_that_its_number_means_in_any_unit(
    table: str, given: int, caplog: pytest.LogCaptureFixture
) -> None:
    result = decoded(log(*EVENTS[table], time=given))
    assert times(result, table) == [WHEN]
    assert times(result, "otel_logs", "Timestamp") == [given]
    assert result.rejected == {"time_range": 1}
    assert "not in nanoseconds since 1970" in caplog.text


@pytest.mark.parametrize("table", EVENTS)
def test_an_event_with_a_time_in_no_unit_takes_the_time_at_which_it_was_observed_if_it_was(table: str) -> None:
    result = decoded(log(*EVENTS[table], time=1, observed_time_unix_nano=WHEN), log(*EVENTS[table], time=2))
    assert times(result, table) == [WHEN, 2]
    assert result.rejected == {"time_range": 2}


def test_an_actual_without_a_time_became_known_when_it_came() -> None:
    result = decoded(log(events.ML_PREDICTION_ACTUAL, ACTUAL, time=0))
    assert times(result, "ml_actuals") == [NOW * 10**6]
    assert result.rejected == {}


def test_a_log_record_that_is_no_event_of_a_model_keeps_its_time() -> None:
    result = decoded(log("", {}, time=SECONDS))
    assert times(result, "otel_logs", "Timestamp") == [SECONDS]
    assert result.rejected == {}


@UNITS
@pytest.mark.parametrize("count", [1, 40])
def test_spans_have_time_and_duration_in_the_unit_of_their_start(given: int, count: int) -> None:
    unit = WHEN // given
    fields = {"start_time_unix_nano": given, "end_time_unix_nano": given + 3, "attributes": MODEL}
    result = decoded(spans([fields] * count))
    assert times(result, "ml_predictions") == [WHEN] * count
    assert result.tables["ml_predictions"].column("duration").to_pylist() == [3 * unit] * count
    assert times(result, "otel_traces", "Timestamp") == [given] * count
    assert result.tables["otel_traces"].column("Duration").to_pylist() == [3] * count
    assert result.rejected == {"time_range": count}
    assert list(result.touched.values()) == [{SECONDS}]


@UNITS
def test_rows_of_a_batch_have_the_times_that_their_numbers_mean(given: int) -> None:
    payload = in_column(given, WHEN, 7, None, given + 1)
    result = decoded(batch(payload))
    assert times(result, "ml_predictions") == [WHEN, WHEN, 7, WHEN + WHEN // given]
    assert result.rejected == {"time_range": 3, "missing_value": 1}
    assert months_of(in_column(given, WHEN)) == months_of(in_column(WHEN))


def test_a_column_of_milliseconds_may_hold_seconds() -> None:
    assert times(decoded(batch(in_column(SECONDS, unit="ms"))), "ml_predictions") == [WHEN]


def test_times_of_the_last_century_are_what_they_are() -> None:
    result = decoded(batch(in_column(157_766_400, unit="s")))
    assert times(result, "ml_predictions") == [157_766_400 * 10**9]
    assert result.rejected == {}


@UNITS
def test_rows_of_actuals_have_the_times_that_their_numbers_mean(given: int) -> None:
    about = pa.array([given, None, 1], pa.timestamp("ns"))
    payload = in_column(given, WHEN, WHEN, **{columns.LABEL: ["x"] * 3, columns.PREDICTION_TIME: about})
    result = decoded(log(events.ML_PREDICTION_ACTUAL, {**MODEL, attributes.ML_PREDICTION_BATCH_DATA: payload}))
    assert times(result, "ml_actuals") == [WHEN] * 3
    assert times(result, "ml_actuals", "prediction_time") == [WHEN, None, 1]
    assert result.rejected == {"time_range": 3}


@pytest.mark.parametrize("given", ["soon", 7, "1e999999999", "-Infinity"])
def test_an_actual_whose_prediction_has_no_time_is_counted_and_kept(given: Any) -> None:
    result = decoded(log(events.ML_PREDICTION_ACTUAL, {**ACTUAL, attributes.ML_PREDICTION_TIME: given}))
    assert result.rejected == {"attribute_type": 1}
    assert result.tables["otel_logs"].num_rows == 1


def test_days_of_spans_in_seconds_are_those_of_the_predictions() -> None:
    record = spans([{"start_time_unix_nano": SECONDS + 86_400 * i, "attributes": MODEL} for i in range(5)])
    assert days_of(record.signal, ExportTraceServiceRequest.FromString(record.payload)) == 5


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (SECONDS, WHEN),
        (SECONDS + 0.5, WHEN + 500_000_000),
        (SECONDS * 1000, WHEN),
        (str(SECONDS * 10**6), WHEN),
        (WHEN + 1, WHEN + 1),
        ("2025-12-01T10:00:00Z", WHEN),
    ],
)
def test_the_time_of_an_actuals_prediction_may_be_a_number(given: Any, expected: int) -> None:
    result = decoded(log(events.ML_PREDICTION_ACTUAL, {**ACTUAL, attributes.ML_PREDICTION_TIME: given}, time=WHEN))
    assert times(result, "ml_actuals", "prediction_time") == [expected]
