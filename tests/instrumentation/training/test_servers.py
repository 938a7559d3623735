"""Servers that end without exit handlers are followed while something is instrumented, and left as they were afterwards."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import uvicorn
from celery import signals
from sklearn.linear_model import LinearRegression

from modelspan.instrumentation.sklearn import SklearnInstrumentor

X = np.eye(3)


async def nothing(scope: Any, receive: Any, send: Any) -> None:
    """An app that nobody asks."""


async def start_and_stop() -> None:
    server = uvicorn.Server(uvicorn.Config(nothing, port=0, lifespan="off", log_config=None))
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    server.should_exit = True
    await serving


def test_what_waits_is_exported_when_uvicorn_shuts_down(telemetry: Any) -> None:
    LinearRegression().fit(X, [1, 2, 3]).predict(X)
    assert not telemetry._logs.get_finished_logs()
    asyncio.run(start_and_stop())
    assert [log.log_record.event_name for log in telemetry._logs.get_finished_logs()][-1] == "ml.prediction.batch"


def test_what_waits_is_exported_when_a_worker_of_celery_ends(telemetry: Any) -> None:
    LinearRegression().fit(X, [1, 2, 3]).predict(X)
    signals.worker_process_shutdown.send(sender=None, pid=1, exitcode=0)
    assert [log.log_record.event_name for log in telemetry._logs.get_finished_logs()][-1] == "ml.prediction.batch"


def test_servers_are_as_they_were_once_nothing_is_instrumented(telemetry: Any) -> None:
    patched = uvicorn.server.Server.shutdown
    SklearnInstrumentor().uninstrument()
    assert uvicorn.server.Server.shutdown is patched.__wrapped__  # type: ignore[attr-defined]
    assert not signals.worker_process_shutdown.receivers
    telemetry.instrument()
    assert hasattr(uvicorn.server.Server.shutdown, "__wrapped__")
