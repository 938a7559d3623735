"""From what a program passes to the verdict: the same data is no drift, whatever holds it; and what changed is found."""

from __future__ import annotations

import datetime as dt
import io
import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.linear_model import LinearRegression
from windows.lab import BASE, SECOND, Lab

from modelspan.instrumentation import prediction_context
from modelspan.instrumentation.sklearn import SklearnInstrumentor
from modelspan.processor.decode import decode
from modelspan.processor.journal import Record, Signal
from modelspan.processor.windows import ModelKey
from tests.instrumentation.conftest import Telemetry

ROWS = 400
RNG = np.random.default_rng(5)
_tokens = itertools.count()


class Anything(BaseEstimator):  # type: ignore[misc]
    """Fits everything, and predicts 1.0 for each row."""

    def fit(self, X: Any, y: Any = None) -> Anything:
        return self

    def predict(self, X: Any) -> Any:
        return np.ones(X.shape[0] if hasattr(X, "shape") else len(X))


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    kept = Telemetry()
    kept.instrument()
    yield kept
    SklearnInstrumentor().uninstrument()


def judged(lab: Lab, telemetry: Telemetry, model: Any, served: list[Any]) -> dict[tuple[str, str], str]:
    """Status of each series, after `served` was predicted and the service has read all."""
    for data in served:
        with prediction_context(time=BASE / SECOND):
            model.predict(data)
        telemetry.logs()  # each call is a batch of its own
    payload = encode_logs(telemetry.logs()).SerializeToString()
    decoded = decode([Record(1, Signal.LOGS, payload)], token="t", now=1)
    for name in ("ml_references", "ml_predictions", "ml_models"):
        lab.store.insert(name, decoded.tables[name], f"recorded {next(_tokens)}")
    table = decoded.tables["ml_predictions"]
    first = table.select(ModelKey._fields).slice(0, 1).to_pylist()[0]
    key = ModelKey(**first)
    lab.evaluator.touch(key, table["time"].cast(pa.int64()).to_numpy(), lab.wall)
    lab.settle()
    return {series: row["status"] for series, row in lab.drift(key).items() if series[0] not in ("value", "label")}


NUMBERS = RNG.normal(size=(ROWS, 2))
D1, D2 = dt.datetime(2026, 1, 2), dt.datetime(2026, 1, 3, 4, 5, 6, 500_000)
DATES = [D1, D2] * (ROWS // 2)
DURATIONS = [dt.timedelta(days=1), dt.timedelta(seconds=90)] * (ROWS // 2)
CODES = [101, "A1"] * (ROWS // 2)
ALMOST = ["N/A" if row == 7 else float(row % 50) for row in range(ROWS)]


def csv(frame: pd.DataFrame, **options: Any) -> pd.DataFrame:
    return pd.read_csv(io.StringIO(frame.to_csv(index=False)), **options)


def halves(rows: int = ROWS) -> list[slice]:
    return [slice(0, rows // 2), slice(rows // 2, rows)]


def of_dates(values: list[Any]) -> dict[str, Any]:
    frame = pd.DataFrame({"day": values, "x": 1.0})
    return {
        "polars": pl.DataFrame({"day": values, "x": [1.0] * ROWS}),
        **{f"pandas {unit}": frame.astype({"day": f"M8[{unit}]"}) for unit in ("ms", "us", "ns")},
        "objects": frame.astype(object),
        "arrow": pa.table({"day": pa.array(values, pa.timestamp("ns")), "x": [1.0] * ROWS}),
        "a zone": pd.DataFrame({"day": pd.Series(values).dt.tz_localize("UTC"), "x": 1.0}),
        "read from CSV": csv(frame, parse_dates=["day"], date_format="ISO8601"),
        "texts of CSV": csv(frame),
        "dicts": [{"day": value, "x": 1.0} for value in values],
    }


def of_durations(values: list[Any]) -> dict[str, Any]:
    frame = pd.DataFrame({"wait": values, "x": 1.0})
    return {
        "polars": pl.DataFrame({"wait": values, "x": [1.0] * ROWS}),
        "pandas": frame,
        "pandas s": frame.astype({"wait": "m8[s]"}),
        "objects": frame.astype(object),
        "arrow": pa.table({"wait": values, "x": [1.0] * ROWS}),
    }


def of_mixed(values: list[Any]) -> dict[str, Any]:
    frame = pd.DataFrame({"code": pd.Series(values, dtype=object), "x": 1.0})
    return {"pandas": frame, "array": frame.to_numpy(), "dicts": [{"code": one, "x": 1.0} for one in values]}


SAME = [
    *itertools.permutations(of_dates(DATES).items(), 2),
    *itertools.permutations(of_durations(DURATIONS).items(), 2),
]


@pytest.mark.parametrize(
    ("fitted", "served"), [(a[1], b[1]) for a, b in SAME[::3]], ids=[f"{a[0]}, {b[0]}" for a, b in SAME[::3]]
)
def test_dates_and_durations_that_did_not_change_are_no_drift(
    lab: Lab, telemetry: Telemetry, fitted: Any, served: Any
) -> None:
    found = judged(lab, telemetry, Anything().fit(fitted), [served[part] for part in halves()])
    assert set(found.values()) == {"ok"}


@pytest.mark.parametrize("values", [CODES, ALMOST], ids=["codes", "one text among numbers"])
@pytest.mark.parametrize("alone", [True, False])
def test_a_mixed_column_that_did_not_change_is_no_drift_however_its_rows_fall_into_calls(
    lab: Lab, telemetry: Telemetry, values: list[Any], alone: bool
) -> None:
    frame = of_mixed(values)["pandas"]
    parts = [slice(row, row + 1) for row in range(200)] if alone else halves()
    found = judged(lab, telemetry, Anything().fit(frame), [frame[part] for part in parts])
    assert set(found.values()) == {"ok"}


def test_texts_that_come_into_a_column_of_numbers_are_found(lab: Lab, telemetry: Telemetry) -> None:
    fitted = pd.DataFrame({"amount": [float(row % 50) for row in range(ROWS)], "x": 1.0})
    served = fitted.astype(object)
    served.loc[::5, "amount"] = "unknown"
    found = judged(lab, telemetry, Anything().fit(fitted), [served])
    assert {series for series, status in found.items() if status == "drifted"} == {("text", "amount")}


def test_a_sparse_column_that_is_zero_in_one_batch_is_no_drift(lab: Lab, telemetry: Telemetry) -> None:
    model = LinearRegression().fit(sparse.csr_matrix([[1.0, 0.0], [0.0, 1.0]] * 200), [0.0, 1.0] * 200)
    served = [sparse.csr_matrix([[1.0, 0.0]] * 100), sparse.csr_matrix([[0.0, 1.0]] * 100)]
    found = judged(lab, telemetry, model, served)
    assert set(found.values()) == {"ok"}
    assert {name for _, name in found} == {"x0", "x1"}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("names", [None, [0, 1], ["a", "b"]])
@pytest.mark.parametrize("others", [None, [0, 1], ["a", "b"]])
def test_columns_that_did_not_change_are_no_drift_whatever_names_they_have(
    lab: Lab, telemetry: Telemetry, names: list[Any] | None, others: list[Any] | None
) -> None:
    def named(columns: list[Any] | None) -> Any:
        return NUMBERS if columns is None else pd.DataFrame(NUMBERS, columns=columns)

    if names == ["a", "b"] and others == [0, 1]:
        pytest.skip("scikit-learn refuses this")
    model = LinearRegression().fit(named(names), NUMBERS[:, 0])
    found = judged(lab, telemetry, model, [named(others)])
    assert set(found.values()) == {"ok"}
    assert len(found) == 4


def test_a_column_that_was_always_missing_and_is_filled_is_found(lab: Lab, telemetry: Telemetry) -> None:
    fitted = pd.DataFrame({"x": NUMBERS[:, 0], "new": np.nan, "text": pd.Series([None] * ROWS, dtype=object)})
    served = fitted.assign(new=1.5, text="a")
    found = judged(lab, telemetry, Anything().fit(fitted), [served])
    assert {name for (_, name), status in found.items() if status == "drifted"} == {"new", "text"}
