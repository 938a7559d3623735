"""Log lines of a program whose service takes nothing: why, what becomes of its predictions, and when it takes them again."""

from __future__ import annotations

import http.server
import logging
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter as HTTPLogExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from sklearn.linear_model import LinearRegression

from modelspan.instrumentation import failure, flush
from modelspan.instrumentation.sklearn import SklearnInstrumentor

X = np.random.default_rng(0).normal(size=(50, 3))
MODEL = LinearRegression().fit(X, X[:, 0])


def over_grpc(port: int, scheme: str = "http") -> Any:
    return OTLPLogExporter(f"{scheme}://127.0.0.1:{port}", insecure=scheme == "http", timeout=1)


def over_http(port: int, scheme: str = "http") -> Any:
    return HTTPLogExporter(f"{scheme}://127.0.0.1:{port}/v1/logs", timeout=1)


@pytest.fixture
def grpc_port() -> Iterator[int]:
    server = grpc.server(futures.ThreadPoolExecutor(1))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield port
    server.stop(None)


@pytest.fixture
def http_port() -> Iterator[int]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.fixture
def tls_port() -> Iterator[int]:
    """Answers plain text as a server of TLS does."""
    listener = socket.create_server(("127.0.0.1", 0))

    def answer() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            client.recv(5)
            client.sendall(b"\x15\x03\x03\x00\x02\x02\x46")
            client.shutdown(socket.SHUT_WR)

    threading.Thread(target=answer, daemon=True).start()
    yield listener.getsockname()[1]
    listener.close()


def said_by(exporter: Any, caplog: pytest.LogCaptureFixture, predict: Callable[[], Any]) -> list[str]:
    """Our log lines while a program predicts."""
    failure._said.clear()
    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(BatchLogRecordProcessor(exporter))
    SklearnInstrumentor().instrument(logger_provider=provider, flush_interval=1000.0)
    try:
        predict()
    finally:
        SklearnInstrumentor().uninstrument()
        exporter.shutdown()
    return [one.getMessage() for one in caplog.records if one.name == "modelspan.instrumentation"]


@pytest.mark.parametrize(
    ("exporter", "server", "told"),
    [
        (over_http, "grpc_port", "that is a port of gRPC; use that of OTLP/HTTP, usually 4318"),
        (over_grpc, "http_port", "that is no port of gRPC; use that of OTLP/gRPC, usually 4317"),
        (lambda port: over_http(port, "https"), "http_port", "it speaks no TLS there; use an endpoint of http://"),
        (lambda port: over_grpc(port, "https"), "grpc_port", "OTEL_EXPORTER_OTLP_INSECURE=true"),
        (over_http, "tls_port", "it speaks TLS there; use an endpoint of https://"),
    ],
)
def test_a_program_that_is_set_up_for_another_port_or_protocol_is_told_what_to_change(
    exporter: Any, server: str, told: str, request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture
) -> None:
    port = request.getfixturevalue(server)

    def predict() -> None:
        MODEL.predict(X)
        assert not flush()
        assert not flush()

    said = [one for one in said_by(exporter(port), caplog, predict) if told in one]
    assert len(said) == 1
    assert f"127.0.0.1:{port}" in said[0]
    assert "rows are kept" in said[0]


@pytest.mark.parametrize("endpoint", ["127.0.0.1:4318", "localhost:4318/v1/logs", "http:/127.0.0.1:4318"])
def test_an_endpoint_that_is_no_url_is_told_what_it_lacks(endpoint: str, caplog: pytest.LogCaptureFixture) -> None:
    def predict() -> None:
        MODEL.predict(X)
        assert not flush()

    (said,) = said_by(HTTPLogExporter(endpoint, timeout=1), caplog, predict)
    assert said.startswith(f"The service at {endpoint} takes no predictions now")
    assert "write it with http:// or https:// before the host" in said


@pytest.mark.parametrize(
    ("scheme", "told"), [("http://", "that is a port of gRPC; use that of OTLP/HTTP"), ("", "the endpoint is no URL")]
)
def test_the_exit_of_a_short_program_names_the_cause_and_no_time_that_would_help(
    scheme: str, told: str, grpc_port: int
) -> None:
    source = (
        "import numpy; from sklearn.linear_model import LinearRegression\n"
        "x = numpy.eye(3); LinearRegression().fit(x, x[0]).predict(x)\n"
    )
    environment = {
        "PATH": "/usr/bin:/bin",
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"{scheme}127.0.0.1:{grpc_port}",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_EXPORTER_OTLP_TIMEOUT": "1",
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_TRACES_EXPORTER": "none",
    }
    instrument = Path(sys.executable).with_name("opentelemetry-instrument")
    command = [instrument, sys.executable, "-c", source]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100, check=False)
    (said,) = [line for line in done.stderr.splitlines() if "before the exit" in line]
    assert "it is lost. The service at " in said
    assert told in said
    assert "EXIT_TIMEOUT" not in done.stderr
    assert done.returncode == 0


def test_an_outage_is_said_with_what_is_kept_and_so_is_its_end(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = grpc.server(futures.ThreadPoolExecutor(1))
    server.add_generic_rpc_handlers((Everything(),))
    exporter = over_grpc(port)

    def predict() -> None:
        MODEL.predict(X)
        assert not flush()
        assert server.add_insecure_port(f"127.0.0.1:{port}")
        server.start()
        exporter._timeout = 30
        assert flush(60)

    away, back = said_by(exporter, caplog, predict)
    server.stop(None)
    where = f"The service at 127.0.0.1:{port} takes"
    assert away.startswith(f"{where} no predictions now; 51 rows are kept (0.0 MB of ")
    assert "sent again. It says: UNAVAILABLE" in away
    assert back == f"{where} predictions again."


def test_a_service_that_has_had_enough_for_now_gets_the_same_later_and_in_no_pieces(
    caplog: pytest.LogCaptureFixture,
) -> None:
    got: list[bytes] = []

    class Busy(grpc.GenericRpcHandler):  # type: ignore[misc]  # no types
        def service(self, details: Any) -> Any:
            def take(request: bytes, context: Any) -> bytes:
                got.append(request)
                if len(got) == 1:
                    context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "ingestion rate limit exceeded")
                return b""

            return grpc.unary_unary_rpc_method_handler(take)

    server = grpc.server(futures.ThreadPoolExecutor(1))
    server.add_generic_rpc_handlers((Busy(),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()

    def predict() -> None:
        MODEL.predict(X)
        assert not flush()
        assert flush()

    said_by(over_grpc(port), caplog, predict)
    server.stop(None)
    assert got[1] == got[0]


def test_a_password_of_the_endpoint_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    exporter = HTTPLogExporter("http://someone:secret@127.0.0.1:9/v1/logs", timeout=1)

    def predict() -> None:
        MODEL.predict(X)
        assert not flush()

    (said,) = said_by(exporter, caplog, predict)
    assert said.startswith("The service at http://127.0.0.1:9/v1/logs takes no predictions now")


class Everything(grpc.GenericRpcHandler):  # type: ignore[misc]  # no types
    """Takes whatever is sent."""

    def service(self, details: Any) -> Any:
        return grpc.unary_unary_rpc_method_handler(lambda request, context: b"")
