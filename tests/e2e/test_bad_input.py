"""Bad and odd input over the wire, all of it at one running service: each has a defined result, and the rest of its request survives."""

from __future__ import annotations

import gzip
import math
import time
from collections.abc import Iterator
from typing import Any

import grpc
import httpx
import pyarrow as pa
import pytest

from modelspan.processor.journal import Record
from modelspan.semconv import attributes, columns, events
from tests.e2e.conftest import PATIENCE, Service, modelspan, wait_for
from tests.e2e.test_crash import EXPORT
from tests.processor import otlp

LIMIT = 4 * 1024 * 1024
PATHS = {"LOGS": "/v1/logs", "TRACES": "/v1/traces"}
PROTOBUF = {"content-type": "application/x-protobuf"}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    made = Service(tmp_path_factory.mktemp("bad") / "data", MODELSPAN_RECEIVER__MAX_REQUEST_BYTES="4MiB").start()
    yield made
    assert made.stop() == 0
    assert "Traceback" not in made.log.read_text()


def post(service: Service, body: bytes, path: str = "/v1/logs", **headers: str) -> httpx.Response:
    url = f"http://127.0.0.1:{service.http}{path}"
    return httpx.post(url, content=body, headers={**PROTOBUF, **headers}, timeout=PATIENCE)


def store(service: Service, *records: Record) -> None:
    """Send requests, which must be taken, and wait until they are in the store."""
    for record in records:
        answer = post(service, record.payload, PATHS[record.signal.name])
        assert answer.status_code == 200, answer.text
    url = f"http://127.0.0.1:{service.http}/status"
    wait_for(lambda: httpx.get(url).json()["journal"]["requests"] == 0, "an empty journal")


def batch(model: str, values: dict[str, Any]) -> Record:
    rows = len(next(iter(values.values())))
    table = {**otlp.required(rows, time.time_ns()), **values}
    payload = otlp.stream(pa.table({name: column for name, column in table.items() if column is not None}))
    return otlp.log(*event(model, payload), time=time.time_ns())


def event(model: str, payload: bytes) -> tuple[str, dict[str, Any]]:
    named = {**otlp.MODEL, attributes.ML_MODEL_NAME: model, attributes.ML_PREDICTION_BATCH_DATA: payload}
    return events.ML_PREDICTION_BATCH, named


def payload(rows: int = 2) -> bytes:
    return otlp.stream(pa.table({**otlp.required(rows, time.time_ns()), feature("x"): pa.array([1.5] * rows)}))


def feature(name: str) -> str:
    return columns.FEATURE_PREFIX + name


def rejected(service: Service, reason: str) -> float:
    """Payloads that /metrics counts as not taken for this reason."""
    lines = httpx.get(f"http://127.0.0.1:{service.http}/metrics").text.splitlines()
    counted = [line for line in lines if "_decode_rejected_total" in line and f'"{reason}"' in line]
    return float(counted[0].rpartition(" ")[2]) if counted else 0.0


@pytest.mark.parametrize(
    ("body", "headers", "status", "says"),
    [
        (b"\xff\xfe\xfd", {}, 400, "not a valid"),
        (b"\x0a" + bytes(LIMIT), {}, 413, "exceeds 4194304 bytes"),
        (gzip.compress(bytes(50 * LIMIT), 1), {"content-encoding": "gzip"}, 413, "exceeds 4194304 bytes"),
        (b"no gzip", {"content-encoding": "gzip"}, 400, "cannot be decompressed"),
        (b"", {"content-type": "text/plain"}, 415, "text/plain"),
        (b"", {"content-encoding": "br"}, 415, "'br'"),
    ],
    ids=["malformed", "oversized", "a gzip bomb", "not gzip", "a wrong type", "an unknown coding"],
)
def test_what_is_no_otlp_is_refused_with_a_reason(
    service: Service, body: bytes, headers: dict[str, str], status: int, says: str
) -> None:
    answer = post(service, body, **headers)
    assert (answer.status_code, says in answer.content.decode(errors="replace")) == (status, True)


@pytest.mark.parametrize(
    ("body", "compression", "code"),
    [
        (b"\xff\xfe\xfd", grpc.Compression.NoCompression, grpc.StatusCode.INVALID_ARGUMENT),
        (b"\x0a" + bytes(LIMIT), grpc.Compression.NoCompression, grpc.StatusCode.RESOURCE_EXHAUSTED),
        (bytes(20 * LIMIT), grpc.Compression.Gzip, grpc.StatusCode.RESOURCE_EXHAUSTED),
    ],
    ids=["malformed", "oversized", "a gzip bomb"],
)
def test_grpc_refuses_with_the_status_of_the_specification(
    service: Service, body: bytes, compression: grpc.Compression, code: grpc.StatusCode
) -> None:
    options = [("grpc.max_send_message_length", -1)]
    channel = grpc.insecure_channel(f"127.0.0.1:{service.grpc}", options=options)
    with channel, pytest.raises(grpc.RpcError) as refused:
        channel.unary_unary(EXPORT)(body, timeout=20, compression=compression)
    assert refused.value.code() == code


def test_ordinary_telemetry_is_stored_as_such(service: Service) -> None:
    store(
        service,
        otlp.log("user.logged_in", {"who": "ann"}),
        otlp.spans([{"name": "GET /", "attributes": {"a": 1}}]),
    )
    assert service.rows("SELECT LogAttributes FROM otel_logs WHERE EventName = 'user.logged_in'") == [({"who": "ann"},)]
    assert service.rows("SELECT SpanAttributes FROM otel_traces WHERE SpanName = 'GET /'") == [({"a": "1"},)]


def test_corrupt_arrow_is_kept_and_counted_and_its_neighbours_are_stored(service: Service) -> None:
    before = rejected(service, "corrupt_payload")
    cut = payload()[:-60]
    neighbours = [event("left", payload()), event("cut", cut), event("cut", b"rubbish"), event("right", payload(3))]
    store(service, otlp.logs(neighbours))
    found = service.rows(
        "SELECT model_name, count() FROM ml_predictions WHERE model_name IN ('left', 'cut', 'right') GROUP BY 1 ORDER BY 1"
    )
    assert found == [("left", 2), ("right", 3)]
    kept = f"LogAttributes['{attributes.ML_PREDICTION_BATCH_DATA}']"
    texts = service.rows(f"SELECT {kept} FROM otel_logs WHERE LogAttributes['{attributes.ML_MODEL_NAME}'] = 'cut'")
    assert {len(text) for (text,) in texts} == {math.ceil(len(cut) / 3) * 4, 12}
    assert rejected(service, "corrupt_payload") == before + 2


def test_a_missing_value_is_absent_and_an_infinity_is_kept(service: Service) -> None:
    inf, nan = math.inf, math.nan
    store(service, batch("gaps", {feature("x"): pa.array([nan, inf, None, -inf], from_pandas=False)}))
    found = service.rows("SELECT features_numeric FROM ml_predictions WHERE model_name = 'gaps' ORDER BY time")
    assert found == [({},), ({"x": inf},), ({},), ({"x": -inf},)]


def test_features_may_appear_vanish_and_change_their_type(service: Service) -> None:
    one = {feature("a"): pa.array([1.0]), feature("b"): pa.array(["x"])}
    other = {feature("b"): pa.array([2]), feature("c"): pa.array([True])}
    store(service, batch("moving", one), batch("moving", other))
    assert service.rows(
        "SELECT features_numeric, features_text FROM ml_predictions WHERE model_name = 'moving' ORDER BY time"
    ) == [({"a": 1.0}, {"b": "x"}), ({"b": 2.0, "c": 1.0}, {})]


def test_an_empty_batch_stores_nothing_and_a_batch_without_columns_is_counted(service: Service) -> None:
    before = rejected(service, "missing_column")
    empty = batch("empty", {feature("x"): pa.array([], pa.float64())})
    bare = otlp.batch(otlp.stream(pa.table({})), {attributes.ML_MODEL_NAME: "empty"})
    timeless = batch("empty", {feature("x"): pa.array([1.0]), columns.TIME: None})
    store(service, empty, bare, timeless)
    assert service.rows("SELECT count() FROM ml_predictions WHERE model_name = 'empty'") == [(0,)]
    assert rejected(service, "missing_column") == before + 2


NAMES = ["", 'a"b', "it's", "back`tick", "ünï 中文", "x" * 1_000, "new\nline", "nul\0", "\\", "{a:b}", "a.b", "; DROP"]


def test_any_text_is_a_name_of_a_feature(service: Service) -> None:
    store(service, batch("named", {feature(name): pa.array([i]) for i, name in enumerate(NAMES)}))
    assert service.rows("SELECT features_numeric FROM ml_predictions WHERE model_name = 'named'") == [
        ({name: float(i) for i, name in enumerate(NAMES)},)
    ]


def test_any_text_but_none_is_a_name_of_a_model(service: Service) -> None:
    store(service, *(batch(f"{name}!", {feature("x"): pa.array([1.0])}) for name in NAMES))
    found = service.rows("SELECT model_name FROM ml_predictions WHERE endsWith(model_name, '!')")
    assert sorted(name for (name,) in found) == sorted(f"{name}!" for name in NAMES)
    before = rejected(service, "missing_attribute")
    store(service, batch("", {feature("x"): pa.array([1.0])}))
    assert rejected(service, "missing_attribute") == before + 1


def test_a_name_longer_than_names_are_is_refused_by_its_length_and_costs_no_neighbour(service: Service) -> None:
    before = rejected(service, "name_too_long")
    values = {feature("x"): pa.array([1.0])}
    store(
        service,
        batch("y" * 1_025, values),
        batch("long", {feature("x" * 1_025): pa.array([1.0])}),
        batch("next", values),
    )
    assert service.rows("SELECT model_name FROM ml_predictions WHERE model_name IN ('long', 'next')") == [("next",)]
    assert rejected(service, "name_too_long") == before + 2


def test_times_at_the_ends_of_what_can_be_written_are_kept(service: Service) -> None:
    for nanoseconds in (1, 2**63 - 2):
        edge = {columns.TIME: pa.array([nanoseconds], pa.timestamp("ns", "UTC"))}
        store(service, batch("edges", {feature("x"): pa.array([1.0]), **edge}))
    found = service.rows(
        "SELECT toUnixTimestamp64Nano(time) FROM ml_predictions WHERE model_name = 'edges' ORDER BY time"
    )
    assert found == [(1,), (2**63 - 2,)]


def test_many_models_and_many_features_are_stored(service: Service) -> None:
    wide = {feature(f"f{i}"): pa.array([float(i)] * 50) for i in range(2000)}
    store(service, otlp.logs([event(f"crowd {i}", payload(1)) for i in range(200)]), batch("wide", wide))
    assert service.rows(
        "SELECT uniqExact(model_name), count() FROM ml_predictions WHERE startsWith(model_name, 'crowd')"
    ) == [(200, 200)]
    assert service.rows(
        "SELECT count(), min(length(features_numeric)) FROM ml_predictions WHERE model_name = 'wide'"
    ) == [(50, 2000)]


def test_a_batch_sent_twice_is_stored_once_and_ids_within_it_may_repeat(service: Service) -> None:
    twice = batch("twice", {columns.PREDICTION_ID: pa.array(["a", "a", "b"]), feature("x"): pa.array([1.0, 2.0, 3.0])})
    store(service, twice, twice)
    store(service, twice)
    assert service.rows("SELECT count() FROM ml_predictions WHERE model_name = 'twice'") == [(3,)]


def details(model: str, prediction: str, features: Any) -> dict[str, Any]:
    return {
        **otlp.MODEL,
        attributes.ML_MODEL_NAME: model,
        attributes.ML_PREDICTION_ID: prediction,
        attributes.ML_INPUT_FEATURES: features,
        attributes.ML_OUTPUT_LABEL: "yes",
    }


def test_a_prediction_by_span_and_by_event_is_stored_once(service: Service) -> None:
    now, said = time.time_ns(), details("both", "p-1", {"x": 1.5, "c": "DE"})
    span = otlp.spans([{"attributes": said, "start_time_unix_nano": now, "end_time_unix_nano": now + 5000}])
    store(service, span, otlp.log(events.ML_PREDICTION_DETAILS, said, time=now))
    found = service.rows(
        "SELECT prediction_id, features_numeric, features_text, label FROM ml_predictions WHERE model_name = 'both'"
    )
    assert found == [("p-1", {"x": 1.5}, {"c": "DE"}, "yes")]


def test_features_may_be_json_and_what_is_not_json_costs_the_features_alone(service: Service) -> None:
    before, now = rejected(service, "attribute_type"), time.time_ns()
    good, bad = details("json", "good", '{"x": 2.5, "c": "FR", "n": null}'), details("json", "bad", '{"x": 2.5')
    store(service, *(otlp.log(events.ML_PREDICTION_DETAILS, said, time=now) for said in (good, bad)))
    found = service.rows(
        "SELECT prediction_id, features_numeric, features_text FROM ml_predictions WHERE model_name = 'json'"
    )
    assert sorted(found) == [("bad", {}, {}), ("good", {"x": 2.5}, {"c": "FR"})]
    assert rejected(service, "attribute_type") == before + 1


def test_what_became_of_a_prediction_is_shown_with_it(service: Service) -> None:
    now = time.time_ns()
    known = {attributes.ML_MODEL_NAME: "joined", attributes.ML_MODEL_VERSION: "3", attributes.ML_PREDICTION_ID: "j-1"}
    outcome = {
        attributes.ML_OUTCOME_NAME: "revenue",
        attributes.ML_OUTCOME_VALUE: 12.5,
        attributes.ML_OUTCOME_UNIT: "EUR",
    }
    store(
        service,
        otlp.log(events.ML_PREDICTION_DETAILS, details("joined", "j-1", {"x": 1.0}), time=now),
        otlp.log(events.ML_PREDICTION_ACTUAL, {**known, attributes.ML_ACTUAL_LABEL: "no"}, time=now),
        otlp.log(events.ML_PREDICTION_OUTCOME, {**known, **outcome}, time=now),
    )
    (shown,) = modelspan("query", "prediction", "--param", "id=j-1", url=service.url)
    assert (shown["label"], shown["actual_label"], shown["outcomes"]) == ("yes", "no", {"revenue": "12.5 EUR"})
