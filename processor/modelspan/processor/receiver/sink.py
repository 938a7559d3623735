"""Where accepted requests go: the only thing that the receiver knows of the rest of the service."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Protocol

from modelspan.processor.journal import Signal


class Sink(Protocol):
    """Takes the protobuf bytes of one OTLP export request."""

    def append(self, signal: Signal, payload: bytes) -> Future[int]:
        """The future resolves when the request is durable. Any exception, of the call or of the future, means that it
        was not stored and may be sent again; `JournalTooSmall` that it was not and must not.
        """
