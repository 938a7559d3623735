"""OTLP/gRPC answers by the specification: status codes, details and retry hints."""

from __future__ import annotations

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest, RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from modelspan.processor.journal import Signal

SIGNALS = ["traces", "metrics", "logs"]


def spans(name: str, count: int = 1) -> bytes:
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    for _ in range(count):
        scope.spans.add(name=name, trace_id=bytes(range(16)))
    return request.SerializeToString()


def refusal(service, signal: str, request: bytes, **options: object) -> grpc.RpcError:
    with pytest.raises(grpc.RpcError) as caught:
        service.export(signal, request, **options)
    return caught.value


def details(error: grpc.RpcError) -> Status:
    return Status.FromString(dict(error.trailing_metadata())["grpc-status-details-bin"])


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
def test_a_request_is_stored_as_its_exact_bytes_and_answered_without_partial_success(service, compression):
    # An unknown field 1000 stays, too: a newer client knows more than this service.
    request = spans("predict", 100) + bytes.fromhex("c23e0161")
    response = ExportTraceServiceResponse.FromString(service.export("traces", request, compression))
    assert not response.HasField("partial_success")
    [record] = service.stored()
    assert (record.signal, record.payload) == (Signal.TRACES, request)


@pytest.mark.parametrize("signal", SIGNALS)
def test_an_empty_request_succeeds_and_stores_nothing(service, signal: str):
    assert service.export(signal, b"") == b""
    assert service.stored() == []


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\xff\xff\xff",
        spans("x")[:-1],
        spans("name").replace(b"name", b"n\xffme"),
        b"\x0a\xff\xff\xff\xff\x0f",
    ],
    ids=["garbage", "truncated", "not UTF-8", "huge length"],
)
def test_malformed_bytes_are_an_invalid_argument_with_a_reason(service, request_bytes: bytes):
    error = refusal(service, "traces", request_bytes)
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
    status, reason = details(error), BadRequest()
    assert status.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert status.details[0].Unpack(reason)
    assert "not a valid opentelemetry.proto.collector.trace.v1" in reason.field_violations[0].description
    assert service.stored() == []


@pytest.mark.parametrize("signal", SIGNALS)
def test_bytes_of_no_protobuf_message_are_refused_for_every_signal(service, signal: str):
    assert refusal(service, signal, b"\x0b").code() == grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
def test_an_oversized_request_is_refused_for_good_also_when_its_compressed_form_is_small(service, compression):
    error = refusal(service, "traces", spans("x" * (2 << 20)), compression=compression)
    assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "google.rpc.retryinfo-bin" not in dict(error.trailing_metadata())
    assert service.stored() == []


def test_a_full_journal_asks_to_come_again_in_both_trailers_and_takes_again_once_drained(run):
    service = run(max_bytes=1000)
    service.journal.append(Signal.LOGS, bytes(1000)).result()
    error = refusal(service, "traces", spans("x"))
    assert error.code() == grpc.StatusCode.UNAVAILABLE
    assert "send again later" in error.details()
    raw = RetryInfo.FromString(dict(error.trailing_metadata())["google.rpc.retryinfo-bin"])
    packed = RetryInfo()
    assert details(error).details[0].Unpack(packed)
    assert raw == packed
    assert 0 < raw.retry_delay.ToSeconds() <= 5
    service.stored()
    service.export("traces", spans("x"))
    assert [record.payload for record in service.stored()] == [spans("x")]


def test_a_request_larger_than_the_journal_is_refused_for_good_and_the_setting_named(run):
    service = run(max_bytes=1000)
    error = refusal(service, "traces", spans("x" * 1000))
    assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "journal.max_bytes is 1000" in error.details()
    assert "google.rpc.retryinfo-bin" not in dict(error.trailing_metadata())
    assert not details(error).details
    service.export("traces", spans("x"))


def test_another_method_is_unimplemented(service):
    with pytest.raises(grpc.RpcError) as caught:
        service.channel.unary_unary("/opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export")(b"")
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED
