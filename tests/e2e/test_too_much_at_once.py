"""Requests that are more than the engine's memory takes at once: each is stored in parts or kept aside, and what follows is stored."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import numpy as np
import pyarrow as pa

from modelspan.processor.journal import Record
from modelspan.semconv import attributes, columns, events
from tests.e2e.conftest import PATIENCE, Service, wait_for
from tests.processor import otlp

PATHS = {"LOGS": "/v1/logs", "TRACES": "/v1/traces"}


def post(service: Service, record: Record) -> None:
    url = f"http://127.0.0.1:{service.http}{PATHS[record.signal.name]}"
    headers = {"content-type": "application/x-protobuf"}
    assert httpx.post(url, content=record.payload, headers=headers, timeout=PATIENCE).status_code == 200


def page(service: Service, path: str) -> httpx.Response:
    return httpx.get(f"http://127.0.0.1:{service.http}{path}", timeout=PATIENCE)


def batch(model: str, rows: int, features: int, ids: str = "") -> tuple[str, dict[str, Any]]:
    values = {columns.FEATURE_PREFIX + f"f{i}": pa.array(np.full(rows, float(i))) for i in range(features)}
    table = {**otlp.required(rows, time.time_ns()), **values}
    table[columns.PREDICTION_ID] = pa.array([f"{ids}{i}" for i in range(rows)])
    payload = otlp.stream(pa.table(table), compression="zstd")
    named = {**otlp.MODEL, attributes.ML_MODEL_NAME: model, attributes.ML_PREDICTION_BATCH_DATA: payload}
    return events.ML_PREDICTION_BATCH, named


def test_what_is_too_much_at_once_is_stored_in_parts_or_kept_aside_and_what_follows_is_stored(
    make_service: Callable[..., Service],
) -> None:
    service = make_service(MODELSPAN_STORE__MEMORY="200MiB").start()
    post(service, otlp.logs([batch("wide", 80_000, 100)]))
    post(service, otlp.logs([batch("many", 6_000, 3, f"{i}-") for i in range(100)]))
    unstorable = otlp.log("expands", {"text": ["\x01" * 20_000_000]}, time=time.time_ns())
    post(service, unstorable)
    post(service, otlp.spans([{"attributes": {**otlp.MODEL, attributes.ML_MODEL_NAME: "m" * 17_000_000}}]))
    post(service, otlp.logs([batch("good", 1, 1)]))
    wait_for(lambda: page(service, "/status").json()["journal"]["requests"] == 0, "an empty journal")

    stored = "SELECT model_name, count(), uniqExact(prediction_id) FROM ml_predictions GROUP BY 1 ORDER BY 1"
    assert service.rows(stored) == [("good", 1, 1), ("many", 600_000, 600_000), ("wide", 80_000, 80_000)]
    told = page(service, "/status").json()
    assert (told["store"], told["quarantine"]["requests"]) == ("ok", 1)
    [kept] = service.data_dir.glob("quarantine/*.pb")
    assert kept.read_bytes() == unstorable.payload
    assert "memory limit exceeded" in json.loads(kept.with_suffix(".json").read_text())["reason"]
    listed = service.rows("SELECT ml_quarantined.file, `table`, rows, bytes FROM ml_quarantined")
    assert listed == [(kept.name, "otel_logs", 1, len(unstorable.payload))]
    assert page(service, "/readyz").text == "ready\n"


def test_rows_of_more_models_than_can_be_judged_are_stored_and_the_rest_is_counted(
    make_service: Callable[..., Service],
) -> None:
    service = make_service(MODELSPAN_WINDOWS__MAX_MODELS="3").start()
    post(service, otlp.logs([batch(f"m{i}", 1, 1) for i in range(20)]))
    service.wait_rows(20)
    wait_for(lambda: page(service, "/status").json()["windows"]["dropped"] == 17, "the models without a place")
    assert "modelspan_windows_dropped 17.0" in page(service, "/metrics").text
    assert service.log.read_text().count("more models wait for a verdict than are held in memory") == 1


def test_queries_that_nothing_ends_stop_neither_the_service_nor_its_end(make_service: Callable[..., Service]) -> None:
    service = make_service().start()
    never_ends = "SELECT length(h3kRing(599119489002373119, 1000))"
    url = f"http://127.0.0.1:{service.clickhouse}"

    def ask(_: int) -> int:
        return httpx.post(url, params={"max_execution_time": "0.1"}, content=never_ends, timeout=PATIENCE).status_code

    with ThreadPoolExecutor(4) as readers:
        assert list(readers.map(ask, range(4))) == [408] * 4
    assert page(service, "/status").json()["queries"] == {"running": 0, "abandoned": 4}
    post(service, otlp.logs([batch("good", 1, 1)]))
    service.wait_rows(1)
    assert service.stop() == 0


def test_a_service_that_has_many_models_to_judge_ends_when_it_is_told_to(make_service: Callable[..., Service]) -> None:
    service = make_service(
        MODELSPAN_WINDOWS__LENGTH="1s", MODELSPAN_WINDOWS__LATENESS="0s", MODELSPAN_WINDOWS__IDLE="1s"
    ).start()
    post(service, otlp.logs([batch(f"m{i}", 1, 1) for i in range(2_000)]))
    service.wait_rows(2_000)
    wait_for(lambda: 0 < page(service, "/status").json()["windows"]["waiting"] < 1_990, "the first models judged")
    assert service.stop() == 0
    assert "Exception" not in service.log.read_text()
