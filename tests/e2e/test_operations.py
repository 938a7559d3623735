"""What docs/operations.md promises to whoever runs the service."""

from __future__ import annotations

import re
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import httpx

from bench.load import batch_template
from tests.e2e.conftest import Service, wait_for
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


def test_a_second_signal_ends_it_at_once_and_loses_nothing(make_service: Callable[..., Service]) -> None:
    service = make_service().start()
    sender = Sender(service.grpc, batch_template(model="m", rows=ROWS, features=3), 0)
    sender.start()
    time.sleep(0.3)
    assert service.process is not None
    service.process.send_signal(signal.SIGTERM)
    time.sleep(0.05)
    service.process.send_signal(signal.SIGTERM)
    assert service.process.wait(10) == 128 + signal.SIGTERM
    sender.done.set()
    service.start()
    sender.join(30)
    service.wait_rows(len(sender.acknowledged) * ROWS)
    assert service.rows("SELECT count(), uniqExact(prediction_id) FROM ml_predictions") == [
        (len(sender.acknowledged) * ROWS,) * 2
    ]
