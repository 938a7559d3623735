"""A mistake in a call of the public functions costs one warning that says what to do, and never the program."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import xgboost
from sklearn.linear_model import LinearRegression, LogisticRegression

from modelspan.instrumentation import (
    failure,
    flush,
    identify,
    prediction_context,
    record_actual,
    record_outcome,
    set_reference,
)
from modelspan.profile import from_json
from modelspan.semconv import events

RNG = np.random.default_rng(6)
NAMES = ["age", "income", "tenure"]
FRAME = pd.DataFrame(RNG.normal(size=(300, 3)), columns=NAMES)
Y = FRAME.age > 0
MODEL = LogisticRegression().fit(FRAME, Y)
UNNAMED = LogisticRegression().fit(FRAME.to_numpy(), Y)


@pytest.fixture(autouse=True)
def nothing_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failure, "_said", set())


def references(telemetry: Any) -> list[tuple[dict[str, Any], dict[tuple[str, str], Any]]]:
    found = [dict(one.attributes) for one in telemetry.events(events.ML_REFERENCE_PROFILE)]
    profiles = [from_json(one.pop("ml.reference.profile.data")) for one in found]
    return [(one, {(s.kind, s.name): s for s in p.series}) for one, p in zip(found, profiles, strict=True)]


WRONG = [
    (MODEL, FRAME[["age"]], "it lacks 'income', 'tenure' (1 of 3 columns)"),
    (MODEL, FRAME.rename(columns=str.upper), "(the names differ in case or separators alone)"),
    (
        MODEL,
        pl.DataFrame({"Age ": [1.0], "income": [1.0], "tenure": [1.0]}),
        "(the names differ in case or separators alone)",
    ),
    (MODEL, FRAME.assign(target=Y), "the model does not take 'target' (the target?)"),
    (MODEL, [{"age": 1.0, "wage": 2.0}] * 200, "it lacks 'income', 'tenure' and the model does not take 'wage'"),
    (MODEL, FRAME.to_numpy()[:, :2], "it has 2 columns, and the model takes 3"),
    (UNNAMED, FRAME.to_numpy()[:, :1], "it has 1 column, and the model takes 3"),
    (UNNAMED, FRAME.assign(target=Y), "it has 4 columns, and the model takes 3"),
    (UNNAMED, [[1.0, 2.0]] * 200, "it has 2 columns, and the model takes 3"),
    (UNNAMED, object(), "no rows can be read from object"),
    (UNNAMED, FRAME.to_numpy()[:, 0], "it has 1 dimension, and the model takes a table of 3 columns"),
    (MODEL, [1.0] * 200, "it has 1 dimension, and the model takes a table of 3 columns"),
    (MODEL, np.zeros((300, 3, 1)), "it has 3 dimensions, and the model takes a table of 3 columns"),
    (MODEL, FRAME[[*NAMES, "age"]], "it has more than one column called 'age'"),
]


@pytest.mark.parametrize(("model", "x", "said"), WRONG)
def test_a_reference_with_other_columns_than_the_model_takes_is_refused(
    telemetry: Any, caplog: pytest.LogCaptureFixture, model: Any, x: Any, said: str
) -> None:
    assert not set_reference(model, x)
    (warning,) = [record.message for record in caplog.records]
    assert warning.startswith("set_reference sets no reference: ")
    assert said in warning
    assert references(telemetry) == []


@pytest.mark.parametrize("kind", ["sklearn", "booster"])
def test_an_unnamed_array_of_the_right_width_gets_the_names_of_the_model(telemetry: Any, kind: str) -> None:
    model = MODEL if kind == "sklearn" else xgboost.train({}, xgboost.DMatrix(FRAME, Y.astype(float)), 2)
    assert set_reference(model, FRAME.to_numpy())
    assert {name for _, name in references(telemetry)[-1][1]} == set(NAMES)


def test_columns_in_another_order_are_found_by_their_names(telemetry: Any) -> None:
    assert set_reference(MODEL, FRAME[NAMES[::-1]])
    (_, series) = references(telemetry)[-1]
    assert series["feature", "age"].mean == pytest.approx(FRAME.age.mean())


def test_an_arrow_table_is_a_reference_by_the_names_of_its_columns(telemetry: Any) -> None:
    assert set_reference(MODEL, pa.Table.from_pandas(FRAME))
    assert {name for _, name in references(telemetry)[-1][1]} == set(NAMES)


def test_few_rows_are_taken_and_a_warning_says_what_they_are_good_for(
    telemetry: Any, caplog: pytest.LogCaptureFixture
) -> None:
    assert set_reference(MODEL, FRAME[:60])
    (said,) = [record.message for record in caplog.records]
    assert said.startswith("set_reference: 60 rows decide nothing: below 100 (drift.min_rows of the service)")


@pytest.mark.parametrize(
    ("predictions", "said"),
    [
        ({"predikt": [True] * 300}, "predictions of 'predikt': operations are "),
        (np.ones((300, 3)) / 3, "predictions have 3 columns, and the model knows 2 classes"),
        (["yes"] * 300, "predicted labels 'yes', which are no classes of the model"),
        (object(), "no predictions can be read from object"),
    ],
)
def test_predictions_that_are_none_of_the_model_are_refused(
    telemetry: Any, caplog: pytest.LogCaptureFixture, predictions: Any, said: str
) -> None:
    assert not set_reference(MODEL, FRAME, predictions=predictions)
    assert said in caplog.records[0].message


def test_a_reference_of_a_name_is_one_of_every_version_and_of_no_model_called_str(telemetry: Any) -> None:
    assert set_reference("loan-default", FRAME, predictions=np.full(300, 0.5))
    (attributes, series) = references(telemetry)[-1]
    assert attributes["ml.model.name"] == "loan-default"
    assert "ml.model.version" not in attributes
    assert {("feature", "age"), ("value", "")} <= set(series)
    assert telemetry.events(events.ML_MODEL_LOADED) == []


def test_a_reference_of_a_name_that_the_program_gave_is_one_of_that_model(
    telemetry: Any, caplog: pytest.LogCaptureFixture
) -> None:
    model = LogisticRegression().fit(FRAME, Y)
    identify(model, name="loan", version="7")
    assert set_reference("loan", FRAME)
    assert (references(telemetry)[-1][0])["ml.model.version"] == "7"
    assert not set_reference("loan", FRAME[["age"]])
    assert "it lacks 'income', 'tenure'" in caplog.records[0].message


@pytest.mark.parametrize("model", [None, 7, [MODEL], {"m": MODEL}, FRAME, FRAME.to_numpy(), "", type(MODEL)])
def test_what_is_no_model_is_named_in_a_warning(telemetry: Any, caplog: pytest.LogCaptureFixture, model: Any) -> None:
    assert identify(model, name="a") is None
    assert not set_reference(model, FRAME)
    assert not record_actual(model, "p", label=1)
    assert not record_outcome(model, "p", "sold")
    assert [record.message.partition("()")[0] for record in caplog.records] == [
        *("identify", "set_reference", "record_actual", "record_outcome")
    ]
    assert all("did nothing: it takes the model" in record.message for record in caplog.records)


def test_a_name_is_no_model_to_identify(telemetry: Any, caplog: pytest.LogCaptureFixture) -> None:
    identify("warn", name="a")
    assert caplog.records[0].message == "identify() did nothing: it takes the model itself first, and was given 'warn'."


def test_unknown_keywords_are_ignored_and_named_once(telemetry: Any, caplog: pytest.LogCaptureFixture) -> None:
    model = LinearRegression().fit(FRAME, Y)
    for _ in range(2):
        identify(model, name="a", owner=1)  # type: ignore[call-arg]
        with prediction_context(ids=["p"], user=2) as said:  # type: ignore[call-arg]
            model.predict(FRAME[:1])
        assert said.prediction_ids == ["p"]
        assert set_reference(model, FRAME, rows=3)  # type: ignore[call-arg]
        assert record_actual(model, "p", value=1, when=4)  # type: ignore[call-arg]
        assert record_outcome(model, "p", "sold", when=5)  # type: ignore[call-arg]
        assert flush(wait=6)  # type: ignore[call-arg]
    assert {record.message.split(", which is ignored")[0] for record in caplog.records} == {
        "identify() has no parameter 'owner'",
        "prediction_context() has no parameter 'user'",
        "set_reference() has no parameter 'rows'",
        "record_actual() has no parameter 'when'",
        "record_outcome() has no parameter 'when'",
        "flush() has no parameter 'wait'",
    }
    assert len(caplog.records) == 6


def test_missing_arguments_and_too_many_do_nothing(telemetry: Any, caplog: pytest.LogCaptureFixture) -> None:
    identify()  # type: ignore[call-arg]
    assert not set_reference(MODEL)  # type: ignore[call-arg]
    assert not record_actual()  # type: ignore[call-arg]
    assert not flush("soon")  # type: ignore[arg-type]
    with prediction_context(1, 2, 3):  # type: ignore[misc]
        UNNAMED.predict(FRAME[:1])
    assert telemetry.rows() == 1
    assert caplog.records[0].message == "identify() did nothing: missing a required argument: 'model'."


def test_an_error_of_the_program_within_a_context_is_the_programs(telemetry: Any) -> None:
    with pytest.raises(KeyError, match="mine"), prediction_context(ids=["p"]):
        raise KeyError("mine")
