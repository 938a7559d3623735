"""OTLP/gRPC: the three export services on one asyncio server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import grpc

from modelspan.processor.journal import Signal
from modelspan.processor.receiver.intake import Intake
from modelspan.processor.receiver.refusal import Refusal

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

_Context = grpc.aio.ServicerContext[bytes, bytes]


def make_server(intake: Intake) -> grpc.aio.Server:
    """A server without a port. Messages are limited after decompression, by gRPC itself."""
    server = grpc.aio.server(
        options=[
            ("grpc.so_reuseport", 0),
            ("grpc.max_receive_message_length", intake.max_request_bytes),
            ("grpc.max_concurrent_streams", _MAX_STREAMS),
        ]
    )
    for signal, service in _SERVICES.items():
        # Without a deserializer the handler gets the bytes as they came.
        method = grpc.unary_unary_rpc_method_handler(_export(intake, signal))
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {"Export": method}),))
    return server


def _export(intake: Intake, signal: Signal) -> Callable[[bytes, _Context], Awaitable[bytes]]:
    async def export(request: bytes, context: _Context) -> bytes:
        try:
            with intake.counting(signal) as accepted:
                await intake.take(signal, request)
                accepted(len(request))
        except Refusal as refusal:
            await context.abort(_CODES[refusal.code], refusal.reason, _trailers(refusal))
        return _EMPTY_RESPONSE

    return export


def _trailers(refusal: Refusal) -> tuple[tuple[str, bytes], ...]:
    trailers = (("grpc-status-details-bin", refusal.status().SerializeToString()),)
    if refusal.retry_info is None:
        return trailers
    # The OpenTelemetry SDK for Python reads the delay from here only.
    return (*trailers, ("google.rpc.retryinfo-bin", refusal.retry_info.SerializeToString()))
