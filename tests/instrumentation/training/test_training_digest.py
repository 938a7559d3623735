"""A model that is fitted under instrumentation says which data it was fitted on: a digest that the same data has everywhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
from packaging.version import Version
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from modelspan.instrumentation import identify, set_reference
from modelspan.instrumentation.recorder import current, training
from modelspan.semconv import attributes as ml
from modelspan.semconv import events

X = np.random.default_rng(3).normal(size=(400, 3))
Y = X[:, 0] > 0
FRAME = pd.DataFrame({"amount": X[:, 0], "country": np.array(["DE", "FR"])[(X[:, 1] > 0).astype(int)]})
FRAME.loc[7, "amount"] = 12.5


def digests(telemetry: Any) -> list[str | None]:
    """Of the data of each model that was announced."""
    return [event.attributes.get(ml.ML_TRAINING_DATASET_DIGEST) for event in telemetry.events(events.ML_MODEL_LOADED)]


def digest(telemetry: Any) -> str:
    (found,) = digests(telemetry)
    assert found is not None
    return found


def fit_frame(frame: Any) -> Any:
    encoded = make_column_transformer((StandardScaler(), ["amount"]), (OneHotEncoder(), ["country"]))
    return make_pipeline(encoded, LogisticRegression()).fit(frame, Y)


def test_the_event_of_a_fitted_model_has_it_without_a_prediction(telemetry: Any) -> None:
    LogisticRegression().fit(X, Y)
    assert digest(telemetry).startswith("sha256:")


def test_a_fit_and_its_predictions_announce_the_model_once(telemetry: Any) -> None:
    model = LogisticRegression().fit(X, Y)
    model.predict(X)
    assert len(digests(telemetry)) == 1


def test_the_same_data_has_the_same_digest_whatever_is_fitted_on_it(telemetry: Any) -> None:
    for model in (LogisticRegression(), LogisticRegression(C=0.1), LinearRegression()):
        model.fit(X, Y)
    first, second, third = digests(telemetry)
    assert first == second == third is not None


@pytest.mark.parametrize(
    "held",
    [
        np.asfortranarray(X),
        X[::-1][::-1],
        X.astype(object),
        X.tolist(),
    ],
)
def test_it_does_not_depend_on_how_an_array_is_held(telemetry: Any, held: Any) -> None:
    LogisticRegression().fit(X, Y)
    LogisticRegression(C=0.5).fit(held, Y)
    first, second = digests(telemetry)
    assert first == second


@pytest.mark.skipif(
    Version(sklearn.__version__) < Version("1.4"), reason="scikit-learn before 1.4 chooses no columns of polars"
)
def test_it_does_not_depend_on_the_library_of_a_frame(telemetry: Any) -> None:
    fit_frame(FRAME)
    fit_frame(pl.DataFrame({name: FRAME[name].to_list() for name in FRAME}))
    first, *_, last = digests(telemetry)
    assert first == last


def changed(row: int, column: str, value: Any) -> pd.DataFrame:
    frame = FRAME.copy()
    frame.loc[row, column] = value
    return frame


@pytest.mark.parametrize(
    "other",
    [
        changed(399, "amount", 1.0),
        changed(0, "country", "FR" if FRAME.country[0] == "DE" else "DE"),
        FRAME[::-1],
        FRAME[["country", "amount"]],
        FRAME.assign(amount=FRAME.amount.astype(np.float32)),
        pd.concat([FRAME, FRAME[:1]]),
    ],
)
def test_other_data_has_another(telemetry: Any, other: pd.DataFrame) -> None:
    fit_frame(FRAME)
    encoded = make_column_transformer((StandardScaler(), ["amount"]), (OneHotEncoder(), ["country"]))
    make_pipeline(encoded, LogisticRegression()).fit(other, np.resize(Y, len(other)))
    first, second = digests(telemetry)
    assert first != second


def test_of_much_data_it_is_that_of_a_sample_and_says_so(telemetry: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "MAX_ROWS", 200)
    LinearRegression().fit(X, Y)
    LinearRegression(fit_intercept=False).fit(X.copy(), Y)
    first, second = digests(telemetry)
    assert first == second
    assert first is not None
    assert first.startswith("sample-sha256:")


def test_the_number_of_all_rows_is_part_of_that_of_a_sample(telemetry: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "MAX_ROWS", 200)
    same = np.ones((1000, 1))
    for rows in (300, 400):
        LinearRegression().fit(same[:rows], np.arange(rows))
    first, second = digests(telemetry)
    assert first != second


def test_there_is_none_of_a_sample_that_is_smaller_for_want_of_room(again: Callable[..., Any]) -> None:
    telemetry = again(queue_bytes=12_000)
    LogisticRegression().fit(X, Y)
    assert len(telemetry.events(events.ML_REFERENCE_PROFILE)) == 1
    assert digests(telemetry) == [None]


def test_features_that_do_not_leave_the_process_are_no_part_of_it(again: Callable[..., Any]) -> None:
    telemetry = again(capture="x1")
    LogisticRegression().fit(X, Y)
    LogisticRegression(C=0.5).fit(X * [2, 1, 2], Y)
    first, second = digests(telemetry)
    assert first == second is not None


def test_where_no_features_are_captured_there_is_none(again: Callable[..., Any]) -> None:
    telemetry = again(capture="none")
    LogisticRegression().fit(X, Y).predict(X)
    assert digests(telemetry) == [None]


def test_what_the_program_says_comes_first(telemetry: Any) -> None:
    identify(LogisticRegression().fit(X, Y), dataset_digest="mine")
    assert digest(telemetry) == "mine"


def test_a_reference_that_the_program_sets_leaves_it_as_it_is(telemetry: Any) -> None:
    model = LogisticRegression().fit(X, Y)
    with current.get()._work:
        assert set_reference(model, X + 5)
    assert digest(telemetry).startswith("sha256:")


def test_each_refit_has_its_own(telemetry: Any) -> None:
    model = LogisticRegression()
    for shift in (0, 1):
        model.fit(X + shift, Y)
    first, second = digests(telemetry)
    assert first != second


def test_another_process_has_the_same(telemetry: Any, program: Callable[..., str]) -> None:
    LogisticRegression().fit(X, Y)
    source = """
    set_up_sdk()
    SklearnInstrumentor().instrument()
    from modelspan.instrumentation import flush
    from sklearn.linear_model import LinearRegression
    x = np.random.default_rng(3).normal(size=(400, 3))
    LinearRegression().fit(x, x[:, 1])
    flush()
    print(*[log.log_record.attributes.get("ml.training.dataset.digest", "") for log in logs.get_finished_logs()])
    """
    assert program(source, PYTHONHASHSEED="7").split() == [digest(telemetry)]
