"""`kill -9` under load: what was acknowledged is in the store exactly once, and what was not may be sent again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import grpc

from bench.load import Template, batch_template
from tests.e2e.conftest import Service, wait_for

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


def acknowledged_by(senders: list[Sender]) -> int:
    return sum(len(sender.acknowledged) for sender in senders)


def test_acknowledged_predictions_survive_kill_9_exactly_once(make_service: Callable[..., Service]) -> None:
    service = make_service().start()
    senders = [Sender(service.grpc, batch_template(model=f"m{i}", rows=ROWS, features=5, seed=i), 0) for i in range(3)]
    for sender in senders:
        sender.start()
    for more in (5, 40, 15, 80, 1):
        before = acknowledged_by(senders)
        wait_for(lambda goal=before + more: acknowledged_by(senders) >= goal, f"{more} more acknowledged requests")
        service.kill()
        service.start()
    for sender in senders:
        sender.done.set()
    for sender in senders:
        sender.join(30)

    acknowledged = acknowledged_by(senders)
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

    def rows_in_windows() -> int:
        return int(service.rows("SELECT sum(rows) FROM ml_windows FINAL")[0][0])

    wait_for(lambda: rows_in_windows() > 0, "a window before the crash")
    service.kill()
    service.start()
    before = rows_in_windows()
    wait_for(lambda: rows_in_windows() > before, "a window after the crash")
    sender.done.set()
    sender.join(30)
    rows = len(sender.acknowledged) * ROWS
    service.wait_rows(rows)
    wait_for(lambda: rows_in_windows() >= rows, f"windows of all {rows} rows")
    assert rows_in_windows() == rows
