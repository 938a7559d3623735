"""A real `modelspan serve` in its own process, for benchmarks and the demo."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import clickhouse_connect
import httpx

BIN = Path(sys.executable).parent


def free_port() -> int:
    """Return a port of the loopback interface that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def settings(data_dir: Path, *, grpc: int, http: int, clickhouse: int) -> dict[str, str]:
    """Return the environment of a service that keeps its data there and listens on these ports of the loopback interface."""
    return {
        "MODELSPAN_DATA_DIR": str(data_dir),
        "MODELSPAN_RECEIVER__GRPC_ADDRESS": f"127.0.0.1:{grpc}",
        "MODELSPAN_RECEIVER__HTTP_ADDRESS": f"127.0.0.1:{http}",
        "MODELSPAN_CLICKHOUSE_HTTP__ADDRESS": f"127.0.0.1:{clickhouse}",
        "MODELSPAN_LOG__FORMAT": "json",
    }


class Service:
    """Starts on entry and stops on exit; `environment` holds further settings (MODELSPAN_...)."""

    def __init__(self, data_dir: Path, **environment: str) -> None:
        self.data_dir = data_dir
        self.grpc, self.http, self.clickhouse = free_port(), free_port(), free_port()
        self.log = data_dir / "service.log"
        ports = {"grpc": self.grpc, "http": self.http, "clickhouse": self.clickhouse}
        self.environment = {**settings(data_dir, **ports), **environment}

    def __enter__(self) -> Service:
        self.data_dir.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [BIN / "modelspan", "serve"], env={**os.environ, **self.environment}, stdout=log, stderr=log
            )
        while not self._ready():
            if self.process.poll() is not None:
                raise RuntimeError(f"the service ended at once; its log, {self.log}:\n{self.log.read_text()[-2000:]}")
            time.sleep(0.1)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.process.terminate()
        self.process.wait(60)

    def _ready(self) -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{self.http}/readyz").status_code == 200
        except httpx.HTTPError:
            return False

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Run one query over ClickHouse's HTTP protocol."""
        client = clickhouse_connect.get_client(host="127.0.0.1", port=self.clickhouse)
        try:
            return [tuple(row) for row in client.query(sql).result_rows]
        finally:
            client.close()
