"""Limits on the HTTP connections of a port that uvicorn leaves to a proxy in front of it."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from modelspan.processor.terse import REASON
from modelspan.processor.wrong_protocol import HTTP2, Http2Refusal, spoken

ABORT = "modelspan.abort"
"""Extension in the scope of a request: a function that drops its connection with all that was written and not read."""

_logger = logging.getLogger(__name__)


def limited(here: str, *, max_connections: int = 512) -> type[LimitedProtocol]:
    """The protocol of one port. `here`: what the port speaks, for clients that speak something else; ASCII."""
    return type("Protocol", (LimitedProtocol,), {"here": here, "max_connections": max_connections})


class LimitedProtocol(HttpToolsProtocol):
    """Closes connections whose request takes too long to arrive or whose head is too large, and those that wait longest for a request where
    there are too many. Clients of another protocol are told.
    """

    request_seconds = 30.0
    """From the connection, or from the first byte of a further request, to the last byte of the request."""
    head_bytes = 64 << 10
    """Request line and headers, as long as they are incomplete; likewise the rest of a body: sizes and extensions of chunks, trailers."""
    max_pipelined = 16
    """Requests that wait on one connection for the answer to an earlier one."""
    max_discarded = 64 << 20
    """Bytes of bodies that are still received on one connection after the answer, so that its client reads that."""
    seconds_to_read_the_rest = 30.0
    """Seconds for which a closed connection is kept, so that its client can read the rest."""
    max_connections = 512
    """Each costs a file descriptor and some 50 kB."""
    here = "this port speaks HTTP/1.1 without TLS"
    """For who speaks something else, in ASCII."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._deadline: asyncio.TimerHandle | None = None
        self._overhead = 0
        self._discarded = 0
        self._is_new = True
        self._http2: Http2Refusal | None = None
        self._waits_since: float | None = None
        """Start of the wait for a request, or for the rest of one; None while there is an answer to give."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        super().connection_made(transport)
        if len(self.connections) > self.max_connections and not self._make_room():
            self._refuse(b"503 Service Unavailable")
            return
        self._waits_since = self.loop.time()
        self._start_clock()

    def _make_room(self) -> bool:
        waiting = [other for other in self.connections if getattr(other, "_waits_since", None) is not None]
        if not waiting:
            return False
        _logger.warning("too many connections: closing those that wait longest for a request (%s)", self.here)
        min(waiting, key=lambda other: other._waits_since)._refuse(b"408 Request Timeout")  # type: ignore[union-attr]
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_clock()
        self._waits_since = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._is_new:
            self._is_new = False
            protocol = spoken(data)
            if protocol:
                self._meet_stranger(protocol)
        if self._http2:
            self.transport.write(self._http2.answer(data))
            if self._http2.is_over:
                self.transport.close()
            return
        self._overhead += len(data)
        super().data_received(data)
        if self._overhead > self.head_bytes:
            self._refuse(b"431 Request Header Fields Too Large")

    def _meet_stranger(self, protocol: str) -> None:
        sentence = f"a client speaks {protocol} but {self.here}"
        _logger.warning("%s", sentence, extra={REASON: sentence})
        if protocol == HTTP2:
            self._http2 = Http2Refusal(self.here)
            self.transport.write(self._http2.greeting())

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._start_clock()

    def on_headers_complete(self) -> None:
        if len(self.pipeline) >= self.max_pipelined:
            raise ValueError("too many requests at once on one connection")  # the parser stops, and uvicorn answers 400
        self._overhead = 0
        self.scope["extensions"] = {ABORT: self.transport.abort}  # type: ignore[dict-item]  # ours
        super().on_headers_complete()

    def on_chunk_header(self) -> None:
        """Called by the parser: the size of a part of the body is known."""
        self._overhead = 0

    def on_body(self, body: bytes) -> None:
        self._overhead = 0
        if self.cycle.response_complete:
            self._discarded += len(body)
            if self._discarded > self.max_discarded:
                self._refuse(b"413 Content Too Large")
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._overhead = 0
        self._stop_clock()
        self._waits_since = None
        super().on_message_complete()

    def on_response_complete(self) -> None:
        self._waits_since = self.loop.time()
        super().on_response_complete()
        if self.transport.is_closing():
            self._let_go()

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self._let_go()

    def _let_go(self) -> None:
        """Close the connection for good, also where the client never reads what was written."""
        self.loop.call_later(self.seconds_to_read_the_rest, self.transport.abort)

    def _start_clock(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(self.request_seconds, self._refuse, b"408 Request Timeout")

    def _stop_clock(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _refuse(self, status: bytes) -> None:
        self._waits_since = None
        if self.transport.is_closing():
            return
        if self._http2 is None and (
            self.cycle is None or self.cycle.response_complete or not self.cycle.response_started
        ):
            self.transport.write(b"HTTP/1.1 " + status + b"\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        self.transport.close()
        self._let_go()
