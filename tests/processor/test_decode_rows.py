"""Row form and the other events, as docs/wire.md says."""

from __future__ import annotations

import json
import math
from typing import Any

import orjson
import pytest

from modelspan.processor.decode import Decoded, Model, decode
from modelspan.processor.journal import Record
from modelspan.semconv import attributes, events
from tests.processor.otlp import MODEL, TIME, log, logs, spans

FEATURES = {"amount": 1.5, "country": "DE", "new": True, "age": 3, "gone": None, "nan": float("nan")}
SPAN_ID = "0000000000000001"
TRACE_ID = "0af7651916cd43dd8448eb211c80319c"


def decoded(*records: Record) -> Decoded:
    return decode(records, token="journal:1-9", now=1)


def rows(result: Decoded) -> list[dict[str, Any]]:
    return result.tables["ml_predictions"].to_pylist() if "ml_predictions" in result.tables else []


def span_with(**values: Any) -> Record:
    return spans([{"attributes": {**MODEL, **{key: value for key, value in values.items() if value is not ...}}}])


def test_a_span_is_a_prediction_and_still_a_span() -> None:
    values = {
        attributes.ML_INPUT_FEATURES: FEATURES,
        attributes.ML_OUTPUT_LABEL: 1.0,
        attributes.ML_OUTPUT_SCORE: 0.75,
        attributes.ML_OUTPUT_VALUE: 2,
        attributes.ML_OUTPUT_SCORES: {"1": 0.75, "0": 0.25},
        attributes.ML_OUTPUT_VALUES: {"height": 2.5},
        attributes.ML_OUTPUT_LABELS: {"colour": "red", "size": 3},
        f"{attributes.ML_SEGMENT}.plan": "gold",
        attributes.ML_PREDICTION_VARIANT: "B",
        attributes.ML_SAMPLING_ADJUSTED_COUNT: 4,
        attributes.ML_SAMPLING_REASON: "error",
        attributes.ML_CAPTURE_UNREADABLE: "row_count",
        "error.type": "ValueError",
    }
    result = decoded(span_with(**values))
    [row] = rows(result)
    assert row.pop("time").value == TIME
    row.pop("inserted_at")
    assert row == {
        "service_name": "shop",
        "environment": "prod",
        "model_name": "fraud",
        "model_version": "3",
        "operation": "predict",
        "prediction_id": f"{TRACE_ID}-{SPAN_ID}",
        "trace_id": TRACE_ID,
        "span_id": SPAN_ID,
        "duration": 5000,
        "segment": [("plan", "gold")],
        "variant": "B",
        "features_numeric": [("age", 3.0), ("amount", 1.5), ("new", 1.0)],
        "features_text": [("country", "DE")],
        "label": "1",
        "score": 0.75,
        "value": 2.0,
        "outputs_numeric": [("0", 0.25), ("1", 0.75), ("height", 2.5)],
        "outputs_text": [("colour", "red"), ("size", "3")],
        "weight": 4.0,
        "keep_reason": "error",
        "error_type": "ValueError",
        "unreadable": "row_count",
    }
    assert result.row_form == 1
    assert result.touched == {Model("shop", "prod", "fraud", "3"): {TIME // 10**9}}
    assert dict(result.tables["otel_traces"].to_pylist()[0]["SpanAttributes"])[attributes.ML_OUTPUT_SCORE] == "0.75"


def test_features_as_a_json_string_are_features() -> None:
    text = orjson.dumps({"amount": 1.5, "country": "DE", "new": True, "gone": None}).decode()
    [row] = rows(decoded(span_with(**{attributes.ML_INPUT_FEATURES: text})))
    assert row["features_numeric"] == [("amount", 1.5), ("new", 1.0)]
    assert row["features_text"] == [("country", "DE")]


def test_several_rows_in_one_span_have_numbered_ids() -> None:
    values = {
        attributes.ML_INPUT_FEATURES: {"x": [1.0, None, 3.0], "t": ["a", "b", None]},
        attributes.ML_OUTPUT_PREDICTIONS: {"label": ["y", 2, None], "score": [0.5, None, 1.0]},
        attributes.ML_PREDICTION_ID: "order-7",
    }
    result = rows(decoded(span_with(**values)))
    assert [row["prediction_id"] for row in result] == ["order-7-0", "order-7-1", "order-7-2"]
    assert [row["features_numeric"] for row in result] == [[("x", 1.0)], [], [("x", 3.0)]]
    assert [row["label"] for row in result] == ["y", "2", None]
    assert [row["score"] for row in result] == [0.5, None, 1.0]


@pytest.mark.parametrize(
    "values",
    [
        {attributes.ML_PREDICTION_BATCHED: True},
        {attributes.ML_OPERATION_NAME: ...},
        {attributes.ML_MODEL_NAME: ...},
    ],
)
def test_other_spans_are_no_predictions(values: dict[str, Any]) -> None:
    kept = {key: value for key, value in {**MODEL, **values}.items() if value is not ...}
    result = decoded(spans([{"attributes": kept}]))
    assert rows(result) == []
    assert not result.rejected
    assert result.tables["otel_traces"].num_rows == 1


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({attributes.ML_INPUT_FEATURES: "{not json"}, "attribute_type"),
        ({attributes.ML_INPUT_FEATURES: 7}, "attribute_type"),
        ({attributes.ML_INPUT_FEATURES: {"x": {"nested": 1.0}}}, "attribute_type"),
        ({attributes.ML_INPUT_FEATURES: {"x": [1.0, 2.0], "y": [1.0]}}, "row_count"),
        ({attributes.ML_INPUT_FEATURES: '{"x": {"nested": 1}}'}, "attribute_type"),
        ({attributes.ML_INPUT_FEATURES: "[" * 5000}, "attribute_type"),
        ({attributes.ML_OUTPUT_SCORE: "high"}, "attribute_type"),
        ({attributes.ML_OUTPUT_LABEL: {"a": 1}}, "attribute_type"),
        ({attributes.ML_SAMPLING_ADJUSTED_COUNT: 0.0}, "value_range"),
        ({attributes.ML_SAMPLING_ADJUSTED_COUNT: 1e300}, "value_range"),
        ({attributes.ML_SAMPLING_ADJUSTED_COUNT: 5e-324}, "value_range"),
        ({attributes.ML_OUTPUT_SCORES: [0.5, 0.5]}, "missing_attribute"),
    ],
)
def test_a_span_that_is_no_valid_prediction_is_counted_and_stays_a_span(values: dict[str, Any], reason: str) -> None:
    good = {"attributes": {**MODEL, attributes.ML_OUTPUT_LABEL: "ok"}}
    result = decoded(spans([{"attributes": {**MODEL, **values}}, good]))
    assert result.rejected == {reason: 1}
    assert [row["label"] for row in rows(result)] == ["ok"]
    assert result.tables["otel_traces"].num_rows == 2


@pytest.mark.parametrize("time", [0, 2**63 - 1, 2**64 - 1])
def test_a_prediction_needs_a_time_that_can_be_stored(time: int) -> None:
    result = decoded(spans([{"start_time_unix_nano": time, "attributes": MODEL}]))
    assert result.rejected == {"time_range": 1}
    assert result.tables["otel_traces"].num_rows == 1


def test_a_details_event_takes_its_own_time_and_context() -> None:
    record = log(
        events.ML_PREDICTION_DETAILS, MODEL, time=0, observed_time_unix_nano=TIME, trace_id=bytes.fromhex(TRACE_ID)
    )
    [row] = rows(decoded(record))
    assert (row["time"].value, row["trace_id"], row["span_id"], row["duration"]) == (TIME, TRACE_ID, "", 0)


@pytest.mark.parametrize(("given", "expected"), [(0.00025, 250_000), ("0.5", 500_000_000), (-1.0, 0), ("long", 0)])
def test_a_details_event_has_the_duration_that_it_says(given: Any, expected: int) -> None:
    [row] = rows(decoded(log(events.ML_PREDICTION_DETAILS, {**MODEL, attributes.ML_PREDICTION_DURATION: given})))
    assert row["duration"] == expected


def test_an_id_from_the_place_in_the_journal_is_the_same_in_a_replay_and_no_other() -> None:
    records = [log(events.ML_PREDICTION_DETAILS, MODEL, sequence=sequence) for sequence in (1, 2)]
    first, again = ([row["prediction_id"] for row in rows(decoded(*records))] for _ in range(2))
    assert first == again
    assert len(set(first)) == 2


def test_a_loaded_model_keeps_its_lineage() -> None:
    values = {**MODEL, attributes.ML_MODEL_TYPE: "sklearn.svm.SVC", attributes.ML_TRAINING_RUN_ID: "run-7"}
    [row] = decoded(log(events.ML_MODEL_LOADED, values)).tables["ml_models"].to_pylist()
    assert (row["service_name"], row["model_name"], row["model_type"]) == ("shop", "fraud", "sklearn.svm.SVC")
    assert dict(row["lineage"])[attributes.ML_TRAINING_RUN_ID] == "run-7"


def test_what_a_model_was_fitted_on_is_its_training_data() -> None:
    values = {
        **MODEL,
        attributes.ML_TRAINING_DATASET_DIGEST: "sha256:ab",
        attributes.ML_TRAINING_DATASET_NAMES: ["transactions", "chargebacks"],
        attributes.ML_TRAINING_DATASET_DIGESTS: ["1", "2"],
    }
    known, unknown = (
        decoded(log(events.ML_MODEL_LOADED, one)).tables["ml_models"]["training_data"].to_pylist()[0]
        for one in (values, MODEL)
    )
    assert known == ["sha256:ab", "transactions@1", "chargebacks@2"]
    assert unknown == []


def test_actuals_and_outcomes() -> None:
    shared = {**MODEL, attributes.ML_PREDICTION_ID: "p7"}
    actual = {**shared, attributes.ML_ACTUAL_LABEL: 1, attributes.ML_PREDICTION_TIME: "2023-11-14T22:13:20.5Z"}
    outcome = {
        **shared,
        attributes.ML_OUTCOME_NAME: "revenue",
        attributes.ML_OUTCOME_VALUE: 9,
        attributes.ML_OUTCOME_UNIT: "EUR",
    }
    result = decoded(log(events.ML_PREDICTION_ACTUAL, actual), log(events.ML_PREDICTION_OUTCOME, outcome, sequence=2))
    [known] = result.tables["ml_actuals"].to_pylist()
    assert (known["prediction_id"], known["label"], known["value"]) == ("p7", "1", None)
    assert known["prediction_time"].value == 1_700_000_000_500_000_000
    [became] = result.tables["ml_outcomes"].to_pylist()
    assert (became["name"], became["value"], became["unit"], became["time"].value) == ("revenue", 9.0, "EUR", TIME)


@pytest.mark.parametrize(
    ("name", "values", "reason"),
    [
        (events.ML_PREDICTION_ACTUAL, {attributes.ML_ACTUAL_LABEL: "1"}, "missing_attribute"),
        (events.ML_PREDICTION_ACTUAL, {attributes.ML_PREDICTION_ID: "p"}, "missing_attribute"),
        (
            events.ML_PREDICTION_ACTUAL,
            {attributes.ML_PREDICTION_ID: "p", attributes.ML_ACTUAL_VALUE: 1.0, attributes.ML_PREDICTION_TIME: "soon"},
            "attribute_type",
        ),
        (events.ML_PREDICTION_OUTCOME, {attributes.ML_PREDICTION_ID: "p"}, "missing_attribute"),
        (events.ML_REFERENCE_PROFILE, {attributes.ML_REFERENCE_PROFILE_DATA: b"{}"}, "invalid_profile"),
        (events.ML_REFERENCE_PROFILE, {}, "missing_attribute"),
        (events.ML_REFERENCE_WITHDRAWN, {}, "missing_attribute"),
        (events.ML_PREDICTION_DETAILS, {attributes.ML_OUTPUT_SCORE: "x"}, "attribute_type"),
    ],
)
def test_an_invalid_event_is_counted_and_stays_a_log_record(name: str, values: dict[str, Any], reason: str) -> None:
    result = decoded(log(name, {**MODEL, **values}))
    assert result.rejected == {reason: 1}
    assert list(result.tables) == ["otel_logs"]


def test_a_reference_is_a_row_for_each_series() -> None:
    profile = {
        "format": 1,
        "series": [
            {
                "kind": "feature",
                "name": "amount",
                "type": "numeric",
                "rows": 10,
                "missing": 1,
                "cuts": [1.5],
                "counts": [4, 5],
            }
            | {"mean": 2.0, "stddev": 0.5, "min": 0.0, "max": 9.0},
            {
                "kind": "label",
                "name": "",
                "type": "categorical",
                "rows": 3,
                "missing": 0,
                "categories": ["a"],
                "counts": [2, 1],
            },
        ],
    }
    values = {
        **MODEL,
        attributes.ML_REFERENCE_ID: "train-1",
        attributes.ML_REFERENCE_SOURCE: "training",
        attributes.ML_REFERENCE_PROFILE_DATA: orjson.dumps(profile),
    }
    result = decoded(log(events.ML_REFERENCE_PROFILE, values))
    numeric, categorical = result.tables["ml_references"].to_pylist()
    assert (numeric["cuts"], numeric["counts"], numeric["mean"]) == ([1.5], [4.0, 5.0], 2.0)
    assert (categorical["categories"], categorical["counts"], categorical["mean"]) == (["a"], [2.0, 1.0], None)
    assert (numeric["reference_id"], numeric["source"], numeric["model_name"]) == ("train-1", "training", "fraud")
    assert result.references == {Model("shop", "prod", "fraud", "3")}


def test_a_reference_that_is_taken_back_is_a_row_and_has_windows_of_every_version_judged_again() -> None:
    result = decoded(log(events.ML_REFERENCE_WITHDRAWN, {**MODEL, attributes.ML_REFERENCE_ID: "train-1"}))
    (row,) = result.tables["ml_withdrawn_references"].to_pylist()
    assert (row["model_name"], row["reference_id"], row["service_name"]) == ("fraud", "train-1", "shop")
    assert result.references == {Model("shop", "prod", "fraud", "")}


def test_a_reference_that_is_set_right_after_it_was_taken_back_holds_and_one_before_it_does_not() -> None:
    profile = json.dumps({"format": 1, "series": [PROFILE]}).encode()
    named = {**MODEL, attributes.ML_REFERENCE_ID: "train-1"}
    given = (events.ML_REFERENCE_PROFILE, {**named, attributes.ML_REFERENCE_PROFILE_DATA: profile})
    taken_back = (events.ML_REFERENCE_WITHDRAWN, named)

    def holds(*order: tuple[str, dict[str, Any]]) -> bool:
        tables = decoded(logs(list(order))).tables
        created = max(tables["ml_references"]["created_at"].to_pylist())
        return bool(created > max(tables["ml_withdrawn_references"]["withdrawn_at"].to_pylist()))

    assert holds(taken_back, given)
    assert holds(given, taken_back, taken_back, given)
    assert not holds(given, taken_back)
    assert not holds(taken_back, given, taken_back)


@pytest.mark.parametrize(
    ("scores", "classes", "score"),
    [
        ({"0": 0.25, "1": 0.75}, ..., 0.75),
        ({"1": 0.75, "0": 0.25}, ..., 0.75),
        ({"yes": 0.1, "no": 0.9}, ..., 0.1),
        ({"10": 0.1, "9": 0.9}, ..., 0.1),
        ({"-1": 0.3, "1": 0.7}, ..., 0.7),
        ({"good": 0.2, "bad": 0.8}, ["good", "bad"], 0.8),
        ([0.2, 0.8], ["good", "bad"], 0.8),
        ([0.2, 0.8], [0, 1], 0.8),
        ({"a": 0.2, "b": 0.5, "c": 0.3}, ..., 0.5),
        ({"a": 0.2, "b": float("nan"), "c": 0.3}, ..., 0.3),
        ({"0": 0.25, "1": None}, ..., None),
        ({"only": 0.25}, ..., 0.25),
        ({}, ..., None),
    ],
)
def test_scores_of_classes_alone_have_a_score(scores: Any, classes: Any, score: float | None) -> None:
    given = {attributes.ML_OUTPUT_SCORES: scores, attributes.ML_MODEL_CLASSES: classes}
    assert [row["score"] for row in rows(decoded(span_with(**given)))] == [score]
    record = log(events.ML_PREDICTION_DETAILS, {**MODEL, **{k: v for k, v in given.items() if v is not ...}})
    assert [row["score"] for row in rows(decoded(record))] == [score]


def test_a_score_that_was_given_stays() -> None:
    given = {attributes.ML_OUTPUT_SCORES: {"0": 0.25, "1": 0.75}, attributes.ML_OUTPUT_SCORE: 0.5}
    assert [row["score"] for row in rows(decoded(span_with(**given)))] == [0.5]


def test_bytes_among_the_features_are_a_text() -> None:
    (row,) = rows(decoded(span_with(**{attributes.ML_INPUT_FEATURES: {"code": b"A1", "x": 1.0}})))
    assert (dict(row["features_text"]), dict(row["features_numeric"])) == ({"code": "A1"}, {"x": 1.0})


@pytest.mark.parametrize("long", [attributes.ML_PREDICTION_ID, attributes.ML_PREDICTION_VARIANT, "ml.segment.country"])
def test_rows_that_repeat_a_long_text_are_refused_and_the_event_is_kept(long: str):
    values = {**MODEL, attributes.ML_OUTPUT_PREDICTIONS: {"label": ["a"] * 10_000}, long: "x" * 10_000}
    found = decode([log(events.ML_PREDICTION_DETAILS, values)], token="t", now=1)
    assert found.rejected == {"too_large": 1}
    assert found.tables["otel_logs"].num_rows == 1
    assert "ml_predictions" not in found.tables


@pytest.mark.parametrize(
    ("features", "kept", "left_out"),
    [
        ({"x": [1.0, 2.0], "y": 1.0}, {"y": 1.0}, 1),
        ({"x": {"nested": 1.0}, "y": 1.0, "t": "a"}, {"y": 1.0, "t": "a"}, 1),
        ({"n" * 2000: 1.0, "y": 1.0}, {"y": 1.0}, 1),
        ('{"x": [1, 2], "z": [], "y": 1}', {"y": 1.0}, 2),
        ('{"a": NaN, "y": 2}', {"y": 2.0}, 0),
        ('{"a": Infinity, "b": -Infinity, "y": 2}', {"a": math.inf, "b": -math.inf, "y": 2.0}, 0),
        ('{"a": "\\ud800", "\\udfff": 1, "y": 2}', {"?": 1.0, "y": 2.0}, 1),
        ('{"a": 1%s, "y": 2}' % ("0" * 400), {"y": 2.0}, 1),
    ],
    ids=["a list", "a map", "a long name", "lists in JSON", "NaN", "infinities", "half a pair", "a huge number"],
)
@pytest.mark.parametrize("spans_alike", [1, 40])
def test_what_is_no_value_among_the_features_is_named_and_the_rest_of_the_prediction_is_kept(
    features: Any, kept: dict[str, Any], left_out: int, spans_alike: int, caplog: pytest.LogCaptureFixture
) -> None:
    span = {"attributes": {**MODEL, attributes.ML_INPUT_FEATURES: features, attributes.ML_OUTPUT_LABEL: "ok"}}
    result = decoded(spans([span] * spans_alike))
    for row in rows(result):
        assert ({**dict(row["features_numeric"]), **dict(row["features_text"])}, row["label"]) == (kept, "ok")
    assert len(rows(result)) == spans_alike
    assert result.rejected == ({"attribute_type": left_out * spans_alike} if left_out else {})
    assert ("left out: feature" in caplog.text) == bool(left_out)


WRITTEN_OTHERWISE: dict[str, tuple[str, Any, str, Any]] = {
    "a score as a text": (attributes.ML_OUTPUT_SCORE, "0.75", "score", 0.75),
    "a score with an exponent": (attributes.ML_OUTPUT_SCORE, " 7.5e-1 ", "score", 0.75),
    "a score that is missing": (attributes.ML_OUTPUT_SCORE, "NaN", "score", None),
    "an empty score": (attributes.ML_OUTPUT_SCORE, "", "score", None),
    "a value as a text": (attributes.ML_OUTPUT_VALUE, "-12", "value", -12.0),
    "a weight as a text": (attributes.ML_SAMPLING_ADJUSTED_COUNT, "10", "weight", 10.0),
    "a label that is a truth value": (attributes.ML_OUTPUT_LABEL, True, "label", "true"),
    "a label that is a number": (attributes.ML_OUTPUT_LABEL, 1.0, "label", "1"),
    "a label in bytes": (attributes.ML_OUTPUT_LABEL, "é".encode(), "label", "é"),
    "scores as texts": (attributes.ML_OUTPUT_SCORES, {"0": "0.25", "1": "0.75"}, "score", 0.75),
    "scores in a JSON text": (attributes.ML_OUTPUT_SCORES, '{"0": "0.25", "1": 0.75}', "score", 0.75),
    "values as texts": (attributes.ML_OUTPUT_VALUES, {"high": "2.5"}, "outputs_numeric", [("high", 2.5)]),
    "an id that is a float": (attributes.ML_PREDICTION_ID, 90001.0, "prediction_id", "90001"),
    "an id in bytes": (attributes.ML_PREDICTION_ID, b"abc", "prediction_id", "abc"),
    "an id in bytes that are no text": (attributes.ML_PREDICTION_ID, b"\xff\x00", "prediction_id", "ff00"),
}


@pytest.mark.parametrize("case", WRITTEN_OTHERWISE)
@pytest.mark.parametrize("spans_alike", [1, 40])
def test_what_is_written_otherwise_and_has_one_meaning_is_taken(case: str, spans_alike: int) -> None:
    name, given, column, expected = WRITTEN_OTHERWISE[case]
    values = {**MODEL, attributes.ML_INPUT_FEATURES: '{"a": NaN, "y": 2}', name: given}
    for result in (
        decoded(spans([{"attributes": values}] * spans_alike)),
        decoded(logs([(events.ML_PREDICTION_DETAILS, values)] * spans_alike)),
    ):
        assert [row[column] for row in rows(result)] == [expected] * spans_alike
        assert [dict(row["features_numeric"]) for row in rows(result)] == [{"y": 2.0}] * spans_alike
        assert not result.rejected


@pytest.mark.parametrize(
    ("name", "given", "reason"),
    [
        (attributes.ML_OUTPUT_SCORE, "high", "attribute_type"),
        (attributes.ML_OUTPUT_SCORE, "1,5", "attribute_type"),
        (attributes.ML_OUTPUT_SCORE, "1_5", "attribute_type"),
        (attributes.ML_OUTPUT_VALUE, [1.0], "attribute_type"),
        (attributes.ML_OUTPUT_LABEL, {"a": 1}, "attribute_type"),
        (attributes.ML_OUTPUT_SCORES, [0.5, 0.5], "missing_attribute"),
        (attributes.ML_OUTPUT_SCORES, {"a": "high"}, "attribute_type"),
        (attributes.ML_OUTPUT_VALUES, 7, "attribute_type"),
        (attributes.ML_OUTPUT_LABELS, {"a": [1]}, "attribute_type"),
    ],
)
def test_an_output_that_has_no_one_meaning_is_named_and_the_rest_of_the_prediction_is_kept(
    name: str, given: Any, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    values = {attributes.ML_INPUT_FEATURES: {"x": 1.0}, attributes.ML_PREDICTION_VARIANT: "B", name: given}
    result = decoded(span_with(**values))
    [row] = rows(result)
    assert (row["features_numeric"], row["variant"]) == ([("x", 1.0)], "B")
    assert (row["label"], row["score"], row["value"], row["outputs_numeric"]) == (None, None, None, [])
    assert result.rejected == {reason: 1}
    assert "left out: " in caplog.text


def test_outputs_are_kept_beside_features_that_cannot_be_read() -> None:
    result = decoded(span_with(**{attributes.ML_INPUT_FEATURES: "{not json", attributes.ML_OUTPUT_LABEL: "ok"}))
    assert [row["label"] for row in rows(result)] == ["ok"]
    assert result.rejected == {"attribute_type": 1}


def test_one_row_of_several_that_has_no_score_costs_no_other() -> None:
    given = {"score": ["0.5", "high", None], "label": [True, 1, {"a": 1}]}
    result = decoded(span_with(**{attributes.ML_OUTPUT_PREDICTIONS: given}))
    assert [(row["score"], row["label"]) for row in rows(result)] == [(0.5, "true"), (None, "1"), (None, None)]
    assert result.rejected == {"attribute_type": 2}


def test_an_actual_or_outcome_in_texts_is_a_number() -> None:
    shared = {**MODEL, attributes.ML_PREDICTION_ID: 7.0}
    actual = log(events.ML_PREDICTION_ACTUAL, {**shared, attributes.ML_ACTUAL_VALUE: "1.5"})
    sold = {attributes.ML_OUTCOME_NAME: "sold", attributes.ML_OUTCOME_VALUE: "12"}
    result = decoded(actual, log(events.ML_PREDICTION_OUTCOME, {**shared, **sold}, sequence=2))
    ((actual_row,), (outcome_row,)) = (result.tables[name].to_pylist() for name in ("ml_actuals", "ml_outcomes"))
    assert (actual_row["prediction_id"], actual_row["value"]) == ("7", 1.5)
    assert (outcome_row["prediction_id"], outcome_row["value"]) == ("7", 12.0)


def test_values_of_arrays_that_cannot_be_stored_are_left_out_of_their_row() -> None:
    values = {attributes.ML_INPUT_FEATURES: {"x": [1.0, [2.0], 3.0], "y": 5.0}, attributes.ML_OUTPUT_PREDICTIONS: {}}
    result = decoded(span_with(**values))
    assert [dict(row["features_numeric"]) for row in rows(result)] == [{"x": 1.0}, {}, {"x": 3.0}]
    assert result.rejected == {"attribute_type": 2}


def test_a_span_that_is_no_valid_prediction_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    decoded(span_with(**{attributes.ML_OUTPUT_SCORE: "high"}))
    assert "span 'predict fraud' of 'shop' is stored as no prediction: attribute_type" in caplog.text


PROFILE = {"kind": "feature", "name": "x", "type": "numeric", "rows": 3, "missing": 0, "cuts": [1], "counts": [1, 2]}
BAD_PROFILES: dict[str, dict[str, Any]] = {
    "half a pair in a name": {"name": "\ud800"},
    "half a pair in a category": {"type": "categorical", "categories": ["\udfff"]},
    "more rows than there can be": {"rows": 1e300, "counts": [0, 1e300]},
    "hardly any row": {"rows": 5e-324, "counts": [0, 5e-324]},
    "an infinity": {"rows": math.inf, "counts": [1, math.inf]},
    "not a number": {"mean": math.nan},
    "a spread below zero": {"stddev": -1},
    "extremes the wrong way round": {"min": 2, "max": 1},
}


@pytest.mark.parametrize("case", BAD_PROFILES)
def test_a_profile_that_cannot_be_used_costs_no_prediction_beside_it(case: str) -> None:
    profile = json.dumps({"format": 1, "series": [{**PROFILE, **BAD_PROFILES[case]}]}).encode()
    reference = {**MODEL, attributes.ML_REFERENCE_ID: "r", attributes.ML_REFERENCE_PROFILE_DATA: profile}
    details = (events.ML_PREDICTION_DETAILS, {**MODEL, attributes.ML_OUTPUT_LABEL: "ok"})
    result = decoded(logs([details] * 25 + [(events.ML_REFERENCE_PROFILE, reference)] + [details] * 25))
    assert result.tables["ml_predictions"].num_rows == 50
    assert "ml_references" not in result.tables
    assert result.rejected == {"invalid_profile": 1}


def test_an_error_in_one_event_is_counted_and_costs_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelspan.processor.decode.events.text", lambda value: 1 / 0)
    details = (events.ML_PREDICTION_DETAILS, {**MODEL, attributes.ML_OUTPUT_LABEL: "ok"})
    result = decoded(logs([details, (events.ML_MODEL_LOADED, MODEL), details]))
    assert (result.tables["ml_predictions"].num_rows, result.rejected) == (2, {"undecodable": 1})
    assert result.tables["otel_logs"].num_rows == 3
