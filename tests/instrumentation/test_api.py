"""What a program says about its predictions, and what it learns later."""

from __future__ import annotations

import asyncio
import datetime
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from modelspan.instrumentation import (
    failure,
    flush,
    identify,
    prediction_context,
    record_actual,
    record_outcome,
    set_reference,
    withdraw_reference,
)
from modelspan.profile import CategoricalProfile, NumericProfile, from_json
from modelspan.semconv import attributes as ml
from modelspan.semconv import events

RNG = np.random.default_rng(6)
X = RNG.normal(size=(50, 3))
MODEL = LogisticRegression().fit(X, X[:, 0] > 0)
UTC = datetime.timezone.utc
WHEN = datetime.datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


def test_a_context_describes_the_rows_of_the_predictions_in_it(telemetry: Any) -> None:
    times = np.array(["2026-01-01", "2026-01-02T03:04:05.123456789"], dtype="datetime64[ns]")
    with prediction_context(
        ids=[7, "b"], segment={"country": ["DE", "FR"], "tier": 1}, variant="B", time=times
    ) as said:
        MODEL.predict(X[:2])
    table = telemetry.batch()
    assert list(said.prediction_ids) == table["prediction_id"].to_pylist() == ["7", "b"]
    assert table["segment.country"].to_pylist() == ["DE", "FR"]
    assert table["segment.tier"].to_pylist() == ["1", "1"]
    assert table["variant"].to_pylist() == ["B", "B"]
    assert table["time"].cast("int64").to_pylist() == times.astype(np.int64).tolist()


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        (WHEN, WHEN),
        (WHEN.replace(tzinfo=None), WHEN),
        (WHEN.astimezone(datetime.timezone(datetime.timedelta(hours=5))), WHEN),
        (np.datetime64("2026-01-02"), datetime.datetime(2026, 1, 2, tzinfo=UTC)),
        ("2026-01-02T00:00:00Z", datetime.datetime(2026, 1, 2, tzinfo=UTC)),
        (pd.Timestamp(WHEN), WHEN),
        (pd.Series([pd.Timestamp(WHEN)]), WHEN),
    ],
)
def test_event_times(telemetry: Any, time: Any, expected: datetime.datetime) -> None:
    with prediction_context(time=time):
        MODEL.predict(X[:1])
    assert [one.as_unit("us").to_pydatetime() for one in telemetry.batch()["time"].to_pandas()] == [expected]


def test_calls_with_and_without_a_context_share_a_batch_and_ids_are_unique(telemetry: Any) -> None:
    MODEL.predict(X[:2])
    with prediction_context(segment={"k": "v"}) as said:
        MODEL.predict(X[:2])
        first = list(said.prediction_ids)
        MODEL.predict(X[:1])
    MODEL.predict(X[:1])
    table = telemetry.batch()
    ids = table["prediction_id"].to_pylist()
    assert len(set(ids)) == 6
    assert ids[2:5] == [*first, *said.prediction_ids]
    assert table["segment.k"].to_pylist() == [None, None, "v", "v", "v", None]


def test_what_does_not_fit_the_rows_is_left_out_with_a_warning(
    telemetry: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with prediction_context(ids=["a"], segment={"k": ["x"] * 3}, time=[WHEN] * 3) as said:
        MODEL.predict(X[:2])
        MODEL.predict(X[:2])
    table = telemetry.batch()
    assert len(set(table["prediction_id"].to_pylist())) == 4
    assert "segment.k" not in table.column_names
    assert said.prediction_ids == table["prediction_id"].to_pylist()[2:]
    assert sum("prediction_context got 1 ids for 2 rows" in record.message for record in caplog.records) == 1


@pytest.mark.parametrize(
    "given",
    [
        {"segment": {"k": ["x"] * 3, "other": ["y"] * 4}},
        {"variant": ["A", "B", "A"]},
        {"variant": []},
        {"time": [WHEN] * 3},
    ],
)
def test_of_what_does_not_fit_the_rows_one_warning_says_so(
    telemetry: Any, given: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failure, "_said", set())
    with prediction_context(**given):
        MODEL.predict(X[:2])
        MODEL.predict(X[:2])
    assert telemetry.batch().num_rows == 4
    (said,) = caplog.records
    assert "for 2 rows; they are left out" in said.message


def test_a_missing_id_is_generated_and_the_others_are_kept(telemetry: Any) -> None:
    with prediction_context(ids=["a", None, "c"]) as said:
        MODEL.predict(X[:3])
    found = telemetry.batch()["prediction_id"].to_pylist()
    assert found == said.prediction_ids
    assert (found[0], found[2], len(found[1])) == ("a", "c", 32)


BEFORE_1970 = [datetime.date(1970, 1, 1), np.datetime64("1950-01-01"), [WHEN.replace(year=1969)]]
"""A receiver takes no prediction of such a time."""


@pytest.mark.parametrize(
    "time", ["not a time", pd.NaT, np.datetime64("NaT"), 1.5, datetime.date(9999, 1, 1), *BEFORE_1970]
)
def test_what_cannot_be_read_of_a_context_is_ignored_and_the_rest_is_taken(telemetry: Any, time: Any) -> None:
    with prediction_context(ids="a", time=time, variant="blue"):
        MODEL.predict(X[:1])
    table = telemetry.batch()
    assert (table["prediction_id"].to_pylist(), table["variant"].to_pylist()) == (["a"], ["blue"])
    assert table["time"].to_pandas()[0] > pd.Timestamp("2026-01-01", tz="UTC")


def test_a_context_within_another_adds_to_it(telemetry: Any) -> None:
    with prediction_context(ids=["a"], segment={"country": "DE"}) as outer, prediction_context(variant="v") as inner:
        MODEL.predict(X[:1])
    assert telemetry.batch().select(["prediction_id", "segment.country", "variant"]).to_pylist() == [
        {"prediction_id": "a", "segment.country": "DE", "variant": "v"}
    ]
    assert (inner.prediction_ids, outer.prediction_ids) == (["a"], ())


@pytest.mark.parametrize("missing", [None, pd.NA, pd.NaT])
def test_a_missing_segment_is_none(telemetry: Any, missing: Any) -> None:
    with prediction_context(segment={"k": ["x", missing], "gone": missing, "nan": float("nan")}):
        MODEL.predict(X[:2])
    table = telemetry.batch()
    assert [name for name in table.column_names if name.startswith("segment.")] == ["segment.k"]
    assert table["segment.k"].to_pylist() == ["x", None]


def test_a_context_within_a_fit_records_nothing(telemetry: Any) -> None:
    class Curious(LinearRegression):
        def fit(self, X: Any, y: Any) -> Any:
            super().fit(X, y)
            with prediction_context(ids=["a"]):
                self.predict(X[:1])
            return self

    Curious().fit(X, X[:, 0])
    assert telemetry.rows() == 0


def test_contexts_of_threads_and_tasks_do_not_mix(telemetry: Any) -> None:
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, X[:, 0] > 0)

    def predict(name: str) -> None:
        with prediction_context(ids=[name], segment={"name": name}):
            model.predict(X[:1])

    async def task(name: str) -> None:
        with prediction_context(ids=[name], segment={"name": name}):
            await asyncio.sleep(0)
            model.predict(X[:1])

    async def tasks() -> None:
        await asyncio.gather(*(task(f"task-{i}") for i in range(20)))

    threads = [threading.Thread(target=predict, args=(f"thread-{i}",)) for i in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    asyncio.run(tasks())
    table = telemetry.batch()
    assert table["prediction_id"].to_pylist() == table["segment.name"].to_pylist()
    assert len(set(table["prediction_id"].to_pylist())) == 40


def test_a_model_name_that_is_nearly_that_of_a_model_is_warned_of_once(
    telemetry: Any, caplog: pytest.LogCaptureFixture
) -> None:
    identify(MODEL, name="fraud-retail", version="1")
    for name in ("fraud-retail", "fraud-retial", "fraud-retial", "fraud-retail2", "weather"):
        assert record_actual(name, "a", label="x")
    assert withdraw_reference("fraud_retail", "january")
    assert len(telemetry.truth(events.ML_PREDICTION_ACTUAL)) == 5
    said = [record.getMessage() for record in caplog.records]
    assert said == [
        f"No model of this process is named {name!r}; did you mean 'fraud-retail'? It is sent under the name given."
        for name in ("fraud-retial", "fraud_retail")
    ]


def test_actuals_of_one_and_of_many_predictions(telemetry: Any) -> None:
    identify(MODEL, name="m", version="1")
    assert record_actual(MODEL, "a", label=np.bool_(True), time=WHEN, source="human")
    assert record_actual("by-name", ["b", "c"], value=np.array([1.5, 2]), time=WHEN)
    when = pd.Timestamp(WHEN).tz_convert("UTC")
    assert telemetry.truth(events.ML_PREDICTION_ACTUAL) == [
        {
            "ml.model.name": "m",
            "ml.model.version": "1",
            "ml.actual.source": "human",
            "time": when,
            "prediction_id": "a",
            "label": "true",
        },
        {"ml.model.name": "by-name", "time": when, "prediction_id": "b", "value": 1.5},
        {"ml.model.name": "by-name", "time": when, "prediction_id": "c", "value": 2.0},
    ]


def test_actuals_of_many_calls_are_few_events(telemetry: Any) -> None:
    for i in range(3000):
        assert record_actual("m", f"id-{i}", label=i % 3)
    assert record_actual("m", [f"x-{i}" for i in range(50_000)], value=np.arange(50_000))
    found = telemetry.truth(events.ML_PREDICTION_ACTUAL)
    assert [one["label"] for one in found[:4]] == ["0", "1", "2", "0"]
    assert [one["value"] for one in found[-2:]] == [49_998.0, 49_999.0]
    assert len({one["prediction_id"] for one in found}) == len(found) == 53_000
    assert len(telemetry.events(events.ML_PREDICTION_ACTUAL)) < 25


def test_actuals_that_do_not_fit_are_counted_and_said_once(
    again: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    failure._said.clear()
    telemetry = again(queue_bytes=100_000)
    assert record_actual("m", [f"id-{i}" for i in range(1000)], label="x")
    assert not record_actual("m", [f"id-{i}" for i in range(1000, 11_000)], label="x")
    assert not record_actual("m", [f"id-{i}" for i in range(11_000, 31_000)], label="x")
    assert not flush()
    assert flush()  # nothing more was lost
    last = telemetry.events(events.ML_PREDICTION_ACTUAL)[-1].attributes
    assert (last[ml.MODELSPAN_RECORDER_ROWS_RECORDED], last[ml.MODELSPAN_RECORDER_ROWS_DROPPED]) == (1000, 30_000)
    assert len(telemetry.truth(events.ML_PREDICTION_ACTUAL)) == 1000
    assert [one.getMessage().count("QUEUE_BYTES") for one in caplog.records] == [1]


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA])
def test_of_what_is_not_known_yet_there_is_no_actual(telemetry: Any, missing: Any) -> None:
    assert record_actual("m", (one for one in "ab"), label=pd.Series([missing, "x"], dtype=object))
    assert record_actual("m", ["c", "d"], value=[missing, 2])
    assert record_outcome("m", ["e"], "sold", missing)
    assert [one["prediction_id"] for one in telemetry.truth(events.ML_PREDICTION_ACTUAL)] == ["b", "d"]
    (outcome,) = telemetry.truth(events.ML_PREDICTION_OUTCOME)
    assert "value" not in outcome


def test_an_outcome_without_a_name_is_refused(telemetry: Any) -> None:
    assert not record_outcome("m", "a", "", 1.0)


def test_outcomes(telemetry: Any) -> None:
    assert record_outcome("m", ["a", "b"], "revenue", [12.5, 3], unit="EUR", time=WHEN)
    when = pd.Timestamp(WHEN).tz_convert("UTC")
    shared = {"ml.model.name": "m", "ml.outcome.name": "revenue", "ml.outcome.unit": "EUR", "time": when}
    assert telemetry.truth(events.ML_PREDICTION_OUTCOME) == [
        {**shared, "prediction_id": "a", "value": 12.5},
        {**shared, "prediction_id": "b", "value": 3.0},
    ]


@pytest.mark.parametrize("labels", [["x", "y"], ["x"], []])
def test_lengths_that_do_not_fit_are_refused_in_one_sentence(
    telemetry: Any, caplog: pytest.LogCaptureFixture, labels: list[str]
) -> None:
    failure._said.clear()
    assert not record_actual("m", ["a", "b", "c"], label=labels)
    assert telemetry.events(events.ML_PREDICTION_ACTUAL) == []
    (said,) = caplog.records
    assert f"{len(labels)} of label in a list for 3 prediction ids" in said.message
    assert not said.exc_info


def test_values_that_are_no_numbers_are_left_out_and_the_others_are_taken(
    telemetry: Any, caplog: pytest.LogCaptureFixture
) -> None:
    failure._said.clear()
    ids = [f"id-{i}" for i in range(1000)]
    assert not record_actual("m", ids, value=["1.5"] * 999 + ["N/A"])
    assert not record_outcome("m", ["a", "b"], "revenue", ["?", 2])
    assert [one["value"] for one in telemetry.truth(events.ML_PREDICTION_ACTUAL)] == [1.5] * 999
    assert [one["prediction_id"] for one in telemetry.truth(events.ML_PREDICTION_OUTCOME)] == ["b"]
    (said,) = [one.message for one in caplog.records]
    assert said.startswith("1 of 1000 values are no numbers")


@pytest.mark.parametrize("time", ["1969-12-31", pd.NaT, "soon"])
def test_a_time_that_otlp_cannot_carry_is_refused(telemetry: Any, time: Any) -> None:
    assert not record_actual("m", "a", label="x", time=time)
    assert not record_outcome("m", "a", "revenue", 1.0, time=time)


def test_an_actual_without_label_and_value_is_refused(telemetry: Any) -> None:
    assert not record_actual("m", "a")


def test_names_that_utf8_cannot_write_do_not_cost_an_export(telemetry: Any) -> None:
    identify(MODEL, name="m\ud800", version="v\ud800", run_id="r\ud800")
    with prediction_context(ids=["i\ud800"], segment={"s\ud800": "t\ud800"}):
        MODEL.predict(X[:1])
    DummyRegressor().fit([[1.0]], [1.0]).predict([{"f\ud800": 1.0, "g": "v\ud800"}])
    record_actual(MODEL, "i\ud800", label="l\ud800", source="s\ud800")
    record_outcome("n\ud800", "i", "o\ud800", 1.0, unit="u\ud800")
    assert encode_logs(telemetry.logs()).SerializeToString()
    assert encode_spans(telemetry.spans()).SerializeToString()
    assert telemetry.rows() == 2


def profile_of(telemetry: Any) -> tuple[dict[str, Any], dict[tuple[str, str], Any]]:
    (record,) = telemetry.events(events.ML_REFERENCE_PROFILE)
    attributes = dict(record.attributes)
    profile = from_json(attributes.pop("ml.reference.profile.data"))
    return attributes, {(one.kind, one.name): one for one in profile.series}


class Encoding(LinearRegression):
    """A model that takes texts, too."""


def test_a_reference_profiles_the_features_by_the_names_and_version_of_the_predictions(telemetry: Any) -> None:
    frame = pd.DataFrame({"a": [1.0, 2.0, np.nan, 2.0], "b": ["x", "y", "x", None], "c": [True, False, True, True]})
    served = pd.DataFrame(np.eye(3), columns=["a", "b", "c"])
    model = Encoding().fit(served, [1, 2, 3])
    assert set_reference(model, frame, y=[1, 2, 3, 4])
    frame.loc[:, "a"] = 0.0
    attributes, series = profile_of(telemetry)
    model.predict(served)
    assert attributes["ml.model.version"] == telemetry.batches()[0][0]["ml.model.version"]
    assert (attributes["ml.reference.source"], attributes["ml.reference.sample.count"]) == ("training", 4)
    assert set(series) == {("feature", "a"), ("feature", "b"), ("feature", "c")}
    a, b, c = (series["feature", name] for name in "abc")
    assert (a.rows, a.missing, a.min, a.max) == (4, 1, 1.0, 2.0)
    assert (b.categories, b.counts.tolist(), b.missing) == (("x", "y"), [2, 1, 0], 1)
    assert c.mean == 0.75


@pytest.mark.parametrize("hold", [list, tuple])
def test_rows_in_a_list_or_tuple_keep_the_types_of_their_columns(telemetry: Any, hold: Any) -> None:
    assert set_reference(LogisticRegression(), hold((float(i), "a") for i in range(100)))
    (event,) = telemetry.events(events.ML_REFERENCE_PROFILE)
    kinds = [type(one) for one in from_json(event.attributes["ml.reference.profile.data"]).series]
    assert kinds == [NumericProfile, CategoricalProfile]


def test_a_reference_profiles_the_outputs_that_are_given_with_it(telemetry: Any) -> None:
    held_out = {"predict": MODEL.predict(X[:10]), "predict_proba": MODEL.predict_proba(X[:10])}
    assert set_reference(MODEL, X[:10], predictions=held_out, name="january")
    attributes, series = profile_of(telemetry)
    assert attributes["ml.reference.id"] == "january"
    assert {kind for kind, _ in series} == {"feature", "label", "score"}
    assert series["label", ""].rows == series["score", ""].rows == 10
    assert set(series["label", ""].categories) <= {"true", "false"}


def test_a_large_reference_is_sampled_and_the_same_each_time(telemetry: Any) -> None:
    values = np.arange(250_000, dtype=np.float64).reshape(-1, 1)
    model = LinearRegression().fit(X[:, :1], X[:, 1])
    assert set_reference(model, values)
    assert set_reference(model, values)
    first, second = (dict(one.attributes) for one in telemetry.events(events.ML_REFERENCE_PROFILE))
    assert first == second
    assert first["ml.reference.sample.count"] == 100_000


def test_without_an_sdk_everything_is_accepted_and_nothing_happens(program: Any) -> None:
    source = """
    import numpy as np
    from modelspan.instrumentation import *
    from modelspan.instrumentation.sklearn import SklearnInstrumentor
    from sklearn.linear_model import LinearRegression
    SklearnInstrumentor().instrument()
    model = LinearRegression().fit(np.eye(2), [1, 2])
    identify(model, name="m")
    with prediction_context(ids=["a", "b"]) as said:
        model.predict(np.eye(2))
    import threading
    print(list(said.prediction_ids), record_actual(model, "a", value=1), record_outcome(model, "a", "n"),
          set_reference(model, np.eye(2)), flush(), threading.active_count())
    """
    assert program(source, prelude="") == "[] False False False True 1"


def test_flush_without_a_recorder_is_done(telemetry: Any) -> None:
    assert flush()
