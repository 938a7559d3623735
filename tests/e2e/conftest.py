"""Real processes: `modelspan serve`, programs under `opentelemetry-instrument`, and an HTTP client of ClickHouse."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import clickhouse_connect
import httpx
import pytest

from bench.service import BIN, free_port, settings

PROGRAMS = Path(__file__).parent / "programs"
PATIENCE = 180
"""Seconds that a test waits for anything. A busy machine takes half a minute to start the service alone; a test fails by what it
sees, not by how long that takes.
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(5 * PATIENCE))


def wait_for(condition: Callable[[], Any], what: str, seconds: float = PATIENCE) -> Any:
    """Return the first true value of `condition`; fail the test with `what` when there is none in time."""
    deadline = time.monotonic() + seconds
    error: Exception | None = None
    while time.monotonic() < deadline:
        try:
            if value := condition():
                return value
        except AssertionError:
            raise
        except Exception as failure:
            error = failure
        time.sleep(0.1)
    pytest.fail(f"{what}: not within {seconds} s ({error!r})")


class Service:
    """One `modelspan serve` in its own process and data directory; it can be killed and started again."""

    def __init__(self, data_dir: Path, **environment: str) -> None:
        self.data_dir = data_dir
        self.grpc, self.http, self.clickhouse = free_port(), free_port(), free_port()
        ports = {"grpc": self.grpc, "http": self.http, "clickhouse": self.clickhouse}
        self.environment = {**settings(data_dir, **ports), **environment}
        self.log = data_dir.parent / f"{data_dir.name}.log"
        self.process: subprocess.Popen[bytes] | None = None

    def launch(self) -> Service:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [BIN / "modelspan", "serve"],
                env={**os.environ, **self.environment},
                stdout=log,
                stderr=log,
                cwd=self.data_dir.parent,
            )
        return self

    def start(self) -> Service:
        self.launch()
        wait_for(self.ready, f"service ready, see {self.log}:\n{self.log.read_text()[-2000:]}")
        return self

    def ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()[-4000:]
        return httpx.get(f"http://127.0.0.1:{self.http}/readyz").status_code == 200

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(PATIENCE)

    def stop(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)

    @property
    def url(self) -> str:
        """Where its embedded store answers."""
        return f"http://127.0.0.1:{self.clickhouse}"

    def client(self) -> Any:
        return clickhouse_connect.get_client(host="127.0.0.1", port=self.clickhouse)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Run one query over HTTP, as any ClickHouse client would."""
        client = self.client()
        try:
            return list(client.query(sql).result_rows)
        finally:
            client.close()

    def wait_rows(self, count: int, table: str = "ml_predictions") -> None:
        wait_for(lambda: self.rows(f"SELECT count() FROM {table}")[0][0] >= count, f"{count} rows in {table}")


@pytest.fixture
def make_service(tmp_path: Path) -> Iterator[Callable[..., Service]]:
    made: list[Service] = []

    def make(**environment: str) -> Service:
        made.append(Service(tmp_path / f"data{len(made)}", **environment))
        return made[-1]

    yield make
    for service in made:
        if service.process is not None and service.process.poll() is None:
            service.kill()


@pytest.fixture
def service(make_service: Callable[..., Service]) -> Service:
    return make_service().start()


def instrumented(program: str, *arguments: str, port: int, protocol: str = "grpc", **environment: str) -> list[str]:
    """Run a program of `programs/` under `opentelemetry-instrument`; return the lines that it printed."""
    done = subprocess.run(
        [BIN / "opentelemetry-instrument", sys.executable, PROGRAMS / program, *arguments],
        env={**os.environ, **otel(port, protocol), **environment},
        stdout=subprocess.PIPE,
        check=True,
        text=True,
        timeout=PATIENCE,
    )
    return done.stdout.splitlines()


def modelspan(*arguments: str, url: str) -> Any:
    """Run `modelspan` on the store at `url` and read the JSON that it prints."""
    command = [BIN / "modelspan", *arguments, "--format", "json", "--url", url]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=PATIENCE).stdout)


def otel(port: int, protocol: str = "grpc") -> dict[str, str]:
    return {
        "OTEL_SERVICE_NAME": "shop",
        "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test",
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
        "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
        "OTEL_METRIC_EXPORT_INTERVAL": "1000",
    }
