"""The store is a ClickHouse server: while it does not answer, the journal holds; then it catches up, each row once."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from bench.load import batch_template
from tests.e2e.clickhouse_server import ClickHouseServer
from tests.e2e.conftest import Service, modelspan, wait_for
from tests.e2e.test_crash import ROWS, Sender

WINDOWS = {
    "MODELSPAN_WINDOWS__LENGTH": "1s",
    "MODELSPAN_WINDOWS__LATENESS": "0s",
    "MODELSPAN_WINDOWS__IDLE": "1s",
    "MODELSPAN_DRIFT__FIRST_PREDICTIONS": "400",
}


@pytest.fixture
def make_server(tmp_path: Path) -> Iterator[Callable[..., ClickHouseServer]]:
    made: list[ClickHouseServer] = []

    def make(**options: str) -> ClickHouseServer:
        made.append(ClickHouseServer(tmp_path / f"clickhouse{len(made)}", **options))
        return made[-1]

    yield make
    for server in made:
        server.kill()


def deliver(service: Service, requests: int, model: str = "m") -> Sender:
    """Send some requests and return when each is acknowledged."""
    sender = Sender(service.grpc, batch_template(model=model, rows=ROWS, features=3), 0)
    for sender.sequence in range(requests):
        sender.deliver(sender.template.request(sender.sequence))
    return sender


def status(service: Service) -> dict[str, Any]:
    return dict(httpx.get(f"http://127.0.0.1:{service.http}/status").json())


def wait_drained(service: Service) -> None:
    wait_for(lambda: status(service)["journal"]["requests"] == 0, "an empty journal")


def predictions(server: ClickHouseServer) -> list[list[str]]:
    return server.rows("SELECT count(), uniqExact(prediction_id) FROM modelspan.ml_predictions")


def test_a_server_that_comes_later_gets_every_row_once(
    make_service: Callable[..., Service], make_server: Callable[..., ClickHouseServer]
) -> None:
    server = make_server()
    service = make_service(MODELSPAN_STORE__URL=server.url, **WINDOWS).start()
    sender = deliver(service, 5)
    assert len(sender.acknowledged) == 5
    told = status(service)
    says = f"could not connect to {server.url}: Connection refused"
    assert (told["journal"]["requests"], told["store"]) == (5, f"store unreachable: {says}")
    assert "store unreachable; the journal holds what arrives" in service.log.read_text()

    server.start()
    wait_drained(service)
    assert predictions(server) == [[str(5 * ROWS)] * 2]
    assert status(service)["store"] == "ok"


def test_a_server_killed_under_load_has_every_acknowledged_row_once_and_judges_them(
    make_service: Callable[..., Service], make_server: Callable[..., ClickHouseServer]
) -> None:
    server = make_server().start()
    service = make_service(MODELSPAN_STORE__URL=server.url, **WINDOWS).start()
    sender = Sender(service.grpc, batch_template(model="m", rows=ROWS, features=3), 0)
    sender.start()
    for pause in (1.0, 0.4):
        time.sleep(pause)
        server.kill()
        wait_for(lambda: status(service)["store"].startswith("store unreachable"), "that the service says so")
        server.start()
        wait_for(lambda: status(service)["store"] == "ok", "that the service goes on")
    sender.done.set()
    sender.join(30)
    wait_drained(service)

    rows = len(sender.acknowledged) * ROWS
    assert sender.resent == 0
    assert predictions(server) == [[str(rows)] * 2]
    judged = "SELECT sum(rows), countIf(status = 'ok') > 0 FROM modelspan.ml_windows FINAL"
    wait_for(lambda: server.rows(judged) == [[str(rows), "1"]], f"verdicts on {rows} rows")
    shown = modelspan("query", "models", url=f"{server.url}/modelspan")
    assert [(row["model_name"], row["predictions"]) for row in shown] == [("m", rows)]


@pytest.mark.parametrize(
    ("server_options", "says"),
    [
        ({"password": "secret"}, r"Code: 516\. .*Authentication failed.*; check store.username and store.password"),
        ({"password": "wr0ng", "denied": "CREATE DATABASE"}, r"Code: 497\. .*Not enough privileges.*; grant"),
    ],
    ids=["a wrong password", "a database that cannot be created"],
)
def test_a_server_that_refuses_is_quoted_and_the_journal_holds(
    server_options: dict[str, str],
    says: str,
    make_service: Callable[..., Service],
    make_server: Callable[..., ClickHouseServer],
) -> None:
    server = make_server(**server_options).start()
    service = make_service(MODELSPAN_STORE__URL=server.url, MODELSPAN_STORE__PASSWORD="wr0ng").start()
    sender = deliver(service, 2)
    wait_for(lambda: re.search(f"^store refuses: .*{says}", status(service)["store"]), "that it quotes the server")
    assert (len(sender.acknowledged), status(service)["journal"]["requests"]) == (2, 2)
    assert re.search(says, service.log.read_text())
    assert "unreachable" not in service.log.read_text()
    assert "wr0ng" not in service.log.read_text()
    assert service.stop() == 0
