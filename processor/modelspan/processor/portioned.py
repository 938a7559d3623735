"""The journal as the pipeline sees it: blocks that are too much to decode at once are handed out in portions."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Protocol

from modelspan.processor.decode.portions import portions
from modelspan.processor.journal import Block


class _Queue(Protocol):
    def next_block(self, *, max_bytes: int, max_records: int, wait: float, linger: float) -> Block | None: ...

    def complete(self, block: Block) -> None: ...


class Portioned:
    """A queue in front of another one. A block is completed there once its last portion is; portions are completed in their order."""

    def __init__(self, queue: _Queue) -> None:
        self._queue = queue
        self._coming: Iterator[tuple[Block, Block | None]] = iter(())
        self._wholes: dict[str, Block] = {}
        """By the token of its last portion."""
        self._lock = threading.Lock()

    def next_block(self, *, max_bytes: int, max_records: int, wait: float, linger: float) -> Block | None:
        """The next portion; arguments as of the journal."""
        found = next(self._coming, None)
        if found is None:
            block = self._queue.next_block(max_bytes=max_bytes, max_records=max_records, wait=wait, linger=linger)
            if block is None:
                return None
            self._coming = _with_whole(block)
            found = next(self._coming)
        portion, whole = found
        if whole is not None:
            with self._lock:
                self._wholes[portion.token] = whole
        return portion

    def complete(self, block: Block) -> None:
        """Forget a portion that is stored."""
        with self._lock:
            whole = self._wholes.get(block.token)
        if whole is not None:
            self._queue.complete(whole)
            with self._lock:
                del self._wholes[block.token]


def _with_whole(block: Block) -> Iterator[tuple[Block, Block | None]]:
    """Each portion of a block, with the last one the block."""
    coming = portions(block)
    portion = next(coming)
    for after in coming:
        yield portion, None
        portion = after
    yield portion, block
