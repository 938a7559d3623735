"""Which predictions of a block are in the store already, because their producer sent them twice."""

from __future__ import annotations

import datetime
from collections.abc import Collection, Iterable, Iterator
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

if TYPE_CHECKING:
    from modelspan.processor.decode import Decoded, Model
    from modelspan.processor.store import Store

MARGIN: Final = datetime.timedelta(seconds=10)
"""How far the times of two deliveries of one prediction may lie apart: a span has its start, a batch row the time of the call."""

_CHUNK: Final = 20_000


class Repeats:
    """Asks the store. `docs/wire.md` says what counts as the same."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def batches(self, keys: Collection[int], token: str) -> set[int]:
        """Those of the payload keys (128 bits) that a block with another token has stored."""
        if not keys:
            return set()
        query = "SELECT key FROM ml_ingested WHERE kind = 'batch' AND key IN {keys:Array(UInt128)} AND token != {token:String}"
        rows = self._store.client().query(query, parameters={"keys": list(keys), "token": token}).result_rows
        return {key for (key,) in rows}
