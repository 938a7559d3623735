"""A receiver on free ports in front of a real journal, with plain clients for both transports."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import httpx
import pytest

from modelspan.processor.journal import Journal, Record
from modelspan.processor.receiver import Limits, Receiver

SERVICES = {
    "traces": "opentelemetry.proto.collector.trace.v1.TraceService",
    "metrics": "opentelemetry.proto.collector.metrics.v1.MetricsService",
    "logs": "opentelemetry.proto.collector.logs.v1.LogsService",
}


@dataclass
class Running:
    receiver: Receiver
    journal: Journal
    http: httpx.Client
    channel: grpc.Channel

    def post(self, signal: str, content: object, media_type: str = "application/x-protobuf", **headers: str):
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.http.post(f"/v1/{signal}", content=content, headers={"content-type": media_type, **named})

    def export(self, signal: str, request: bytes, compression: grpc.Compression | None = None) -> bytes:
        return self.channel.unary_unary(f"/{SERVICES[signal]}/Export")(request, compression=compression, timeout=30)

    def stored(self) -> list[Record]:
        """Take everything out of the journal."""
        records: list[Record] = []
        while block := self.journal.next_block(max_bytes=1 << 30, max_records=10_000, wait=0, linger=0):
            records += block.records
            self.journal.complete(block)
        return records


@contextlib.contextmanager
def running(path: Path, *, max_bytes: int = 1 << 30, **options: object) -> Iterator[Running]:
    journal = Journal.open(path, max_bytes=max_bytes)
    receiver = Receiver(journal, grpc_address="127.0.0.1:0", http_address="127.0.0.1:0", **options)
    receiver.start()
    with (
        httpx.Client(base_url=f"http://127.0.0.1:{receiver.http_port}", timeout=30) as http,
        grpc.insecure_channel(
            f"127.0.0.1:{receiver.grpc_port}", options=[("grpc.max_send_message_length", -1)]
        ) as channel,
    ):
        try:
            yield Running(receiver, journal, http, channel)
        finally:
            receiver.stop(grace=1)
            journal.close()


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Starts a receiver with the given options; `max_bytes` is the limit of its journal."""
    with contextlib.ExitStack() as stack:
        yield lambda **options: stack.enter_context(running(tmp_path / "journal", **options))


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One receiver for the tests of a module; it limits requests to 1 MiB."""
    with running(tmp_path_factory.mktemp("receiver"), limits=Limits(size=1 << 20)) as started:
        yield started


@pytest.fixture(autouse=True)
def _nothing_left(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "service" in request.fixturenames:
        request.getfixturevalue("service").stored()
