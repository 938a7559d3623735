"""Answers that are being read: how many at a time, and who gives way where their readers do not read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any

_SECONDS_TO_READ_A_PIECE = 20
_PATIENCE_SECONDS = 1.0
"""Seconds that a reader may leave a piece unread while others wait for its place."""
_LOOK_SECONDS = 0.25


class ReaderGone(Exception):
    """Nobody waits for the answer any more, or its reader had to give way."""


class Reader:
    """One client and the answer that it reads."""

    def __init__(self, disconnected: Awaitable[None]) -> None:
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the client has left or is to be cut off."""
        self.call: asyncio.Future[Any] | None = None
        """The last call into the engine that was made for it."""
        self._watch = asyncio.ensure_future(disconnected)
        self._watch.add_done_callback(lambda _: self.cut())
        self._unread_since: float | None = None

    def cut(self) -> None:
        """End the answer."""
        if not self.gone.done():
            self.gone.set_result(None)

    def close(self) -> None:
        """Watch the client no longer."""
        self._watch.cancel()

    @property
    def unread(self) -> float:
        """Seconds for which the client has left the last piece unread."""
        return 0.0 if self._unread_since is None else asyncio.get_running_loop().time() - self._unread_since

    async def send(self, sending: Awaitable[None]) -> None:
        """Wait until a piece is taken. Raises ReaderGone."""
        self._unread_since = asyncio.get_running_loop().time()
        task = asyncio.ensure_future(sending)
        try:
            await asyncio.wait({task, self.gone}, timeout=_SECONDS_TO_READ_A_PIECE, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise ReaderGone
            task.result()
        finally:
            task.cancel()
            self._unread_since = None


class Places:
    """A number of places for readers. Who waits for one takes that of a reader who does not read."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._waiting = 0
        self._readers: set[Reader] = set()
        self._freed = asyncio.Condition()

    def cut_all(self) -> None:
        """End all answers and give no more places."""
        self._count = 0
        for reader in self._readers:
            reader.cut()

    @asynccontextmanager
    async def of(self, reader: Reader, *, line: int) -> AsyncIterator[bool]:
        """A place for `reader`; False where there is none and `line` others wait already. Raises ReaderGone."""
        if len(self._readers) >= self._count and self._waiting >= line:
            yield False
            return
        self._waiting += 1
        try:
            await self._wait(reader)
            self._readers.add(reader)
        finally:
            self._waiting -= 1
        try:
            yield True
        finally:
            self._readers.discard(reader)
            async with self._freed:
                self._freed.notify()

    async def _wait(self, reader: Reader) -> None:
        while len(self._readers) >= self._count:
            if reader.gone.done() or self._count == 0:
                raise ReaderGone
            slowest = sorted(self._readers, key=lambda other: other.unread, reverse=True)[: self._waiting]
            for other in slowest:
                if other.unread > _PATIENCE_SECONDS:
                    other.cut()
            async with self._freed:
                try:
                    await asyncio.wait_for(self._freed.wait(), _LOOK_SECONDS)
                except asyncio.TimeoutError:
                    continue
