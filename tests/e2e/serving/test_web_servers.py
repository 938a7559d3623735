"""Behind a web server every prediction has the trace of its HTTP request and is stored exactly once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import wait_for
from tests.e2e.serving.conftest import Deployment

REQUESTS = 30
COLUMNS = "trace_id, features_numeric['x0'], prediction_id"


def ask(client: httpx.Client, path: str, requests: int = REQUESTS) -> list[dict[str, Any]]:
    """Ask for many predictions at once, each with a number of its own."""
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda x: client.get(path, params={"x": x}), range(requests)))
    assert {answer.status_code for answer in answers} == {200}
    return [answer.json() for answer in answers]


def check(deployment: Deployment, answers: list[dict[str, Any]]) -> None:
    """The stored predictions are those that were answered, each with the trace of its request."""
    stored = deployment.stored(len(answers), COLUMNS)
    assert sorted((trace, x) for trace, x, _ in stored) == sorted((one["trace_id"], one["x"]) for one in answers)
    assert len({key for _, _, key in stored}) == len(answers)


@pytest.mark.parametrize(
    ("protocol", "arguments"), [("grpc", []), ("http/protobuf", ["--preload"]), ("grpc", ["--preload"])]
)
def test_two_workers_of_gunicorn(deployment: Deployment, protocol: str, arguments: list[str]) -> None:
    command = ["gunicorn", "--workers", "2", "--bind", "127.0.0.1:{port}", *arguments, "flask_app:app"]
    client = deployment.serve(*command, protocol=protocol)
    ready: set[str] = set()
    wait_for(lambda: ready.add(client.get("/health").text) or len(ready) == 2, "both workers")
    answers = ask(client, "/predict")
    deployment.stop()
    assert len({answer["pid"] for answer in answers}) == 2
    check(deployment, answers)
    wait_for(lambda: len(spans(deployment)) == 2 * REQUESTS, "the spans of requests and predictions")
    requests = {span for name, span, _ in spans(deployment) if name.startswith("GET")}
    assert {parent for name, _, parent in spans(deployment) if name.startswith("predict ")} == requests


def spans(deployment: Deployment) -> list[Any]:
    """Name, id and parent of every span but those of the questions whether the server is up."""
    return deployment.rows(
        "SpanName, SpanId, ParentSpanId", "otel_traces", "SpanName NOT LIKE '%health%'", "ServiceName"
    )


def test_an_async_app_on_its_event_loop_and_off_it(deployment: Deployment) -> None:
    client = deployment.serve("uvicorn", "--port", "{port}", "fastapi_app:app")
    answers = [one for path in ("/async", "/sync", "/to_thread", "/executor") for one in ask(client, path)]
    deployment.stop()
    check(deployment, answers)
