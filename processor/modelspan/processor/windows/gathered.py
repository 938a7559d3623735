"""Verdicts of several models on their way into the store: an insert costs the same for one model as for fifty."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pyarrow as pa
import xxhash

from .baseline import Insert
from .keys import ModelKey
from .tables import SCHEMAS

ENOUGH = 5_000
"""Rows of all tables together; some 3 MB."""


class Done(NamedTuple):
    """Windows of a model for which there is nothing left to do, and how many of them got a new verdict."""

    key: ModelKey
    starts: Sequence[int]
    verdicts: int


class Gathered:
    """What has been judged and not been stored yet."""

    def __init__(self) -> None:
        self.batches: list[tuple[ModelKey, Sequence[int]]] = []
        """Models and starts of their windows, also of those that could not be judged."""
        self.done: list[Done] = []
        self._tables: dict[str, list[pa.Table]] = {table: [] for table in SCHEMAS}
        self._tokens: list[str] = []
        self._rows = 0

    @property
    def is_enough(self) -> bool:
        """Whether it should be stored before more is judged."""
        return self._rows >= ENOUGH

    def add(self, done: Done) -> None:
        """Note what the rows that came here since the last time are of."""
        self.done.append(done)

    def instead_of(self, insert: Insert) -> Insert:
        """An `insert` that keeps verdicts here and hands on everything else, such as baselines, which are read again at once."""

        def gather(table: str, rows: pa.Table, token: str) -> None:
            if table in self._tables:
                self._tables[table].append(rows)
                self._tokens.append(token)
                self._rows += rows.num_rows
            else:
                insert(table, rows, token)

        return gather

    def store(self, insert: Insert) -> None:
        """Store all of it, the rows of windows last. Raises what the store raises."""
        token = f"verdicts-{xxhash.xxh3_128_hexdigest(repr(self._tokens).encode())}"
        for table, parts in self._tables.items():
            if parts:
                insert(table, pa.concat_tables(parts), token)
