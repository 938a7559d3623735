"""Admission of a request, over HTTP and gRPC alike: reserve memory, check it, hand it on, wait until it is durable."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TypeVar

from modelspan.processor.journal import JournalError, JournalTooSmall, Signal
from modelspan.processor.receiver import telemetry
from modelspan.processor.receiver.inflate import Corrupt, TooLarge, inflate
from modelspan.processor.receiver.limits import Limits
from modelspan.processor.receiver.refusal import Refusal, malformed, never_fits, too_large, unavailable
from modelspan.processor.receiver.sink import Sink
from modelspan.processor.terse import REASON

_logger = logging.getLogger(__name__)

_INLINE_BYTES = 64 << 10
"""Requests up to this size are handled in the event loop; a thread would cost more."""
_ALONE_BYTES = 1 << 20
"""Requests from this size on are handled one at a time: parsed, they can need some hundred times their bytes."""

_MAX_WAITING = 64
"""Requests over gRPC that may wait for their turn to be read: the transport keeps the beginning of each."""
_SECONDS_TO_WAIT = 5.0

Hold = Callable[[int], None]
_T = TypeVar("_T")


class Intake:
    """Takes requests for a sink; lives in one event loop.

    Args:
        sink: where they go.
        limits: on one request.
        max_held_bytes: memory for all requests that are being read or wait until they are durable. Beyond it clients
            are told to come again.

    """

    def __init__(self, sink: Sink, *, limits: Limits, max_held_bytes: int) -> None:
        self.limits = limits
        self.closing = False
        self._sink = sink
        self._max_held_bytes = max(max_held_bytes, 2 * limits.size)
        self._held = 0
        self._holding = threading.Lock()
        self._large = asyncio.Semaphore(1)
        self._waiting = 0
        self._reads = asyncio.Semaphore(self._max_held_bytes // limits.size)

    @contextlib.contextmanager
    def counting(self, signal: Signal) -> Iterator[Callable[[int], None]]:
        """Counts and logs the refusal that leaves the block; otherwise counts what the block reports as accepted, in bytes."""
        try:
            yield lambda size: telemetry.count_accepted(signal, size)
        except Refusal as refusal:
            telemetry.count_refused(signal, refusal)
            if not self.closing:
                said = {REASON: f"{signal.name} {refusal.http_status}"}
                _logger.warning("refused a request of %s: %s", signal.name.lower(), refusal.reason, extra=said)
            raise

    @contextlib.contextmanager
    def holding(self) -> Iterator[Hold]:
        """Reserves memory within the block, from any thread; the reservation raises `Refusal` when there is none."""
        total = 0

        def hold(size: int) -> None:
            nonlocal total
            if self.closing:
                raise unavailable("the service is shutting down")
            with self._holding:
                if self._held + size > self._max_held_bytes:
                    raise unavailable("too many requests at once")
                self._held += size
                total += size

        try:
            yield hold
        finally:
            with self._holding:
                self._held -= total

    def inflated(self, body: bytes, coding: str, hold: Hold) -> bytes:
        """The content of a body. Raises `Refusal`."""
        if coding == "identity":
            return body
        try:
            return inflate(body, coding, self.limits.size, hold)
        except TooLarge as error:
            raise too_large(self.limits.size) from error
        except Corrupt as error:
            raise malformed(f"the body cannot be decompressed: {error}") from error

    async def in_turn(self, work: Callable[[], _T], size: int) -> _T:
        """Do `work` on `size` bytes: at once, in a thread where it may take long, and one at a time where it may need much memory."""
        if size <= _INLINE_BYTES:
            return work()
        if size < _ALONE_BYTES:
            return await asyncio.to_thread(work)
        async with self._large:
            return await asyncio.to_thread(work)

    @contextlib.asynccontextmanager
    async def reading(self) -> AsyncIterator[None]:
        """A turn to read a message of unknown size, for which there is memory. Raises `Refusal` where others take too long."""
        if self._waiting >= _MAX_WAITING:
            raise unavailable("too many requests at once")
        self._waiting += 1
        try:
            await asyncio.wait_for(self._reads.acquire(), _SECONDS_TO_WAIT)
        except asyncio.TimeoutError:
            raise unavailable("too many requests at once") from None
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._reads.release()

    async def take(self, signal: Signal, payload: bytes) -> None:
        """Returns when the request is durable, or at once when it holds nothing. Raises `Refusal`."""
        if self.closing:
            raise unavailable("the service is shutting down")
        if await self.in_turn(lambda: self.limits.check(signal, payload), len(payload)):
            await self._append(signal, payload)

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
