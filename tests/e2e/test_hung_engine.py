"""An insert that never returns is said, and makes the service not ready; what was acknowledged is stored once it goes on."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import httpx

from tests.e2e.conftest import PATIENCE, PROGRAMS, Service, wait_for
from tests.processor import otlp


def test_an_insert_that_does_not_return_is_said_and_makes_the_service_not_ready(
    make_service: Callable[..., Service],
) -> None:
    service = make_service(MODELSPAN_STORE__STUCK_AFTER="1s")
    with subprocess.Popen(
        [sys.executable, PROGRAMS / "hung_engine.py"],
        env={**os.environ, **service.environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as program:
        assert program.stdin
        assert program.stdout
        assert program.stdout.readline() == "started\n"
        address = f"http://127.0.0.1:{service.http}"
        assert httpx.get(f"{address}/readyz").text == "ready\n"
        content = otlp.log("ordinary", {}).payload
        headers = {"content-type": "application/x-protobuf"}
        assert httpx.post(f"{address}/v1/logs", content=content, headers=headers).status_code == 200

        page = wait_for(lambda: (found := httpx.get(f"{address}/readyz")).status_code == 503 and found, "not ready")
        assert page.text.startswith(
            "requests are accepted, but the store hangs: insert into otel_logs has not returned since 20"
        )
        assert f"1 requests, {len(content)} bytes, wait in the journal. If its disk" in page.text
        status = httpx.get(f"{address}/status").json()
        assert status["store"].startswith("stuck: insert into otel_logs has not returned since 20")
        assert status["running"].startswith("insert into otel_logs has not returned since 20")

        program.stdin.write("\n")
        program.stdin.flush()
        wait_for(lambda: httpx.get(f"{address}/readyz").text == "ready\n", "ready again")
        assert service.rows("SELECT EventName FROM otel_logs") == [("ordinary",)]
        assert httpx.get(f"{address}/status").json()["running"] is None
        program.stdin.write("\n")
        program.stdin.flush()
        assert program.wait(PATIENCE) == 0
