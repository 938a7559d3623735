"""Bodies of requests: as bytes until a worker reads them, and only so many of all requests together."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from modelspan.processor.clickhouse_http.errors import TOO_MANY_SIMULTANEOUS_QUERIES, QueryError
from modelspan.processor.clickhouse_http.readers import ReaderGone
from modelspan.processor.clickhouse_http.request import MAX_BODY_BYTES, too_large

_SMALL_BYTES = 16 * 1024
"""Bodies up to this size are always received: some megabytes for all connections."""

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


class Bodies:
    """Memory for bodies, `most` bytes in all."""

    def __init__(self, most: int = 16 * MAX_BODY_BYTES) -> None:
        self.most = most
        self.held = 0

    def new(self) -> Body:
        """A body to receive, and to drop in the end."""
        return Body(self)


class Body:
    """The body of one request."""

    def __init__(self, bodies: Bodies) -> None:
        self._bodies = bodies
        self._held = 0
        self.data = bytearray()

    async def receive(self, receive: Receive) -> None:
        """Receive it to its end. Raises QueryError where it is too long, or all are together; ReaderGone."""
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ReaderGone
            part = message.get("body", b"")
            if len(self.data) + len(part) > MAX_BODY_BYTES:
                raise too_large()
            if len(self.data) + len(part) > _SMALL_BYTES:
                self._hold(len(self.data) + len(part) - self._held)
            self.data += part
            more = message.get("more_body", False)

    def drop(self) -> None:
        """Give its memory back."""
        self.data = bytearray()
        self._bodies.held -= self._held
        self._held = 0

    def _hold(self, size: int) -> None:
        if self._bodies.held + size > self._bodies.most:
            raise QueryError(
                TOO_MANY_SIMULTANEOUS_QUERIES,
                f"Too many long statements at once: {self._bodies.most >> 20} MiB of them are being received or wait; try again."
                " (TOO_MANY_SIMULTANEOUS_QUERIES)",
            )
        self._bodies.held += size
        self._held += size
