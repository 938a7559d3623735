"""Clients that may not write, speak to the wrong port, or only hold connections: each is told, and none stops the others."""

from __future__ import annotations

import socket

import grpc
import httpx
import pytest

from modelspan.processor.journal import Signal
from modelspan.processor.wrong_protocol import Http2Refusal
from tests.processor.receiver.conftest import Running
from tests.processor.receiver.test_receiver_http import reason, spans

PROTOBUF = "application/x-protobuf"


def sent(service: Running, **headers: str) -> httpx.Response:
    return service.post("traces", spans("x"), **headers)


@pytest.mark.parametrize(
    "host", ["attacker.example", "127.0.0.1.attacker.example", "10.1.2.3", "localhost@evil.example"]
)
def test_under_another_host_nothing_is_written_and_no_page_is_read(service: Running, host: str):
    response = sent(service, host=host)
    assert response.status_code == 403
    assert f"Host {host} is not trusted here" in reason(response)
    assert "add it to receiver.allowed_hosts" in reason(response)
    assert service.http.get("/status", headers={"host": host}).status_code == 403
    assert service.stored() == []


@pytest.mark.parametrize(
    "headers", [{"origin": "https://attacker.example"}, {"sec_fetch_site": "cross-site"}, {"origin": "null"}]
)
def test_a_page_of_another_site_writes_nothing(service: Running, headers: dict[str, str]):
    response = sent(service, **headers)
    assert response.status_code == 403
    assert service.stored() == []


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_what_a_page_may_send_without_asking_is_no_export(service: Running, media_type: str):
    assert service.post("traces", spans("x"), media_type).status_code == 415
    assert service.stored() == []


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]:4318", "LOCALHOST:4318"])
def test_loopback_under_any_of_its_names_may_write(service: Running, host: str):
    assert sent(service, host=host).status_code == 200
    assert len(service.stored()) == 1


def test_a_name_that_is_allowed_may_write(run):
    service = run(allowed_hosts=["otel.example"])
    assert sent(service, host="otel.example:4318").status_code == 200
    assert sent(service, host="otel.example.attacker.example").status_code == 403
    assert len(service.stored()) == 1


def test_grpc_at_the_port_of_http_is_told_where_grpc_is(service: Running, caplog: pytest.LogCaptureFixture):
    with (
        grpc.insecure_channel(f"127.0.0.1:{service.receiver.http_port}") as channel,
        pytest.raises(grpc.RpcError) as caught,
    ):
        channel.unary_unary("/opentelemetry.proto.collector.logs.v1.LogsService/Export")(b"", timeout=20)
    here = f"port {service.receiver.http_port} is OTLP/HTTP, without TLS; OTLP/gRPC is on port {service.receiver.grpc_port}"
    assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.UNIMPLEMENTED, here)
    assert f"a client speaks gRPC or HTTP/2 but {here}" in caplog.messages


def test_tls_at_a_port_without_it_is_said_in_the_log(service: Running, caplog: pytest.LogCaptureFixture):
    with socket.create_connection(("127.0.0.1", service.receiver.http_port), timeout=30) as connection:
        connection.sendall(bytes.fromhex("160301020001000001fc0303") + bytes(500))
        while connection.recv(4096):
            """Until the service hangs up."""
    assert any(line.startswith("a client speaks TLS but port") for line in caplog.messages)


@pytest.mark.parametrize("step", [1, 7, 100])
def test_http2_is_answered_however_its_bytes_arrive(step: int):
    settings = bytes.fromhex("000000040000000000")
    request = bytes.fromhex("0000010104000000018" + "8")
    said = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + settings + request
    refusal = Http2Refusal("nothing here: " + "x" * 200)
    answer = b"".join(refusal.answer(said[i : i + step]) for i in range(0, len(said), step))
    assert refusal.is_over
    assert answer.startswith(bytes.fromhex("000000040100000000"))
    assert answer.count(b"nothing here: " + b"x" * 200) == 2


def test_http2_without_a_request_ends(service: Running):
    refusal = Http2Refusal("nothing here")
    refusal.answer(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff\xff\xff\x00" + bytes(100_000))
    assert refusal.is_over


def test_silent_connections_do_not_stop_grpc(run):
    service = run(max_connections=20)
    silent = [socket.create_connection(("127.0.0.1", service.receiver.grpc_port), timeout=30) for _ in range(60)]
    with grpc.insecure_channel(f"127.0.0.1:{service.receiver.grpc_port}") as channel:
        export = channel.unary_unary("/opentelemetry.proto.collector.trace.v1.TraceService/Export")
        assert export(spans("x"), timeout=30, wait_for_ready=True) == b""
    assert [record.signal for record in service.stored()] == [Signal.TRACES]
    for connection in silent:
        connection.close()
