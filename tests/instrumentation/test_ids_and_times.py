"""Identifiers and times have one form, whatever the program holds them in."""

from __future__ import annotations

import datetime
import decimal
import time as clock
import uuid
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from modelspan.instrumentation import failure, prediction_context, record_actual, record_outcome
from modelspan.instrumentation.recorder.times import each_in_nanoseconds
from modelspan.semconv import events

RNG = np.random.default_rng(6)
X = RNG.normal(size=(50, 3))
MODEL = LogisticRegression().fit(X, X[:, 0] > 0)
UUID = uuid.UUID("12345678-1234-5678-1234-567812345678")
SECOND = 1_767_323_045
"""2026-01-02T03:04:05Z"""


@pytest.fixture(autouse=True)
def _warnings_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failure, "_said", set())


IDS = [
    (pd.Series([90001, np.nan, None, 90004]), ["90001", None, None, "90004"]),
    (pd.Series([90001, pd.NA], dtype="Int64"), ["90001", None]),
    (pd.Index([90001.0, np.nan]), ["90001", None]),
    (pl.Series([90001, None]), ["90001", None]),
    (pa.chunked_array([[90001], [None]]), ["90001", None]),
    (np.array([90001.0, np.nan]), ["90001", None]),
    (np.array([[90001], [90002]]), ["90001", "90002"]),
    (np.ma.masked_array([90001, 90002], mask=[False, True]), ["90001", None]),
    (torch.tensor([90001, 90002]), ["90001", "90002"]),
    (pd.DataFrame({"id": [90001.0, 90002.0]}), ["90001", "90002"]),
    (range(2), ["0", "1"]),
    ({1: "a", 2: "b"}.keys(), ["1", "2"]),
    ([10**20 + 1, decimal.Decimal("12345678901234567891.0")], ["100000000000000000001", "12345678901234567891"]),
    ([np.int64(90001), np.float32(2), decimal.Decimal("3.0"), 2**70], ["90001", "2", "3", str(2**70)]),
    (["00090001", "90001.0", " a "], ["00090001", "90001.0", " a "]),
    ([UUID, b"abc", b"\xff\x00", np.str_("n")], [str(UUID), "abc", "ff00", "n"]),
    ([None, pd.NaT, pd.NA, float("nan"), ""], [None] * 5),
    ([[90001], ["b"]], ["90001", "b"]),
    (pd.DataFrame({"id": pd.array([2**60 + 1, None])}), [str(2**60 + 1), None]),
    (pl.DataFrame({"id": [2**60 + 1, None]}), [str(2**60 + 1), None]),
    (pa.table({"id": [2**60 + 1, None]}), [str(2**60 + 1), None]),
    (pa.RecordBatch.from_pydict({"id": ["a", None]}), ["a", None]),
    (pd.Series(pd.Categorical([90001, None])), ["90001", None]),
    (pa.array(["a", "b"]).dictionary_encode(), ["a", "b"]),
    (np.ma.masked_array([[90001], [90002]], mask=[[False], [True]]), ["90001", None]),
    (pd.period_range("2026-01", periods=2, freq="M"), ["2026-01", "2026-02"]),
    (pd.Series(pd.to_datetime(["2026-01-02 03:04:05", None])), ["2026-01-02T03:04:05", None]),
]


@pytest.mark.parametrize(("given", "expected"), IDS)
def test_ids_of_any_container_and_type_have_one_text_and_missing_ones_are_generated(
    telemetry: Any, given: Any, expected: list[str | None]
) -> None:
    with prediction_context(ids=given):
        MODEL.predict(X[: len(expected)])
    found = telemetry.batch()["prediction_id"].to_pylist()
    assert [a for a, b in zip(found, expected, strict=True) if b is not None] == [b for b in expected if b is not None]
    generated = [a for a, b in zip(found, expected, strict=True) if b is None]
    assert all(len(one) == 32 for one in generated)
    assert len(set(generated)) == len(generated)


@pytest.mark.parametrize(("given", "expected"), IDS)
def test_actuals_and_outcomes_name_the_same_ids_and_refuse_missing_ones(
    telemetry: Any, given: Any, expected: list[str | None], caplog: pytest.LogCaptureFixture
) -> None:
    known = [one for one in expected if one is not None]
    assert record_actual(MODEL, given, label=1) == (None not in expected)
    assert record_outcome(MODEL, given, "revenue", 2.5) == (None not in expected)
    for event in (events.ML_PREDICTION_ACTUAL, events.ML_PREDICTION_OUTCOME):
        assert [one["prediction_id"] for one in telemetry.truth(event)] == known
    assert ("prediction ids are missing" in caplog.text) == (None in expected)


@pytest.mark.parametrize(
    ("given", "nanoseconds"),
    [
        (SECOND, SECOND * 10**9),
        (float(SECOND) + 0.25, SECOND * 10**9 + 250_000_000),
        (SECOND * 10**3 + 7, SECOND * 10**9 + 7_000_000),
        (SECOND * 10**6 + 7, SECOND * 10**9 + 7_000),
        (SECOND * 10**9 + 7, SECOND * 10**9 + 7),
        (np.int64(SECOND), SECOND * 10**9),
        (np.float64(SECOND), SECOND * 10**9),
        (decimal.Decimal(SECOND), SECOND * 10**9),
        (str(SECOND), SECOND * 10**9),
        ([SECOND], SECOND * 10**9),
        (np.array([SECOND]), SECOND * 10**9),
        (np.array(SECOND), SECOND * 10**9),
        (np.array("2026-01-02T03:04:05", "M8[s]"), SECOND * 10**9),
        ("2026-01-02T03:04:05.123456789Z", SECOND * 10**9 + 123_456_789),
        ("2026-01-02 04:04:05.5+01:00", SECOND * 10**9 + 500_000_000),
        (pd.Series(pd.to_datetime(["2026-01-02 04:04:05+01:00"])), SECOND * 10**9),
        (pd.Series(pd.to_datetime(["2026-01-02 03:04:05"])).astype("datetime64[ms]"), SECOND * 10**9),
        (pd.date_range("2026-01-02 03:04:05", periods=1), SECOND * 10**9),
        (pl.Series([datetime.datetime(2026, 1, 2, 3, 4, 5)]).dt.replace_time_zone("UTC"), SECOND * 10**9),
        (pl.Series(["2026-01-02T03:04:05"]), SECOND * 10**9),
        (pa.array([datetime.datetime(2026, 1, 2, 3, 4, 5)]), SECOND * 10**9),
        (f"{SECOND}.25", SECOND * 10**9 + 250_000_000),
        (f"{SECOND}123.5", SECOND * 10**9 + 123_500_000),
        (f"{SECOND}123456789", SECOND * 10**9 + 123_456_789),
        ("1.767323045e9", SECOND * 10**9),
        (b"2026-01-02T03:04:05", SECOND * 10**9),
        ("2026-01-02t03:04:05z", SECOND * 10**9),
        ("2026-01-02T05:04:05+02", SECOND * 10**9),
        (pd.Period("2026-01-02 03:04:05", freq="s"), SECOND * 10**9),
        (pd.Series(pd.period_range("2026-01-02 03:04:05", periods=1, freq="s")), SECOND * 10**9),
        (pa.scalar(SECOND * 10**9 + 7, pa.timestamp("ns")), SECOND * 10**9 + 7),
        (pa.table({"t": [datetime.datetime(2026, 1, 2, 3, 4, 5)]}), SECOND * 10**9),
        (pl.DataFrame({"t": [datetime.datetime(2026, 1, 2, 3, 4, 5)]}), SECOND * 10**9),
        (np.ma.masked_array(["2026-01-02T03:04:05"], dtype="M8[s]"), SECOND * 10**9),
        ([[SECOND]], SECOND * 10**9),
    ],
)
def test_times_of_any_container_and_unit_are_one_time(telemetry: Any, given: Any, nanoseconds: int) -> None:
    with prediction_context(time=given):
        MODEL.predict(X[:1])
    assert record_actual(MODEL, "a", label=1, time=given)
    assert telemetry.batch()["time"].cast("int64").to_pylist() == [nanoseconds]
    (actual,) = telemetry.truth(events.ML_PREDICTION_ACTUAL)
    assert pd.Timestamp(actual["time"]).value == nanoseconds


@pytest.mark.parametrize("given", [0, 1, 20_260_102, 631_151_999, 4_102_444_800, -SECOND, True, float("inf"), "soon"])
def test_a_number_that_is_no_time_is_refused_with_a_sentence(
    telemetry: Any, given: Any, caplog: pytest.LogCaptureFixture
) -> None:
    before = clock.time_ns()
    with prediction_context(time=given):
        MODEL.predict(X[:1])
    assert not record_actual(MODEL, "a", label=1, time=given)
    assert telemetry.batch()["time"].cast("int64").to_pylist()[0] >= before
    assert telemetry.truth(events.ML_PREDICTION_ACTUAL) == []
    assert str(given) in caplog.text or "bool" in caplog.text


@pytest.mark.parametrize(
    "missing", [pd.NaT, None, np.datetime64("NaT"), "not a time", datetime.date(9999, 1, 1), 17], ids=repr
)
def test_one_missing_time_of_many_dates_only_its_own_row_now(
    telemetry: Any, missing: Any, caplog: pytest.LogCaptureFixture
) -> None:
    before = clock.time_ns()
    given = [SECOND + row for row in range(50)]
    given[7] = missing
    with prediction_context(time=given):
        MODEL.predict(X)
    found = telemetry.batch()["time"].cast("int64").to_pylist()
    assert found[7] >= before
    assert [one for row, one in enumerate(found) if row != 7] == [(SECOND + r) * 10**9 for r in range(50) if r != 7]
    assert "1 of 50 times are missing" in caplog.text


def test_one_nat_of_a_series_dates_only_its_own_row_now(telemetry: Any) -> None:
    times = pd.Series(pd.date_range("2026-01-02", periods=50, freq="s", tz="Europe/Berlin"))
    times[7] = pd.NaT
    with prediction_context(time=times):
        MODEL.predict(X)
    found = telemetry.batch()["time"].to_pandas()
    assert (found.drop(7) == times.drop(7).dt.tz_convert("UTC")).all()
    assert found[7] > pd.Timestamp("2026-06-01", tz="UTC")


MIDNIGHT = 1_767_312_000 * 10**9


@pytest.mark.parametrize("unit", ["D", "h", "m", "s", "ms", "us", "ns"])
def test_a_moment_is_the_same_time_in_any_unit_and_container(unit: str) -> None:
    moment = np.datetime64("2026-01-02", unit)
    both = np.array([moment, np.datetime64("NaT")])
    assert each_in_nanoseconds(moment) == MIDNIGHT
    for held in (both, both[:, None], list(both), pd.Series(both), np.ma.masked_array([moment] * 2, mask=[0, 1])):
        assert np.asarray(each_in_nanoseconds(held)).tolist() == [MIDNIGHT, 0]


@pytest.mark.parametrize(
    "held",
    [
        [datetime.date(2026, 1, 2), None],
        np.array([datetime.date(2026, 1, 2), None], dtype=object),
        pd.Series([datetime.date(2026, 1, 2), None]),
        pd.Series([datetime.date(2026, 1, 2), None], dtype=pd.ArrowDtype(pa.date32())),
        pl.Series([datetime.date(2026, 1, 2), None]),
        pa.array([datetime.date(2026, 1, 2), None]),
        pd.Series(["2026-01-02", None], dtype="string"),
        [str(MIDNIGHT // 10**9), ""],
        pd.Series([MIDNIGHT // 10**9, None], dtype="Int64"),
        [MIDNIGHT // 10**6, float("nan")],
        pd.PeriodIndex(["2026-01-02", None], freq="D"),
    ],
)
def test_a_date_is_its_midnight_in_utc_in_any_container(held: Any) -> None:
    assert np.asarray(each_in_nanoseconds(held)).tolist() == [MIDNIGHT, 0]


def test_segments_and_variants_are_written_as_ids_are(telemetry: Any) -> None:
    segment = {"store": pd.Series([101, np.nan, 7]), "open": [True, pd.NA, np.bool_(False)], "tier": 2.0}
    with prediction_context(segment=segment, variant=np.array([1.0, 2.0, 3.0])):
        MODEL.predict(X[:3])
    table = telemetry.batch()
    assert table["segment.store"].to_pylist() == ["101", None, "7"]
    assert table["segment.open"].to_pylist() == ["true", None, "false"]
    assert table["segment.tier"].to_pylist() == ["2", "2", "2"]
    assert table["variant"].to_pylist() == ["1", "2", "3"]
