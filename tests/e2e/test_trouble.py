"""What users meet: a service that is down, a port that is taken, a configuration that is wrong."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.conftest import BIN, PROGRAMS, Service, instrumented, otel


def test_a_program_runs_to_its_end_while_the_service_is_down(make_service: Callable[..., Service]) -> None:
    nobody = make_service()
    lines = instrumented("fraud.py", "5", port=nobody.grpc)
    assert len([json.loads(line) for line in lines]) == 13


def test_predictions_reach_a_service_that_comes_back(make_service: Callable[..., Service]) -> None:
    service = make_service()
    program = subprocess.Popen(
        [BIN / "opentelemetry-instrument", sys.executable, PROGRAMS / "fraud.py", "60", "0.25"],
        env={**os.environ, **otel(service.grpc)},
        stdout=subprocess.PIPE,
        text=True,
    )
    time.sleep(5)
    service.start()
    printed, _ = program.communicate(timeout=100)
    assert program.returncode == 0
    service.wait_rows(1)
    time.sleep(2)
    made = 2 * len(printed.splitlines())
    stored = service.rows("SELECT count() FROM ml_predictions")[0][0]
    known = service.rows("SELECT max(rows_recorded), max(rows_dropped) FROM ml_recorders")[0]
    assert 0 < stored <= made
    assert known[0] == made
    last = service.rows("SELECT count() FROM ml_predictions WHERE time > now() - 20")[0][0]
    assert last > 0


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
