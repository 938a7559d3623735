"""OTLP/gRPC: the three export services on one asyncio server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import grpc

from modelspan.processor.journal import Signal
from modelspan.processor.receiver.inflate import coding_of
from modelspan.processor.receiver.intake import Hold, Intake
from modelspan.processor.receiver.refusal import Refusal, too_large, unavailable

_SERVICES = {
    Signal.TRACES: "opentelemetry.proto.collector.trace.v1.TraceService",
    Signal.METRICS: "opentelemetry.proto.collector.metrics.v1.MetricsService",
    Signal.LOGS: "opentelemetry.proto.collector.logs.v1.LogsService",
}
_CODES = {code.value[0]: code for code in grpc.StatusCode}
_EMPTY_RESPONSE = b""
"""An export response without `partial_success`: everything was accepted."""

_MAX_STREAMS = 100
"""Requests that one connection may have open; a client waits with the next."""
_SECONDS_TO_READ = 10.0
"""From the turn of a request to its last byte: as long as an SDK waits for all of an export."""

_MS_TO_SHAKE_HANDS = 5_000
_MS_IDLE = 30_000
"""Without a request. Clients connect again by themselves, in milliseconds."""

_Context = grpc.aio.ServicerContext[bytes, bytes]


def make_server(intake: Intake, max_connections: int) -> grpc.aio.Server:
    """A server without a port.

    Requests are read when there is memory for them, hence as streams of one message, and inflated here, within the limits: gRPC
    would inflate as many at once as there are streams.
    """
    server = grpc.aio.server(
        options=[
            ("grpc.so_reuseport", 0),
            ("grpc.max_receive_message_length", intake.limits.size),
            ("grpc.per_message_decompression", 0),
            ("grpc.max_concurrent_streams", _MAX_STREAMS),
            ("grpc.max_allowed_incoming_connections", max_connections),
            ("grpc.server_handshake_timeout_ms", _MS_TO_SHAKE_HANDS),
            ("grpc.max_connection_idle_ms", _MS_IDLE),
        ]
    )
    for signal, service in _SERVICES.items():
        # Without a deserializer the handler gets the bytes as they came.
        method = grpc.stream_unary_rpc_method_handler(_export(intake, signal))
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {"Export": method}),))
    return server


def _export(intake: Intake, signal: Signal) -> Callable[[object, _Context], Awaitable[bytes]]:
    async def export(messages: object, context: _Context) -> bytes:
        try:
            with intake.counting(signal) as accepted, intake.holding() as hold:
                message = await _message(intake, context, hold)
                payload = await _inflated(intake, message, hold)
                await intake.take(signal, payload)
                accepted(len(payload))
        except Refusal as refusal:
            await context.abort(_CODES[refusal.code], refusal.reason, _trailers(refusal))
        return _EMPTY_RESPONSE

    return export


async def _message(intake: Intake, context: _Context, hold: Hold) -> bytes:
    async with intake.reading():
        try:
            message = await asyncio.wait_for(context.read(), _SECONDS_TO_READ)
        except asyncio.TimeoutError:
            raise unavailable(f"the request did not arrive within {_SECONDS_TO_READ:.0f} s") from None
        if not isinstance(message, bytes):  # gRPC has told the client why
            raise too_large(intake.limits.size)
        hold(len(message))
        return message


async def _inflated(intake: Intake, message: bytes, hold: Hold) -> bytes:
    coding = coding_of(message)
    if coding == "identity":
        return message
    return await asyncio.to_thread(intake.inflated, message, coding, hold)


def _trailers(refusal: Refusal) -> tuple[tuple[str, bytes], ...]:
    trailers = (("grpc-status-details-bin", refusal.status().SerializeToString()),)
    if refusal.retry_info is None:
        return trailers
    # The OpenTelemetry SDK for Python reads the delay from here only.
    return (*trailers, ("google.rpc.retryinfo-bin", refusal.retry_info.SerializeToString()))
