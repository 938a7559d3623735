"""One `modelspan serve` for all programs that serve models; each program has a service name of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from bench.service import BIN, free_port
from tests.e2e.conftest import PATIENCE, Service, otel, wait_for

PROGRAMS = Path(__file__).parent / "programs"


@pytest.fixture(scope="session")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    service = Service(
        tmp_path_factory.mktemp("collector") / "data",
        MODELSPAN_WINDOWS__LENGTH="1s",
        MODELSPAN_WINDOWS__LATENESS="0s",
        MODELSPAN_WINDOWS__IDLE="1s",
    ).start()
    yield service
    service.kill()


class Deployment:
    """Programs under `opentelemetry-instrument` that report as one service, and what of them is stored."""

    def __init__(self, collector: Service, directory: Path) -> None:
        self.collector = collector
        self.directory = directory
        self.name = f"service-{uuid.uuid4().hex[:8]}"
        self.running: list[subprocess.Popen[bytes]] = []

    def environment(self, protocol: str = "grpc", **more: str) -> dict[str, str]:
        port = self.collector.grpc if protocol == "grpc" else self.collector.http
        # MLflow writes into the environment of tests that use it which store and experiment are in use.
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
        return {
            **inherited,
            **otel(port, protocol),
            "OTEL_SERVICE_NAME": self.name,
            # So long that what is stored was exported because the process ended.
            "OTEL_INSTRUMENTATION_ML_FLUSH_INTERVAL": "600",
            "OTEL_BSP_SCHEDULE_DELAY": "600000",
            "OTEL_BLRP_SCHEDULE_DELAY": "600000",
            "OMP_NUM_THREADS": "1",
            **more,
        }

    def run(self, program: str, *arguments: str, **options: str) -> str:
        """Run a program to its end; what it printed."""
        done = subprocess.run(
            [BIN / "opentelemetry-instrument", sys.executable, PROGRAMS / program, *arguments],
            env=self.environment(**options),
            cwd=self.directory,
            stdout=subprocess.PIPE,
            text=True,
            timeout=PATIENCE,
            check=True,
        )
        return done.stdout.strip()

    def serve(self, *command: str, **options: str) -> httpx.Client:
        """Start a web server that listens on the port that stands for `{port}` in its command; a client of it."""
        port = free_port()
        program, *arguments = (part.format(port=port) for part in command)
        log = (self.directory / "server.log").open("wb")
        process = subprocess.Popen(
            [BIN / "opentelemetry-instrument", BIN / program, *arguments],
            env=self.environment(**options),
            cwd=PROGRAMS,
            stdout=log,
            stderr=log,
        )
        self.running.append(process)
        client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE)

        def answers() -> bool:
            assert process.poll() is None, (self.directory / "server.log").read_text()[-3000:]
            return client.get("/health").status_code == 200

        wait_for(answers, "the web server")
        return client

    def stop(self) -> None:
        """End the web servers as an orchestrator does."""
        for process in self.running:
            process.send_signal(signal.SIGTERM)
        for process in self.running:
            process.wait(PATIENCE)
        self.running.clear()

    def rows(
        self, columns: str, table: str = "ml_predictions", where: str = "1", of: str = "service_name"
    ) -> list[Any]:
        return self.collector.rows(f"SELECT {columns} FROM {table} WHERE {of} = '{self.name}' AND {where}")

    def stored(self, rows: int, columns: str = "trace_id") -> list[Any]:
        """Every stored prediction, once there are as many, and no more come."""
        wait_for(lambda: self.rows("count()")[0][0] >= rows, f"{rows} predictions of {self.name}")
        time.sleep(0.5)
        found = self.rows(columns)
        assert len(found) == rows
        return found


@pytest.fixture
def deployment(collector: Service, tmp_path: Path) -> Iterator[Deployment]:
    made = Deployment(collector, tmp_path)
    yield made
    for process in made.running:
        process.kill()
