"""What the policy withholds of a feature is nowhere in the telemetry; and that it was withheld is said."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn.base import BaseEstimator
from sklearn.linear_model import LinearRegression

from modelspan.instrumentation import config, failure, flush, set_reference
from modelspan.instrumentation.recorder.policy import Action, find_action, parse_features
from modelspan.semconv import attributes as ml
from modelspan.semconv import events

SECRET = "Zwetschge-4711"
KEY = "a key of at least sixteen bytes"


class Anything(BaseEstimator):  # type: ignore[misc]
    """Takes any input of known length."""

    def fit(self, X: Any, y: Any = None) -> Anything:
        return self

    def predict(self, X: Any) -> Any:
        return np.zeros(len(X))


class Broken(Anything):
    def predict(self, X: Any) -> Any:
        raise ValueError(SECRET)


@pytest.fixture(autouse=True)
def _warn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failure, "_said", set())


def everything(telemetry: Any) -> bytes:
    """All bytes that left the process: of log records and spans, columns of batches as text."""
    parts = [repr([dict(log.log_record.attributes or {}) for log in telemetry.logs()])]
    parts += [str(table.to_pydict()) for _, table in telemetry.batches()]
    parts += [str(dict(span.attributes or {})) + span.name for span in telemetry.spans()]
    return "".join(parts).encode()


FRAME = pd.DataFrame(
    {
        "age": [31, 38, 64],
        "email": ["a@example.org", "b@example.org", "a@example.org"],
        "name": ["Ada", "Bob", None],
        "ssn": [SECRET] * 3,
        "height": [149.5, 150.0, 201.0],
    }
)
RULES = "age=bucket:10, email=hash, name=mask, ssn=drop, height=bucket:150/170/200"


def test_each_action_does_what_its_name_says(again: Callable[..., Any]) -> None:
    telemetry = again(features=RULES, hash_key=KEY)
    Anything().predict(FRAME)
    found = telemetry.batch().to_pydict()
    digest = [hmac.new(KEY.encode(), mail.encode(), hashlib.sha256).hexdigest()[:32] for mail in FRAME["email"]]
    assert found["feature.age"] == [30.0, 30.0, 60.0]
    assert found["feature.email"] == digest
    assert found["feature.name"] == ["[masked]", "[masked]", None]
    assert found["feature.height"] == ["<150", "150..170", ">=200"]
    assert "feature.ssn" not in found


def test_what_was_withheld_and_how_is_said(again: Callable[..., Any]) -> None:
    telemetry = again(features=RULES, hash_key=KEY)
    Anything().predict(FRAME)
    ((batch, _),) = telemetry.batches()
    (loaded,) = telemetry.events(events.ML_MODEL_LOADED)
    expected = {"age": "bucketed", "email": "hashed", "height": "bucketed", "name": "masked", "ssn": "removed"}
    for attributes in (batch, loaded.attributes):
        said = dict(zip(attributes[ml.ML_REDACTION_FEATURES], attributes[ml.ML_REDACTION_METHODS], strict=True))
        assert said == expected
        assert attributes[ml.ML_REDACTION_FEATURE_COUNT] == 5


def test_a_rule_that_no_feature_of_the_model_has_is_not_said_to_withhold_anything(again: Callable[..., Any]) -> None:
    telemetry = again(features="heigth=drop,s*n=drop,nothing*=hash,age=mask")
    Anything().predict(FRAME)
    (loaded,) = telemetry.events(events.ML_MODEL_LOADED)
    said = zip(loaded.attributes[ml.ML_REDACTION_FEATURES], loaded.attributes[ml.ML_REDACTION_METHODS], strict=True)
    assert dict(said) == {"age": "masked", "s*n": "removed"}


def test_nor_where_the_model_is_fitted_in_the_program(again: Callable[..., Any]) -> None:
    telemetry = again(features="heigth=drop,height=drop")
    data = pd.DataFrame({"age": np.arange(200.0), "height": np.arange(200.0) ** 2})
    LinearRegression().fit(data, data["age"])
    assert flush()
    (loaded,) = telemetry.events(events.ML_MODEL_LOADED)
    assert loaded.attributes[ml.ML_REDACTION_FEATURES] == ("height",)


def test_an_allow_list_names_what_it_leaves_out(again: Callable[..., Any]) -> None:
    telemetry = again(capture="age,email", features="email=mask")
    Anything().predict(FRAME)
    ((attributes, table),) = telemetry.batches()
    assert [name for name in table.column_names if name.startswith("feature.")] == ["feature.age", "feature.email"]
    assert attributes[ml.ML_CAPTURE_FEATURES] == "listed"
    assert attributes[ml.ML_REDACTION_FEATURES] == ("email", "height", "name", "ssn")
    assert attributes[ml.ML_REDACTION_METHODS] == ("masked", "removed", "removed", "removed")


def test_without_a_policy_nothing_is_said_and_nothing_changed(telemetry: Any) -> None:
    Anything().predict(FRAME)
    ((attributes, table),) = telemetry.batches()
    assert table.to_pydict()["feature.ssn"] == [SECRET] * 3
    assert not [name for name in attributes if "redaction" in name or "capture" in name]


INPUTS = {
    "pandas": pd.DataFrame({"ssn": [SECRET, "x"], "age": [1, 2]}),
    "pandas with the column twice": pd.DataFrame([[SECRET, "x", 1], ["y", SECRET, 2]], columns=["ssn", "ssn", "age"]),
    "a named series": pd.Series([SECRET, "x"], name="ssn"),
    "polars": pl.DataFrame({"ssn": [SECRET, "x"], "age": [1, 2]}),
    "dicts": [{"ssn": SECRET, "age": 1}, {"ssn": "x", "age": 2}],
    "categorical": pd.DataFrame({"ssn": pd.Categorical([SECRET, "x"]), "age": [1, 2]}),
    "objects in a cell": pd.DataFrame({"ssn": [[SECRET], {"a": SECRET}], "age": [1, 2]}),
}


@pytest.mark.parametrize("action", ["drop", "mask", "hash", "bucket:5", "misspelt"])
@pytest.mark.parametrize("given", INPUTS.values(), ids=INPUTS.keys())
def test_no_value_that_is_withheld_leaves_by_any_signal(again: Callable[..., Any], given: Any, action: str) -> None:
    telemetry = again(features=f"ssn={action}", span_features=True, hash_key=KEY)
    model = Anything()
    model.predict(given)
    model.predict(given[:1])
    set_reference(model, given)
    with pytest.raises(ValueError, match="Zwetschge"):
        Broken().predict(given)
    found = everything(telemetry)
    assert SECRET.encode() not in found
    assert b"Anything" in found
    assert len(telemetry.spans()) == 3
    nothing_left = isinstance(given, pd.Series) and action not in ("mask", "hash")
    assert len(telemetry.events(events.ML_REFERENCE_PROFILE)) == (0 if nothing_left else 1)


def test_texts_and_arrays_obey_the_names_that_they_are_recorded_by(again: Callable[..., Any]) -> None:
    telemetry = again(features="text=drop,x1=drop")
    Anything().predict([SECRET, "b"])
    Anything().predict(np.array([[1, SECRET]], dtype=object))
    assert SECRET.encode() not in everything(telemetry)
    assert "feature.x0" in telemetry.batches()[-1][1].column_names


def test_a_reference_has_the_values_that_predictions_are_recorded_with(again: Callable[..., Any]) -> None:
    telemetry = again(features="email=hash,name=mask", hash_key=KEY)
    model = Anything()
    set_reference(model, FRAME)
    model.predict(FRAME)
    (record,) = telemetry.events(events.ML_REFERENCE_PROFILE)
    series = {s["name"]: s for s in json.loads(record.attributes[ml.ML_REFERENCE_PROFILE_DATA])["series"]}
    recorded = telemetry.batch().to_pydict()
    assert set(series["email"]["categories"]) == set(recorded["feature.email"])
    assert series["name"]["categories"] == ["[masked]"]


def test_equal_values_have_equal_hashes_in_every_process_with_the_key(
    program: Callable[..., str], tmp_path: Path
) -> None:
    source = """
        set_up_sdk()
        import io, pyarrow as pa
        from modelspan.semconv import attributes as ml
        SklearnInstrumentor().instrument(features="x0=hash")
        from sklearn.linear_model import LinearRegression
        LinearRegression().fit([[1.0], [2.0]], [1, 2]).predict(np.array([[1.0], [2.0], [1.0]]))
        flush()
        for log in logs.get_finished_logs():
            data = (log.log_record.attributes or {}).get(ml.ML_PREDICTION_BATCH_DATA)
            if data:
                print(pa.ipc.open_stream(data).read_all().to_pydict().get("feature.x0"))
    """
    keyed = {"OTEL_INSTRUMENTATION_ML_HASH_KEY": KEY}
    (tmp_path / "key").write_text(KEY + "\n")
    first, second = (
        program(source, **keyed),
        program(source, OTEL_INSTRUMENTATION_ML_HASH_KEY_FILE=str(tmp_path / "key")),
    )
    other = program(source, OTEL_INSTRUMENTATION_ML_HASH_KEY=KEY + "!")
    assert first == second != other
    one, two, again = json.loads(first.replace("'", '"'))
    assert one == again != two


def test_without_a_key_a_feature_is_dropped_and_not_hashed(
    again: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    telemetry = again(features="email=hash")
    Anything().predict(FRAME)
    Anything().predict(FRAME)
    ((attributes, table), *_) = telemetry.batches()
    assert "feature.email" not in table.column_names
    assert attributes[ml.ML_REDACTION_METHODS] == ("removed",)
    assert sum("HASH_KEY" in record.message for record in caplog.records) == 1


def test_the_key_is_in_no_representation_of_the_configuration() -> None:
    assert KEY not in repr(config.load({"OTEL_INSTRUMENTATION_ML_HASH_KEY": KEY}))


def test_the_message_of_an_error_is_not_logged_where_anything_is_withheld(
    again: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    class Unreadable:
        def __float__(self) -> float:
            raise RuntimeError(SECRET)

    telemetry = again(features="other=drop")
    Anything().predict([[Unreadable()]])
    assert telemetry.rows() == 1
    assert "read the inputs" in caplog.text
    Anything().fit([[Unreadable()]] * 100)
    set_reference(Anything(), [[Unreadable()]])
    assert not telemetry.events(events.ML_REFERENCE_PROFILE)
    assert "emit an event" in caplog.text
    assert SECRET not in caplog.text


def test_a_reference_of_which_nothing_may_leave_is_none(
    again: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    telemetry = again(capture="none")
    set_reference(Anything(), FRAME)
    assert not telemetry.events(events.ML_REFERENCE_PROFILE)
    assert "no feature that is captured" in caplog.text


def test_the_environment_a_keyword_and_a_mapping_say_the_same() -> None:
    text = "age=bucket:10,zip=bucket:1/2/3,*_id=hash"
    mapping = {"age": "bucket:10", "zip": "bucket:1/2/3", "*_id": Action("hash")}
    found = config.load({"OTEL_INSTRUMENTATION_ML_FEATURES": text}).features
    assert found == config.load({}, features=text).features == config.load({}, features=mapping).features
    assert found == (
        ("age", Action("bucket", 10.0)),
        ("zip", Action("bucket", 0.0, (1, 2, 3))),
        ("*_id", Action("hash")),
    )


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a_id", "hash"),
        ("my_id", "mask"),
        ("a_id.1", "hash"),
        ("a", None),
        ("b.7", "drop"),
        ("x[0]", "drop"),
        ("x0", None),
        ("b.norm", "drop"),  # of a tensor
        ("b.ids.7", "drop"),
        (".7", None),
    ],
)
def test_a_name_without_a_star_comes_first_then_the_first_that_fits(name: str, kind: str | None) -> None:
    rules = parse_features("*_id=hash,my_*=drop,my_id=mask,b=drop,x[0]=drop")
    found = find_action(rules, name)
    assert (found and found.kind) == kind


@pytest.mark.parametrize(
    "text", ["ssn", "ssn=", "ssn=dorp", "ssn=bucket", "ssn=bucket:0", "ssn=bucket:3/1", "ssn=hash:x"]
)
def test_a_rule_that_cannot_be_read_drops_its_feature(text: str, caplog: pytest.LogCaptureFixture) -> None:
    assert config.load({"OTEL_INSTRUMENTATION_ML_FEATURES": text}).features == (("ssn", Action("drop")),)
    assert "dropped" in caplog.text


def test_numbers_of_every_type_go_into_buckets(again: Callable[..., Any]) -> None:
    telemetry = again(features="*=bucket:0.5")
    frame = pd.DataFrame(
        {"a": np.array([-0.3, np.nan, 0.7], dtype=np.float32), "b": [1, 2, 3], "c": [True, False, True]}
    )
    Anything().predict(frame)
    found = telemetry.batch().to_pydict()
    assert found["feature.a"] == [-0.5, None, 0.5]
    assert found["feature.b"] == [1.0, 2.0, 3.0]
    assert found["feature.c"] == [1.0, 0.0, 1.0]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_multiple_of_the_width_is_its_own_bucket_however_it_is_rounded(again: Callable[..., Any], dtype: Any) -> None:
    telemetry = again(features="x0=bucket:0.1,x1=bucket:0.2/0.7,x2=bucket:10")
    tenths, tens = np.arange(-9, 10) / 10, 10.0 * np.arange(-9, 10)
    Anything().predict(np.column_stack([tenths, tenths, tens]).astype(dtype))
    Anything().predict(np.column_stack([tenths + 0.03, tenths, tens - 1]).astype(dtype))
    (_, table), *more = telemetry.batches()
    found = pa.concat_tables([table, *(one for _, one in more)]).to_pydict()
    np.testing.assert_allclose(found["feature.x0"], [*tenths, *tenths])
    assert len(set(found["feature.x0"])) == 19
    assert found["feature.x1"] == ["<0.2" if one < 0.2 else "0.2..0.7" if one < 0.7 else ">=0.7" for one in tenths] * 2
    assert found["feature.x2"] == [*tens, *(tens - 10)]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_largest_numbers_have_buckets(again: Callable[..., Any], dtype: Any) -> None:
    telemetry = again(features="*=bucket:10")
    Anything().predict(np.array([[np.inf], [-np.inf], [16_777_208], [np.finfo(np.float32).max]], dtype=dtype))
    found = telemetry.batch().to_pydict()["feature.x0"]
    assert found[:3] == [np.inf, -np.inf, 16_777_200]


def test_a_model_with_names_is_ruled_by_them_when_it_gets_an_array(again: Callable[..., Any]) -> None:
    telemetry = again(features="age=drop")
    frame = FRAME[["age", "height"]]
    LinearRegression().fit(frame, [1, 2, 3]).predict(frame)
    assert "feature.age" not in telemetry.batch().column_names
