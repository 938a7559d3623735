"""Batch events: what is accepted keeps its exact values, and what is not is counted and kept whole as a log record."""

from __future__ import annotations

import base64
import math
import struct
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from modelspan.processor.decode import Decoded, Model, decode
from modelspan.semconv import attributes, columns
from tests.processor.otlp import MODEL, TIME, arrow, batch, log, logs, required, stream

FEATURE = columns.FEATURE_PREFIX


def decoded(*payloads: bytes, **attributes_: Any) -> Decoded:
    records = [batch(payload, attributes_, sequence=i + 1) for i, payload in enumerate(payloads)]
    return decode(records, token="t", now=1)


def rows(result: Decoded) -> list[dict[str, Any]]:
    return result.tables["ml_predictions"].to_pylist() if "ml_predictions" in result.tables else []


def features(result: Decoded) -> list[dict[str, Any]]:
    return [dict(row["features_numeric"]) | dict(row["features_text"]) for row in rows(result)]


def test_every_column_arrives_with_its_exact_value() -> None:
    payload = arrow(
        {
            columns.DURATION: [7],
            columns.TRACE_ID: ["0af7651916cd43dd8448eb211c80319c"],
            columns.SPAN_ID: ["b7ad6b7169203331"],
            columns.VARIANT: ["B"],
            columns.LABEL: ["yes"],
            columns.SCORE: [0.25],
            columns.VALUE: [-0.0],
            columns.WEIGHT: [4.0],
            columns.KEEP_REASON: ["error"],
            columns.ERROR_TYPE: ["ValueError"],
            FEATURE + "amount": [1.5],
            FEATURE + "country": ["DE"],
            columns.SEGMENT_PREFIX + "plan": ["gold"],
            columns.SCORE_PREFIX + "yes": [0.25],
            columns.VALUE_PREFIX + "height": [3],
            columns.LABEL_PREFIX + "colour": ["red"],
            "something.new": [object.__name__],
        }
    )
    [row] = rows(decoded(payload))
    assert row["time"].value == TIME
    assert math.copysign(1, row.pop("value")) == -1
    assert {key: value for key, value in row.items() if key not in ("time", "inserted_at")} == {
        "service_name": "shop",
        "environment": "prod",
        "model_name": "fraud",
        "model_version": "3",
        "operation": "predict",
        "prediction_id": "p0",
        "trace_id": "0af7651916cd43dd8448eb211c80319c",
        "span_id": "b7ad6b7169203331",
        "duration": 7,
        "segment": [("plan", "gold")],
        "variant": "B",
        "features_numeric": [("amount", 1.5)],
        "features_text": [("country", "DE")],
        "label": "yes",
        "score": 0.25,
        "outputs_numeric": [("height", 3.0), ("yes", 0.25)],
        "outputs_text": [("colour", "red")],
        "weight": 4.0,
        "keep_reason": "error",
        "error_type": "ValueError",
        "unreadable": "",
    }


def test_each_row_says_why_its_features_could_not_be_read() -> None:
    first = batch(
        arrow({columns.PREDICTION_ID: ["a", "b"]}), {attributes.ML_CAPTURE_UNREADABLE: "categorical"}, sequence=1
    )
    second = batch(arrow({columns.PREDICTION_ID: ["c"]}), {}, sequence=2)
    found = rows(decode([first, second], token="t", now=1))
    assert [(row["prediction_id"], row["unreadable"]) for row in found] == [
        ("a", "categorical"),
        ("b", "categorical"),
        ("c", ""),
    ]


def test_absent_columns_have_their_defaults() -> None:
    [row] = rows(decoded(arrow({FEATURE + "x": [1.0]})))
    assert (row["label"], row["score"], row["value"], row["weight"], row["duration"]) == (None, None, None, 1.0, 0)
    assert (row["variant"], row["trace_id"], row["segment"]) == ("", "", [])


def test_missing_values_leave_no_key_and_infinities_stay() -> None:
    payload = arrow(
        {
            FEATURE + "a": pa.array([1.0, None, math.nan, math.inf, -math.inf]),
            FEATURE + "b": pa.array([None, True, False, None, True]),
            FEATURE + "c": pa.array(["", None, "ü", "\0", "x"]),
            FEATURE + "d": pa.array([2**53, None, -1, 0, 1]),
            FEATURE: pa.array([None, 1.0, None, None, None]),
        }
    )
    assert features(decoded(payload)) == [
        {"a": 1.0, "c": "", "d": 2.0**53},
        {"": 1.0, "b": 1.0},
        {"b": 0.0, "c": "ü", "d": -1.0},
        {"a": math.inf, "c": "\0", "d": 0.0},
        {"a": -math.inf, "b": 1.0, "c": "x", "d": 1.0},
    ]


def test_keys_are_sorted_as_bytes_are() -> None:
    names = ["z", "ä", "a", "Z", "", "\U0001d4b3", "\uffff"]
    [row] = rows(decoded(arrow({FEATURE + name: [1.0] for name in names})))
    assert [key for key, _ in row["features_numeric"]] == sorted(names, key=str.encode)


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (pa.array([3], pa.int8()), 3.0),
        (pa.array([3], pa.uint16()), 3.0),
        (pa.array([2**64 - 1], pa.uint64()), 2.0**64),
        (pa.array([np.float16(1.5)], pa.float16()), 1.5),
        (pa.array([0.1], pa.float32()), float(np.float32(0.1))),
        (pa.array(["x"], pa.large_string()), "x"),
        (pa.array(["x"]).dictionary_encode(), "x"),
        (pa.array(["x"], pa.large_string()).dictionary_encode(), "x"),
    ],
)
def test_other_widths_and_encodings_are_accepted(array: pa.Array, expected: Any) -> None:
    assert features(decoded(arrow({FEATURE + "f": array}))) == [{"f": expected}]


def test_columns_of_nulls_are_absent_columns() -> None:
    payload = arrow({FEATURE + "n": pa.nulls(2), columns.LABEL: pa.nulls(2), columns.WEIGHT: pa.array([None, 2.0])})
    result = decoded(payload)
    assert features(result) == [{}, {}]
    assert [row["weight"] for row in rows(result)] == [1.0, 2.0]


def test_batches_of_one_layout_and_of_others_keep_their_rows_apart() -> None:
    result = decoded(arrow({FEATURE + "a": [1.0, 2.0]}), arrow({FEATURE + "b": ["x"]}), arrow({FEATURE + "a": [3.0]}))
    assert sorted(map(str, features(result))) == ["{'a': 1.0}", "{'a': 2.0}", "{'a': 3.0}", "{'b': 'x'}"]
    assert result.model_codes.tolist() == [0, 0, 0, 0]


def test_several_record_batches_with_changing_dictionaries_are_one_payload() -> None:
    first = pa.table({**required(1), FEATURE + "f": pa.array(["a"]).dictionary_encode()})
    second = pa.table({**required(2, TIME + 9), FEATURE + "f": pa.array(["b", "a"]).dictionary_encode()})
    assert features(decoded(stream(pa.concat_tables([first, second])))) == [{"f": "a"}, {"f": "b"}, {"f": "a"}]


def test_five_thousand_columns() -> None:
    assert len(features(decoded(arrow({f"{FEATURE}{i}": [float(i)] for i in range(5000)})))[0]) == 5000


def test_an_empty_batch_is_an_ordinary_event() -> None:
    result = decoded(
        arrow({FEATURE + "a": pa.array([], pa.float64())}), **{attributes.ML_PREDICTION_BATCH_ROW_COUNT: 0}
    )
    assert rows(result) == []
    assert not result.rejected
    assert result.tables["otel_logs"].num_rows == 1


def test_other_time_units_are_accepted_and_the_last_nanosecond_too() -> None:
    times = [
        pa.array([TIME // 10**9], pa.timestamp("s")),
        pa.array([TIME // 10**6], pa.timestamp("ms", "UTC")),
        pa.array([2**63 - 1], pa.timestamp("ns")),
    ]
    result = decoded(*(stream(pa.table({columns.TIME: time, columns.PREDICTION_ID: ["p"]})) for time in times))
    assert sorted(row["time"].value for row in rows(result)) == [
        TIME // 10**9 * 10**9,
        TIME // 10**6 * 10**6,
        2**63 - 1,
    ]


def test_a_well_decoded_event_is_a_log_record_without_its_payload() -> None:
    log_row = decoded(arrow({FEATURE + "a": [1.0]}))
    [row] = log_row.tables["otel_logs"].to_pylist()
    assert row["EventName"] == "ml.prediction.batch"
    assert dict(row["LogAttributes"]) == {**MODEL}


def test_touched_are_the_seconds_of_each_model() -> None:
    second = 10**9
    times = pa.array([TIME, TIME + 10 * second, TIME + 1], pa.timestamp("ns", "UTC"))
    result = decoded(stream(pa.table({columns.TIME: times, columns.PREDICTION_ID: ["a", "b", "c"]})))
    assert result.touched == {Model("shop", "prod", "fraud", "3"): {TIME // second, TIME // second + 10}}


def with_column(name: str, array: pa.Array) -> bytes:
    return arrow({name: array})


def truncated() -> bytes:
    return arrow({FEATURE + "a": [1.0] * 100})[:-300]


def invalid_utf8() -> bytes:
    bad = pa.StringArray.from_buffers(1, pa.py_buffer(struct.pack("<ii", 0, 2)), pa.py_buffer(b"\xff\xfe"))
    return with_column(FEATURE + "t", bad)


def offsets_beyond_the_data() -> bytes:
    offsets = struct.pack("<iii", 0, 7, 11)
    payload = arrow({FEATURE + "t": ["abcdefg", "hijk"]})
    assert payload.count(offsets) == 1
    return payload.replace(offsets, struct.pack("<iii", 0, 7, 1 << 30))


def indices_beyond_the_dictionary() -> bytes:
    bad = pa.DictionaryArray.from_arrays(pa.array([7], pa.int32()), pa.array(["a"]), safe=False)
    return with_column(FEATURE + "t", bad)


def duplicate_columns() -> bytes:
    names = [*required(1), FEATURE + "a", FEATURE + "a"]
    return stream(pa.Table.from_arrays([*required(1).values(), pa.array([1.0]), pa.array([2.0])], names=names))


def invalid_column_name() -> bytes:
    return arrow({FEATURE + "~~~~": [1.0]}).replace(b"~~~~", b"\xff\xfe\xff\xfe")


def bomb_of_declared_size(size: int) -> bytes:
    """A small compressed buffer that claims to hold `size` bytes."""
    zeros = 800_000
    payload = arrow({FEATURE + "a": np.zeros(zeros // 8)}, compression="zstd")
    assert struct.pack("<q", zeros) in payload
    return payload.replace(struct.pack("<q", zeros), struct.pack("<q", size))


def bomb_of_nulls() -> bytes:
    rows = 9_000_000
    ones = pa.repeat(pa.scalar(1, pa.timestamp("ns")), rows)
    return stream(pa.table({columns.TIME: ones, columns.PREDICTION_ID: pa.repeat("", rows)}), compression="zstd")


def bomb_of_a_repeated_value() -> bytes:
    rows = 100_000
    repeated = pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int8)), pa.array(["x" * 10_000]))
    ids = pa.array([str(i) for i in range(rows)])
    times = pa.array(np.arange(rows), pa.timestamp("ns"))
    return stream(pa.table({columns.TIME: times, columns.PREDICTION_ID: ids, FEATURE + "t": repeated}))


def without(name: str) -> bytes:
    return stream(pa.table({FEATURE + "a": [1.0], **required(1)}).drop_columns([name]))


def with_time(array: pa.Array) -> bytes:
    return stream(pa.table({columns.TIME: array, columns.PREDICTION_ID: ["p"]}))


MALFORMED = {
    "nothing": (lambda: b"", "corrupt_payload"),
    "not Arrow": (lambda: b"hello, this is not Arrow at all", "corrupt_payload"),
    "truncated": (truncated, "corrupt_payload"),
    "invalid UTF-8": (invalid_utf8, "corrupt_payload"),
    "offsets beyond the data": (offsets_beyond_the_data, "corrupt_payload"),
    "indices beyond the dictionary": (indices_beyond_the_dictionary, "corrupt_payload"),
    "column name not UTF-8": (invalid_column_name, "corrupt_payload"),
    "duplicate columns": (duplicate_columns, "duplicate_column"),
    "two outputs of one name": (lambda: arrow({"score.a": [1.0], "value.a": [1.0]}), "duplicate_column"),
    "no time": (lambda: without(columns.TIME), "missing_column"),
    "no ids": (lambda: without(columns.PREDICTION_ID), "missing_column"),
    "null time": (lambda: with_time(pa.array([None], pa.timestamp("ns"))), "missing_value"),
    "only null times": (lambda: with_time(pa.nulls(1)), "missing_value"),
    "time as a number": (lambda: with_time(pa.array([1.0])), "column_type"),
    "year 2299": (lambda: with_time(pa.array([10_400_000_000], pa.timestamp("s"))), "time_range"),
    "before 1970": (lambda: with_time(pa.array([-1], pa.timestamp("ns"))), "time_range"),
    "an unknown time": (lambda: with_time(pa.array([0], pa.timestamp("ns"))), "time_range"),
    "nested feature": (lambda: with_column(FEATURE + "n", pa.array([[1.0]])), "column_type"),
    "number as label": (lambda: with_column(columns.LABEL, pa.array([1])), "column_type"),
    "text as score": (lambda: with_column(columns.SCORE, pa.array(["a"])), "column_type"),
    "weight of zero": (lambda: with_column(columns.WEIGHT, pa.array([0.0])), "value_range"),
    "weight beyond all bounds": (lambda: with_column(columns.WEIGHT, pa.array([1e300])), "value_range"),
    "weight not a number": (lambda: with_column(columns.WEIGHT, pa.array([math.nan])), "value_range"),
    "bomb that claims a terabyte": (lambda: bomb_of_declared_size(2**40), "too_large"),
    "bomb that claims a negative size": (lambda: bomb_of_declared_size(-5), "corrupt_payload"),
    "compressed size is a lie": (lambda: bomb_of_declared_size(900_000), "corrupt_payload"),
    "bomb of equal values": (bomb_of_nulls, "too_large"),
    "bomb of a repeated long value": (bomb_of_a_repeated_value, "too_large"),
    "bomb of a shared view": (lambda: bomb_of_a_shared_view(), "too_large"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_payload_is_counted_and_kept_and_the_rest_survives(case: str) -> None:
    make, reason = MALFORMED[case]
    payload = make()
    good = {**MODEL, attributes.ML_PREDICTION_BATCH_DATA: arrow({FEATURE + "a": [1.0]})}
    bad = {**MODEL, attributes.ML_PREDICTION_BATCH_DATA: payload}
    result = decode([logs([("ml.prediction.batch", bad), ("ml.prediction.batch", good), ("", {})])], token="t", now=1)
    assert result.rejected == {reason: 1}
    assert features(result) == [{"a": 1.0}]
    kept = dict(result.tables["otel_logs"].to_pylist()[0]["LogAttributes"])
    assert base64.b64decode(kept[attributes.ML_PREDICTION_BATCH_DATA]) == payload
    assert result.tables["otel_logs"].num_rows == 3


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({attributes.ML_PREDICTION_BATCH_ROW_COUNT: 2}, "row_count"),
        ({attributes.ML_PREDICTION_BATCH_FORMAT: "parquet"}, "unknown_format"),
        ({attributes.ML_MODEL_NAME: ""}, "missing_attribute"),
        ({attributes.ML_PREDICTION_BATCH_DATA: "text"}, "missing_attribute"),
    ],
)
def test_an_event_that_does_not_fit_its_payload_is_counted_and_kept(changes: dict[str, Any], reason: str) -> None:
    values = {**MODEL, attributes.ML_PREDICTION_BATCH_DATA: arrow({FEATURE + "a": [1.0]}), **changes}
    result = decode([log("ml.prediction.batch", values)], token="t", now=1)
    assert result.rejected == {reason: 1}
    assert rows(result) == []
    assert result.tables["otel_logs"].num_rows == 1


@pytest.mark.parametrize("seed", range(3))
def test_no_damage_to_a_payload_breaks_the_block(seed: int) -> None:
    rng = np.random.default_rng(seed)
    whole = arrow({FEATURE + "a": [1.0, None], FEATURE + "t": pa.array(["x", "yy"]).dictionary_encode()})
    compressed = arrow({FEATURE + "a": np.arange(100.0), FEATURE + "t": ["t"] * 100}, compression="lz4")
    good = arrow({FEATURE + "a": [1.0]})
    for original in (whole, compressed):
        for _ in range(80):
            damaged = bytearray(original)
            for place in rng.integers(0, len(damaged), rng.integers(1, 4)):
                damaged[place] = rng.integers(0, 256)
            assert len(rows(decoded(bytes(damaged), good))) >= 1


def test_a_payload_sent_twice_in_a_block_counts_once() -> None:
    payload = arrow({FEATURE + "a": [1.0]})
    result = decoded(payload, payload)
    assert len(rows(result)) == 1
    assert result.rejected == {"repeated": 1}
    assert result.tables["ml_ingested"].num_rows == 1


def test_a_request_that_is_no_otlp_is_handed_back() -> None:
    good, bad = batch(arrow({FEATURE + "a": [1.0]})), batch(b"")
    bad = type(bad)(2, bad.signal, b"\xff\xff\xff")
    result = decode([good, bad], token="t", now=1)
    assert result.unreadable == [bad]
    assert result.rejected == {"corrupt_request": 1}
    assert len(rows(result)) == 1


@pytest.mark.parametrize("number", [2**63 - 1, 2**64 - 1, 2**31])
def test_no_length_or_offset_that_points_far_away_breaks_the_block(number: int) -> None:
    payload = arrow({FEATURE + "a": np.arange(9.0), FEATURE + "t": ["t"] * 9}, compression="lz4")
    good = arrow({FEATURE + "a": [1.0]})
    for place in range(0, len(payload) - 8, 8):
        damaged = payload[:place] + number.to_bytes(8, "little") + payload[place + 8 :]
        assert len(rows(decoded(damaged, good))) >= 1


def test_what_a_recorder_says_of_its_rows_is_kept() -> None:
    said = {
        attributes.MODELSPAN_RECORDER_ID: "r1",
        attributes.MODELSPAN_RECORDER_SEQUENCE: 4,
        attributes.MODELSPAN_RECORDER_ROWS_RECORDED: 30,
        attributes.MODELSPAN_RECORDER_ROWS_DROPPED: 2,
        attributes.MODELSPAN_RECORDER_ROWS_UNSAMPLED: 68,
    }
    [row] = decoded(arrow({columns.LABEL: ["yes"]}), **said).tables["ml_recorders"].to_pylist()
    assert (row["recorder_id"], row["sequence"], row["rows"]) == ("r1", 4, 1)
    assert (row["rows_recorded"], row["rows_dropped"], row["rows_unsampled"]) == (30, 2, 68)


def test_a_batch_without_rows_says_what_its_recorder_left_out() -> None:
    said = {
        **MODEL,
        attributes.ML_PREDICTION_BATCH_ROW_COUNT: 0,
        attributes.MODELSPAN_RECORDER_ID: "r1",
        attributes.MODELSPAN_RECORDER_SEQUENCE: 5,
        attributes.MODELSPAN_RECORDER_ROWS_UNSAMPLED: 90,
    }
    result = decode([log("ml.prediction.batch", said)], token="t", now=1)
    [row] = result.tables["ml_recorders"].to_pylist()
    assert (row["recorder_id"], row["sequence"], row["rows"], row["rows_unsampled"]) == ("r1", 5, 0, 90)
    assert rows(result) == []
    assert result.rejected == {}


UNREADABLE = {
    "list": pa.array([[1.0], [2.0]]),
    "struct": pa.array([{"a": 1}, {"a": 2}]),
    "map": pa.array([[("a", 1)], []], pa.map_(pa.string(), pa.int64())),
    "decimal": pa.array([1, 2], pa.decimal256(50)),
    "bytes": pa.array([b"a", b"b"], pa.binary_view()),
    "interval": pa.array([(1, 2, 3), (1, 2, 3)], pa.month_day_nano_interval()),
    "run-end encoded": pa.RunEndEncodedArray.from_arrays([2], ["a"]),
}


@pytest.mark.parametrize("kind", UNREADABLE)
def test_a_column_that_cannot_be_read_costs_no_other(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    payload = arrow({FEATURE + "a": [1.0, 2.0], FEATURE + "bad": UNREADABLE[kind], columns.LABEL: ["x", "y"]})
    result = decoded(payload)
    assert features(result) == [{"a": 1.0}, {"a": 2.0}]
    assert [row["label"] for row in rows(result)] == ["x", "y"]
    assert result.rejected == {"column_type": 1}
    assert "left out: columns feature.bad: " in caplog.text


def test_a_label_that_cannot_be_read_costs_neither_features_nor_score() -> None:
    result = decoded(arrow({FEATURE + "a": [1.0], columns.LABEL: [7], columns.SCORE: [0.5]}))
    assert [(row["label"], row["score"]) for row in rows(result)] == [(None, 0.5)]
    assert result.rejected == {"column_type": 1}


def test_a_weight_that_is_no_number_costs_the_batch() -> None:
    result = decoded(arrow({FEATURE + "a": [1.0], columns.WEIGHT: ["2"]}))
    assert (rows(result), result.rejected) == ([], {"column_type": 1})


def test_string_views_are_strings() -> None:
    long = "a text of more than twelve bytes"
    views = pa.array(["x", None, long], pa.string_view())
    encoded = pa.DictionaryArray.from_arrays(pa.array([2, 0, 0], pa.int8()), views)
    ids = pa.array(["1", "2", ""], pa.string_view())
    times = pa.array([TIME, None, TIME], pa.timestamp("ns"))
    payload = arrow(
        {columns.TIME: times, columns.PREDICTION_ID: ids, FEATURE + "t": views, columns.SEGMENT_PREFIX + "s": encoded}
    )
    [first, last] = rows(decoded(payload))
    assert (first["features_text"], first["segment"]) == ([("t", "x")], [("s", long)])
    assert (last["features_text"], last["segment"]) == ([("t", long)], [("s", "x")])


def bomb_of_a_shared_view() -> bytes:
    """Views of one long text, which each row would get a copy of."""
    rows = 100_000
    one = pa.array(["x" * 10_000], pa.string_view())
    views = pa.py_buffer(one.buffers()[1].to_pybytes()[:16] * rows)
    shared = pa.Array.from_buffers(pa.string_view(), rows, [None, views, *one.buffers()[2:]])
    return arrow({FEATURE + "t": shared})


def test_a_feature_may_have_numbers_in_some_rows_and_texts_in_others() -> None:
    payload = arrow(
        {
            FEATURE + "code": pa.array([101.0, None, None]),
            columns.TEXT_PREFIX + "code": [None, "A1", None],
            FEATURE + "z": ["b", "b", "b"],
            columns.TEXT_PREFIX + "a": ["only", None, None],
        }
    )
    assert features(decoded(payload)) == [{"code": 101.0, "z": "b", "a": "only"}, {"code": "A1", "z": "b"}, {"z": "b"}]


def test_texts_of_one_feature_in_two_columns_are_refused() -> None:
    payload = arrow({FEATURE + "code": ["a"], columns.TEXT_PREFIX + "code": ["b"]})
    assert rows(decoded(payload)) == []


def test_rows_with_values_that_no_row_may_have_cost_no_other(caplog: pytest.LogCaptureFixture) -> None:
    times = pa.array([TIME, None, TIME, 0, TIME, TIME, TIME], pa.timestamp("ns"))
    ids = pa.array(["a", "b", None, "d", "e", "f", "g"])
    weights = pa.array([1.0, 1.0, 1.0, 1.0, 1e300, 0.0, None])
    payload = stream(pa.table({columns.TIME: times, columns.PREDICTION_ID: ids, columns.WEIGHT: weights}))
    result = decode([batch(payload, {attributes.ML_PREDICTION_BATCH_ROW_COUNT: 7})], token="t", now=1)
    assert [(row["prediction_id"], row["weight"]) for row in rows(result)] == [("a", 1.0), ("g", 1.0)]
    assert result.rejected == {"missing_value": 2, "time_range": 1, "value_range": 2}
    assert "left out: rows of a batch of 'fraud'" in caplog.text
