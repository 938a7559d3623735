"""What users meet: a service that is down, a port that is taken, a configuration that is wrong."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.e2e.conftest import BIN, PATIENCE, PROGRAMS, Service, instrumented, otel, wait_for
from tests.processor import otlp


def test_a_program_runs_to_its_end_while_the_service_is_down(make_service: Callable[..., Service]) -> None:
    nobody = make_service()
    lines = instrumented("fraud.py", "5", port=nobody.grpc)
    assert len([json.loads(line) for line in lines]) == 13


def test_all_predictions_reach_a_service_that_comes_late(make_service: Callable[..., Service], tmp_path: Path) -> None:
    service, printed, enough, log = make_service(), tmp_path / "printed", tmp_path / "enough", tmp_path / "log"
    arguments = "20", "0.1", str(enough)
    with printed.open("wb") as output, log.open("wb") as errors:
        program = subprocess.Popen(
            [BIN / "opentelemetry-instrument", sys.executable, PROGRAMS / "fraud.py", *arguments],
            env={**os.environ, **otel(service.grpc), "PYTHONUNBUFFERED": "1", "OTEL_EXPORTER_OTLP_TIMEOUT": "2"},
            stdout=output,
            stderr=errors,
        )

    def made() -> list[str]:
        return [json.loads(line)["trace_id"] for line in printed.read_text().split("\n")[:-1]]

    wait_for(lambda: "Failed to export logs" in log.read_text(), "that the SDK gives a batch up")
    given_up = len(made())
    wait_for(lambda: len(made()) > given_up, "more predictions while the service is down")
    service.start()
    while_up = len(made())
    service.wait_rows(1)
    wait_for(lambda: len(made()) > while_up, "predictions while the service is up")
    enough.touch()
    assert program.wait(PATIENCE) == 0

    traces = made()
    service.wait_rows(2 * len(traces))
    found = service.rows("SELECT count(), uniqExact(prediction_id), uniqExact(trace_id) FROM ml_predictions")
    assert found == [(2 * len(traces), 2 * len(traces), len(set(traces)))]
    assert service.rows("SELECT max(rows_recorded), max(rows_dropped) FROM ml_recorders") == [(2 * len(traces), 0)]


def run_serve(cwd: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BIN / "modelspan", "serve", *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        cwd=cwd,
    )


def test_a_bad_configuration_is_one_sentence_and_exit_code_2(tmp_path: Path) -> None:
    done = run_serve(tmp_path, MODELSPAN_WINDOWS__LENGTH="soon")
    assert done.returncode == 2
    assert "windows.length" in done.stderr
    assert "soon" in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_journal_smaller_than_a_request_is_one_sentence_and_exit_code_2(tmp_path: Path) -> None:
    done = run_serve(tmp_path, MODELSPAN_JOURNAL__MAX_BYTES="1MiB")
    assert done.returncode == 2
    assert "journal.max_bytes, 1MiB, is less than receiver.max_request_bytes, 64MiB" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("taken", ["RECEIVER__GRPC", "RECEIVER__HTTP", "CLICKHOUSE_HTTP_"])
def test_a_taken_port_is_one_sentence_and_exit_code_2(taken: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        free = {
            f"MODELSPAN_{name}_ADDRESS": "127.0.0.1:0"
            for name in ("RECEIVER__GRPC", "RECEIVER__HTTP", "CLICKHOUSE_HTTP_")
        }
        done = run_serve(tmp_path, **{**free, f"MODELSPAN_{taken}_ADDRESS": address})
    assert done.returncode == 2
    assert address in done.stderr
    assert "Traceback" not in done.stderr


def test_a_data_directory_in_use_is_one_sentence_and_exit_code_2(service: Service, tmp_path: Path) -> None:
    other = {
        "MODELSPAN_DATA_DIR": str(service.data_dir),
        "MODELSPAN_RECEIVER__GRPC_ADDRESS": "127.0.0.1:0",
        "MODELSPAN_RECEIVER__HTTP_ADDRESS": "127.0.0.1:0",
        "MODELSPAN_CLICKHOUSE_HTTP__ADDRESS": "127.0.0.1:0",
    }
    done = run_serve(tmp_path, **other)
    assert done.returncode == 2
    assert str(service.data_dir) in done.stderr
    assert "Traceback" not in done.stderr


def test_stopping_keeps_everything_that_was_acknowledged(make_service: Callable[..., Service]) -> None:
    service = make_service().start()
    made = instrumented("fraud.py", "12", port=service.grpc)
    assert service.stop() == 0
    service.start()
    service.wait_rows(2 * len(made))
    assert service.rows("SELECT count() FROM ml_predictions") == [(2 * len(made),)]


def test_a_service_whose_journal_is_full_says_on_its_pages_that_it_refuses(
    make_service: Callable[..., Service],
) -> None:
    small = {"MODELSPAN_JOURNAL__MAX_BYTES": "1KiB", "MODELSPAN_RECEIVER__MAX_REQUEST_BYTES": "1KiB"}
    service = make_service(MODELSPAN_STORE__URL="http://127.0.0.1:1", **small).start()
    address = f"http://127.0.0.1:{service.http}"
    assert httpx.get(f"{address}/status").json()["journal"]["refuses"] is None
    content, headers = otlp.log("ordinary", {"text": "x" * 500}).payload, {"content-type": "application/x-protobuf"}
    answers = [httpx.post(f"{address}/v1/logs", content=content, headers=headers).status_code for _ in range(2)]
    assert answers == [200, 503]
    full = f"{len(content)} bytes wait for the store and the limit is 1024; send again later"
    assert httpx.get(f"{address}/status").json()["journal"]["refuses"] == full
    assert (httpx.get(f"{address}/readyz").status_code, httpx.get(f"{address}/readyz").text) == (503, f"{full}\n")
