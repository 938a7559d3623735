"""What both transports do with a request once they have its protobuf bytes: check, hand on, wait until it is durable."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator

from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from modelspan.processor.journal import JournalError, JournalTooSmall, Signal
from modelspan.processor.receiver import telemetry
from modelspan.processor.receiver.refusal import Refusal, malformed, never_fits, too_large, unavailable
from modelspan.processor.receiver.sink import Sink

_logger = logging.getLogger(__name__)

REQUESTS: dict[Signal, type[Message]] = {
    Signal.TRACES: ExportTraceServiceRequest,
    Signal.METRICS: ExportMetricsServiceRequest,
    Signal.LOGS: ExportLogsServiceRequest,
}


class Intake:
    """Takes requests for a sink; lives in one event loop.

    Args:
        sink: where they go.
        max_request_bytes: largest request, uncompressed.
        max_held_bytes: memory for all requests that are being read or wait until they are durable. Beyond it clients
            are told to come again.

    """

    def __init__(self, sink: Sink, *, max_request_bytes: int, max_held_bytes: int) -> None:
        self._sink = sink
        self.max_request_bytes = max_request_bytes
        self._max_held_bytes = max(max_held_bytes, 2 * max_request_bytes)
        self._held = 0
        self.closing = False

    @contextlib.contextmanager
    def counting(self, signal: Signal) -> Iterator[Callable[[int], None]]:
        """Counts the refusal that leaves the block; otherwise what the block reports as accepted, in bytes."""
        try:
            yield lambda size: telemetry.count_accepted(signal, size)
        except Refusal as refusal:
            telemetry.count_refused(signal, refusal)
            raise

    async def take(self, signal: Signal, payload: bytes) -> None:
        """Returns when the request is durable, or at once when it holds nothing. Raises `Refusal`."""
        if len(payload) > self.max_request_bytes:
            raise too_large(self.max_request_bytes)
        with self.holding() as hold:
            hold(len(payload))
            if _holds_data(signal, payload):
                await self._append(signal, payload)

    @contextlib.contextmanager
    def holding(self) -> Iterator[Callable[[int], None]]:
        """Reserves memory within the block; the reservation raises `Refusal` when there is none."""
        total = 0

        def hold(size: int) -> None:
            nonlocal total
            if self.closing:
                raise unavailable("the service is shutting down")
            if self._held + size > self._max_held_bytes:
                raise unavailable("too many requests at once")
            self._held += size
            total += size

        try:
            yield hold
        finally:
            self._held -= total

    async def _append(self, signal: Signal, payload: bytes) -> None:
        try:
            await asyncio.wrap_future(self._sink.append(signal, payload))
        except JournalTooSmall as error:
            raise never_fits(str(error)) from error
        except JournalError as error:
            raise unavailable(str(error)) from error
        except Exception as error:
            _logger.exception("the sink failed")
            raise unavailable(f"the request could not be stored: {error}") from error


def _holds_data(signal: Signal, payload: bytes) -> bool:
    """Whether there is anything to store. Raises `Refusal` for bytes that are no request of this signal."""
    try:
        request = REQUESTS[signal].FromString(payload)
    except DecodeError as error:
        name = REQUESTS[signal].DESCRIPTOR.full_name
        raise malformed(f"the body is not a valid {name}: {error}") from error
    return bool(request.ListFields())
