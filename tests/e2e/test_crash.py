"""`kill -9` under load: what was acknowledged is in the store exactly once, and what was not may be sent again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import grpc
import pytest

from bench.load import Template, batch_template
from tests.e2e.conftest import Service

EXPORT = "/opentelemetry.proto.collector.logs.v1.LogsService/Export"
ROWS = 200


class Sender(threading.Thread):
    """Sends requests one after the other; one that was not acknowledged is sent again, byte for byte."""

    def __init__(self, port: int, template: Template, first: int) -> None:
        super().__init__(daemon=True)
        self.port, self.template, self.sequence = port, template, first
        self.acknowledged: list[int] = []
        self.resent = 0
        self.done = threading.Event()

    def run(self) -> None:
        while not self.done.is_set():
            self.deliver(self.template.request(self.sequence))
            self.sequence += 1

    def deliver(self, request: bytes) -> None:
        while True:
            try:
                with grpc.insecure_channel(f"127.0.0.1:{self.port}") as channel:
                    channel.unary_unary(EXPORT)(request, timeout=2)
                self.acknowledged.append(self.sequence)
                return
            except grpc.RpcError:
                self.resent += 1
                time.sleep(0.05)


@pytest.mark.timeout(240)
def test_acknowledged_predictions_survive_kill_9_exactly_once(make_service: Callable[..., Service]) -> None:
    service = make_service().start()
    senders = [Sender(service.grpc, batch_template(model=f"m{i}", rows=ROWS, features=5, seed=i), 0) for i in range(3)]
    for sender in senders:
        sender.start()
    for pause in (0.4, 1.1, 0.7, 1.6, 0.2):
        time.sleep(pause)
        service.kill()
        service.start()
    for sender in senders:
        sender.done.set()
    for sender in senders:
        sender.join(30)

    acknowledged = sum(len(sender.acknowledged) for sender in senders)
    assert acknowledged > 20
    assert sum(sender.resent for sender in senders) > 0
    service.wait_rows(acknowledged * ROWS)
    found = service.rows(
        "SELECT model_name, count(), uniqExact(prediction_id) FROM ml_predictions GROUP BY 1 ORDER BY 1"
    )
    assert found == [(f"m{i}", len(s.acknowledged) * ROWS, len(s.acknowledged) * ROWS) for i, s in enumerate(senders)]


def test_the_windows_after_a_crash_count_every_row_once(make_service: Callable[..., Service]) -> None:
    service = make_service(
        MODELSPAN_WINDOWS__LENGTH="2s",
        MODELSPAN_WINDOWS__LATENESS="0s",
        MODELSPAN_WINDOWS__IDLE="1s",
        MODELSPAN_DRIFT__FIRST_PREDICTIONS="1000",
    ).start()
    sender = Sender(service.grpc, batch_template(model="m", rows=ROWS, features=3), 0)
    sender.start()
    time.sleep(3)
    service.kill()
    service.start()
    time.sleep(3)
    sender.done.set()
    sender.join(30)
    rows = len(sender.acknowledged) * ROWS
    service.wait_rows(rows)

    def windows() -> int:
        return int(service.rows("SELECT sum(rows) FROM ml_windows FINAL")[0][0])

    deadline = time.monotonic() + 40
    while windows() < rows and time.monotonic() < deadline:
        time.sleep(0.5)
    assert windows() == rows
