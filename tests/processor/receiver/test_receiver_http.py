"""OTLP/HTTP answers by the specification: status codes, the body's encoding, limits."""

from __future__ import annotations

import gzip
import json
import socket
import zlib

import httpx
import pytest
from google.rpc.error_details_pb2 import BadRequest, RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from modelspan.processor.http_protocol import LimitedProtocol
from modelspan.processor.journal import Signal
from modelspan.processor.receiver import Limits

PROTOBUF, JSON = "application/x-protobuf", "application/json"
SIGNALS = {"traces": Signal.TRACES, "metrics": Signal.METRICS, "logs": Signal.LOGS}


def spans(name: str) -> bytes:
    request = ExportTraceServiceRequest()
    request.resource_spans.add().scope_spans.add().spans.add(name=name)
    return request.SerializeToString()


def reason(response: httpx.Response) -> str:
    """Message of the `google.rpc.Status` in the body."""
    if response.headers["content-type"] == JSON:
        return response.json()["message"]
    assert response.headers["content-type"] == PROTOBUF
    return Status.FromString(response.content).message


@pytest.mark.parametrize("coding", ["identity", "gzip", None])
def test_protobuf_is_stored_as_its_exact_bytes_whatever_its_coding(service, coding: str | None):
    body = spans("predict")
    headers = {"content_encoding": coding} if coding else {}
    response = service.post("traces", gzip.compress(body) if coding == "gzip" else body, **headers)
    assert (response.status_code, response.headers["content-type"], response.content) == (200, PROTOBUF, b"")
    [record] = service.stored()
    assert (record.signal, record.payload) == (Signal.TRACES, body)


@pytest.mark.parametrize("signal", SIGNALS)
@pytest.mark.parametrize(("media_type", "empty", "answer"), [(PROTOBUF, b"", b""), (JSON, b"{}", b"{}")])
def test_an_empty_request_succeeds_and_stores_nothing(service, signal: str, media_type: str, empty: bytes, answer):
    response = service.post(signal, empty, media_type)
    assert (response.status_code, response.headers["content-type"], response.content) == (200, media_type, answer)
    assert service.stored() == []


@pytest.mark.parametrize(
    ("signal", "key"), [*zip(SIGNALS, ["resourceSpans", "resourceMetrics", "resourceLogs"], strict=True)]
)
def test_json_is_stored_as_protobuf(service, signal: str, key: str):
    body = json.dumps({key: [{"schemaUrl": "https://example.com"}]}).encode()
    assert service.post(signal, body, "Application/JSON; charset=utf-8").status_code == 200
    [record] = service.stored()
    assert (record.signal, record.payload) == (SIGNALS[signal], b"\x0a\x15\x1a\x13https://example.com")


@pytest.mark.parametrize(
    ("media_type", "body"),
    [(PROTOBUF, b"\xff\xff"), (PROTOBUF, spans("name").replace(b"name", b"n\xffme")), (JSON, b"{"), (JSON, b"[]")],
)
def test_malformed_bodies_are_bad_requests_with_details_in_their_own_encoding(service, media_type: str, body: bytes):
    response = service.post("traces", body, media_type)
    assert response.status_code == 400
    assert reason(response)
    if media_type == PROTOBUF:
        detail = BadRequest()
        assert Status.FromString(response.content).details[0].Unpack(detail)
        assert detail.field_violations[0].description == reason(response)
    else:
        assert response.json()["details"][0]["@type"].endswith("google.rpc.BadRequest")
    assert service.stored() == []


@pytest.mark.parametrize("media_type", ["", "text/plain", "application/grpc", "application/x-protobuf2"])
def test_another_media_type_is_unsupported(service, media_type: str):
    response = service.post("traces", spans("x"), media_type)
    assert response.status_code == 415
    assert "application/x-protobuf or application/json" in reason(response)
    assert service.stored() == []


@pytest.mark.parametrize("coding", ["br", "gzip, gzip", "gzip, zstd", "snappy", "nonsense"])
def test_another_coding_is_unsupported_and_the_answer_says_what_is(service, coding: str):
    response = service.post("traces", spans("x"), content_encoding=coding)
    assert (response.status_code, response.headers["accept-encoding"]) == (415, "gzip, deflate, zstd, identity")
    assert coding in reason(response)
    assert service.stored() == []


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS"])
def test_only_post_exports(service, method: str):
    response = service.http.request(method, "/v1/traces", headers={"content-type": PROTOBUF})
    assert (response.status_code, response.headers["allow"]) == (405, "POST")
    assert method in reason(response)


@pytest.mark.parametrize("path", ["/", "/v1/profiles", "/v1/traces/", "/v1", "/%2e%2e/etc/passwd"])
def test_other_paths_are_not_found(service, path: str):
    response = service.http.post(path, content=b"", headers={"content-type": PROTOBUF})
    assert response.status_code == 404
    assert "/v1/traces" in reason(response)


@pytest.mark.parametrize(
    "damaged",
    [
        gzip.compress(spans("x"))[:-3],
        gzip.compress(spans("x")) + b"rest",
        zlib.compress(spans("x")),
        b"not gzip",
        gzip.compress(spans("x"))[:-8] + bytes(8),
    ],
    ids=["truncated", "followed by something", "zlib", "plain", "wrong checksum"],
)
def test_damaged_gzip_is_a_bad_request(service, damaged: bytes):
    response = service.post("traces", damaged, content_encoding="gzip")
    assert response.status_code == 400
    assert "decompressed" in reason(response)
    assert service.stored() == []


def test_gzip_of_several_members_is_one_body(service):
    parts = [spans("one"), spans("two"), spans("three")]
    body = b"".join(gzip.compress(part) for part in parts)
    assert service.post("traces", body, content_encoding="gzip").status_code == 200
    assert service.stored()[0].payload == b"".join(parts)


def chunks(size: int):
    for _ in range(size // 10_000):
        yield bytes(10_000)


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (bytes((1 << 20) + 1), {}),
        (chunks(2 << 20), {}),
        (gzip.compress(bytes(2 << 20)), {"content_encoding": "gzip"}),
        (gzip.compress(bytes(64 << 20)), {"content_encoding": "gzip"}),
    ],
    ids=["announced", "chunked", "compressed", "bomb"],
)
def test_oversized_bodies_are_refused_for_good(service, body: object, headers: dict[str, str]):
    response = service.post("traces", body, **headers)
    assert response.status_code == 413
    assert "1048576 bytes after decompression" in reason(response)
    assert "retry-after" not in response.headers
    assert service.stored() == []


def test_json_that_is_larger_as_text_than_as_protobuf_is_measured_as_text(service):
    body = b'{"unknown": "' + b"x" * (1 << 20) + b'"}'
    assert service.post("traces", body, JSON).status_code == 413


def test_a_chunked_body_in_many_small_pieces_is_taken(service):
    body = spans("chunked" * 1000)
    assert service.post("traces", (body[i : i + 100] for i in range(0, len(body), 100))).status_code == 200
    assert [record.payload for record in service.stored()] == [body]


def test_a_full_journal_asks_to_come_again_and_takes_again_once_drained(run):
    service = run(max_bytes=1000)
    service.journal.append(Signal.LOGS, bytes(1000)).result()
    response = service.post("traces", spans("x"))
    assert response.status_code == 503
    assert 0 < int(response.headers["retry-after"]) <= 5
    detail = RetryInfo()
    assert Status.FromString(response.content).details[0].Unpack(detail)
    assert 0 < detail.retry_delay.ToSeconds() <= 5
    service.stored()
    assert service.post("traces", spans("x")).status_code == 200


def test_a_request_larger_than_the_journal_is_refused_for_good_and_the_setting_named(run):
    service = run(max_bytes=1000)
    response = service.post("traces", spans("x" * 1000))
    assert response.status_code == 413
    assert "journal.max_bytes is 1000" in reason(response)
    assert "retry-after" not in response.headers
    assert service.post("traces", spans("x")).status_code == 200


def test_more_than_the_memory_for_requests_is_asked_to_come_again(run):
    service = run(limits=Limits(size=100_000), max_held_bytes=200_000)
    slow = [open_request(service, b"POST", length=100_000, body=bytes(90_000)) for _ in range(2)]
    while (response := service.post("traces", spans("x" * 50_000))).status_code == 200:
        """Until the receiver has read what the slow clients have sent."""
    assert (response.status_code, reason(response)) == (503, "too many requests at once")
    for connection in slow:
        connection.close()
    while service.post("traces", spans("x" * 50_000)).status_code != 200:
        """Until the receiver has noticed that they are gone."""


def open_request(service, method: bytes, *, length: int, body: bytes) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", service.receiver.http_port), timeout=30)
    head = b"%s /v1/traces HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-protobuf\r\ncontent-length: %d\r\n\r\n"
    connection.sendall(head % (method, length) + body)
    return connection


def test_a_client_that_leaves_in_the_middle_of_a_body_stores_nothing(service):
    body = spans("half")
    open_request(service, b"POST", length=len(body) + 5, body=body).close()
    assert service.post("traces", spans("whole")).status_code == 200
    assert [record.payload for record in service.stored()] == [spans("whole")]


@pytest.mark.parametrize(
    "sent",
    [b"", b"POST /v1/traces HTT", b"POST /v1/traces HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\n\r\nabc"],
    ids=["nothing", "half a head", "half a body"],
)
def test_a_request_that_takes_too_long_to_arrive_is_cut_off(service, monkeypatch, sent: bytes):
    monkeypatch.setattr(LimitedProtocol, "request_seconds", 0.2)
    with socket.create_connection(("127.0.0.1", service.receiver.http_port), timeout=30) as connection:
        connection.sendall(sent)
        answer = b"".join(iter(lambda: connection.recv(4096), b""))
    assert answer.startswith(b"HTTP/1.1 4")
    assert service.stored() == []


def send_headers_without_end(connection: socket.socket) -> None:
    connection.sendall(b"POST /v1/traces HTTP/1.1\r\n")
    for i in range(10_000):
        connection.sendall(b"x-%d: " % i + b"y" * 1000 + b"\r\n")


def test_endless_headers_are_cut_off(service):
    with (
        socket.create_connection(("127.0.0.1", service.receiver.http_port), timeout=30) as connection,
        pytest.raises((BrokenPipeError, ConnectionResetError)),
    ):
        send_headers_without_end(connection)
    assert service.post("traces", b"").status_code == 200


def test_connections_that_wait_longest_for_a_request_make_room_for_others(run):
    service = run(max_connections=20)
    silent = [socket.create_connection(("127.0.0.1", service.receiver.http_port), timeout=30) for _ in range(60)]
    halves = [open_request(service, b"POST", length=5, body=b"") for _ in range(60)]
    assert service.post("traces", spans("x")).status_code == 200
    assert [record.payload for record in service.stored()] == [spans("x")]
    cut_off = [connection for connection in silent if connection.recv(100).startswith(b"HTTP/1.1 408")]
    assert len(cut_off) == len(silent)
    for connection in silent + halves:
        connection.close()


def test_a_connection_is_kept_for_the_next_request_after_a_refusal(service):
    for body in (b"\xff", spans("x"), b"\xff", spans("y")):
        service.post("traces", body)
    assert [record.payload for record in service.stored()] == [spans("x"), spans("y")]
