"""What docs/operations.md promises to whoever runs the service."""

from __future__ import annotations

import re
import shutil
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from bench.load import batch_template
from tests.e2e.conftest import PATIENCE, Service, wait_for
from tests.e2e.test_crash import ROWS, Sender

PAGE = Path(__file__).parents[2] / "docs" / "operations.md"


def get(service: Service, path: str) -> httpx.Response:
    return httpx.get(f"http://127.0.0.1:{service.http}{path}")


def loaded(service: Service, requests: int) -> Sender:
    sender = Sender(service.grpc, batch_template(model="m", rows=ROWS, features=3), 0)
    for sender.sequence in range(requests):
        sender.deliver(sender.template.request(sender.sequence))
    service.wait_rows(requests * ROWS)
    return sender


def test_the_page_names_every_metric_and_no_other(service: Service) -> None:
    loaded(service, 1)
    assert service.rows("SELECT 1") == [(1,)]
    bad = httpx.post(
        f"http://127.0.0.1:{service.http}/v1/logs",
        json={"resourceLogs": [{"scopeLogs": [{"logRecords": [{"eventName": "ml.prediction.batch"}]}]}]},
    )
    assert bad.status_code == 200
    wait_for(lambda: "decode_rejected_total{" in get(service, "/metrics").text, "a rejected payload")
    exposed = set(re.findall(r"^(modelspan_\w+)", get(service, "/metrics").text, re.MULTILINE))
    assert exposed == set(re.findall(r"^\| `(modelspan_\w+)`", PAGE.read_text(), re.MULTILINE))
    assert "modelspan_store_up 1.0" in get(service, "/metrics").text
    assert [get(service, path).status_code for path in ("/healthz", "/readyz", "/status")] == [200] * 3
    assert get(service, "/status").json()["store"] == "ok"


def test_a_copy_of_the_data_directory_is_a_backup(make_service: Callable[..., Service]) -> None:
    service, restored = make_service().start(), make_service()
    loaded(service, 2)
    assert service.stop() == 0
    shutil.copytree(service.data_dir, restored.data_dir, symlinks=True)
    shutil.rmtree(service.data_dir)
    restored.start()
    loaded(restored, 1)
    restored.wait_rows(3 * ROWS)
    assert restored.rows("SELECT count() FROM ml_predictions") == [(3 * ROWS,)]


@contextmanager
def unfinished_request(service: Service) -> Iterator[None]:
    """Within it, a request that the service waits for, for some seconds, when it is asked to stop."""
    with socket.create_connection(("127.0.0.1", service.http)) as connection:
        connection.sendall(b"POST /v1/logs HTTP/1.1\r\nHost: test\r\nContent-Type: application/x-protobuf\r\n")
        connection.sendall(b"Content-Length: 100\r\n\r\n")
        yield


def accepts(service: Service) -> bool:
    try:
        socket.create_connection(("127.0.0.1", service.http)).close()
    except ConnectionRefusedError:
        return False
    return True


def test_a_second_signal_ends_it_at_once_and_loses_nothing(make_service: Callable[..., Service]) -> None:
    service = make_service().start()
    sender = Sender(service.grpc, batch_template(model="m", rows=ROWS, features=3), 0)
    sender.start()
    wait_for(lambda: sender.acknowledged, "an acknowledged request")
    assert service.process is not None
    with unfinished_request(service):
        service.process.send_signal(signal.SIGTERM)
        wait_for(lambda: not accepts(service), "that it begins to stop")
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(PATIENCE) == 128 + signal.SIGTERM
    sender.done.set()
    service.start()
    sender.join(30)
    service.wait_rows(len(sender.acknowledged) * ROWS)
    assert service.rows("SELECT count(), uniqExact(prediction_id) FROM ml_predictions") == [
        (len(sender.acknowledged) * ROWS,) * 2
    ]
