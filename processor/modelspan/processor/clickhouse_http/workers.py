"""Threads for calls into the engine, and what becomes of a call that nothing ends.

The engine looks at its limit of time, and whether it was told to stop, between two blocks of rows. A function that works long
on one row (a path in a long JSON text, a wide ring of hexagons) does not return before it is done, which may take hours. Its
thread cannot be ended, so it is left behind: the caller is answered, and another thread takes its place.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from modelspan.processor.clickhouse_http.errors import TIMEOUT_EXCEEDED, TOO_MANY_SIMULTANEOUS_QUERIES, QueryError
from modelspan.processor.clickhouse_http.readers import Reader, ReaderGone

_log = logging.getLogger(__name__)

_LONG_SECONDS = 2.0
"""A call that takes longer no longer keeps others from being run."""
_PATIENCE_SECONDS = 1.0
"""From when the engine should have ended a call by itself until it is told to."""
_GRACE_SECONDS = 3.0
"""From when a call is told to end until it is given up."""
_LOOK_SECONDS = 0.2
_LEAST_PRIORITY = 19

T = TypeVar("T")


class Call(Generic[T]):
    """One call on a thread of its own."""

    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self._loop = asyncio.get_running_loop()
        self.result: asyncio.Future[T] = self._loop.create_future()
        self.result.add_done_callback(asyncio.Future.exception)  # one that nobody waits for is no surprise
        self._began = self._loop.time()
        # A daemon: the process may end while the engine works on.
        self._thread = threading.Thread(target=self._run, name="clickhouse-http-query", daemon=True)
        self._thread.start()

    @property
    def seconds(self) -> float:
        """For how long it has been running."""
        return self._loop.time() - self._began

    def leave(self) -> None:
        """Go on with the least priority, so that it takes no time that others want."""
        if sys.platform == "linux" and self._thread.native_id is not None:
            with contextlib.suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, self._thread.native_id, _LEAST_PRIORITY)

    def _run(self) -> None:
        try:
            result = self._work()
        except BaseException as error:
            self._tell(self.result.set_exception, error)
        else:
            self._tell(self.result.set_result, result)

    def _tell(self, setter: Callable[[Any], None], value: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(setter, value)


class Workers:
    """Runs at most `count` short calls at a time; calls that take longer go on beside them, at most `3 * count` in all.

    All methods are called in one event loop.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._most = 3 * count
        self._calls: set[Call[Any]] = set()
        self._left: set[Call[Any]] = set()
        self._line: deque[object] = deque()
        self._freed = asyncio.Condition()

    @property
    def running(self) -> int:
        """Calls that somebody waits for."""
        return len(self._calls)

    @property
    def abandoned(self) -> int:
        """Calls that were given up and have not ended."""
        return len(self._left)

    async def call(self, work: Callable[[], T], reader: Reader, *, seconds: float, end: Callable[[], None]) -> T:
        """Run `work` in its turn. After `seconds`, or where the reader leaves, it is told to by `end`. Raises ReaderGone and QueryError."""
        await self._turn(reader, seconds)
        call = Call(work)
        self._calls.add(call)
        reader.call = call.result
        try:
            waiting: set[asyncio.Future[Any]] = {call.result, reader.gone}
            await asyncio.wait(waiting, timeout=seconds + _PATIENCE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ended = call.result.done() or await self._end(call, end)
            self._calls.discard(call)
            if not ended:
                self._leave(call)
            async with self._freed:
                self._freed.notify_all()
        if reader.gone.done():
            raise ReaderGone
        if not ended:
            raise QueryError(TIMEOUT_EXCEEDED, _NEVER_ENDS.format(call.seconds))
        return call.result.result()

    async def close(self, work: Callable[[], None], reader: Reader) -> None:
        """Run `work`, which lets go of what the calls of `reader` used: now, or when a call that was given up has ended."""
        if reader.call is not None and not reader.call.done():
            reader.call.add_done_callback(lambda _: Call(work))
        else:
            await self.aside(work)

    async def aside(self, work: Callable[[], None]) -> None:
        """Run something short that needs no turn, and wait for it, but not for long."""
        call = Call(work)
        await asyncio.wait({call.result}, timeout=_GRACE_SECONDS)
        if call.result.done():
            call.result.result()

    async def _turn(self, reader: Reader, seconds: float) -> None:
        me = object()
        until = asyncio.get_running_loop().time() + seconds
        self._line.append(me)
        try:
            while self._line[0] is not me or not self._has_room():
                if reader.gone.done():
                    raise ReaderGone
                if asyncio.get_running_loop().time() > until:
                    raise QueryError(TOO_MANY_SIMULTANEOUS_QUERIES, self._full())
                async with self._freed:
                    with contextlib.suppress(asyncio.TimeoutError):
                        await asyncio.wait_for(self._freed.wait(), _LOOK_SECONDS)
        finally:
            self._line.remove(me)

    def _has_room(self) -> bool:
        short = sum(call.seconds < _LONG_SECONDS for call in self._calls)
        return short < self._count and len(self._calls) + len(self._left) < self._most

    def _full(self) -> str:
        stuck = f", {self.abandoned} of which nothing ends but a restart of the service" if self._left else ""
        return (
            f"Too many simultaneous queries: {self.running + self.abandoned} are running{stuck}; try again."
            " (TOO_MANY_SIMULTANEOUS_QUERIES)"
        )

    async def _end(self, call: Call[Any], end: Callable[[], None]) -> bool:
        until = call.seconds + _GRACE_SECONDS
        while not call.result.done() and call.seconds < until:
            # Again and again, since the query may not have reached the engine yet.
            await self.aside(end)
            await asyncio.wait({call.result}, timeout=_LOOK_SECONDS)
        return call.result.done()

    def _leave(self, call: Call[Any]) -> None:
        _log.warning("a query does not end when it is told to; its thread is left behind, with the least priority")
        call.leave()
        self._left.add(call)
        call.result.add_done_callback(lambda _: self._left.discard(call))


_NEVER_ENDS = (
    "Timeout exceeded: the query has been running for {:.0f} s and does not end when told to, as a function of it works that long"
    " on one row; give it shorter texts and arrays. (TIMEOUT_EXCEEDED)"
)
