"""Rows of a table into the store, in units that fit: what is too much at once is halved, down to the row that cannot be stored.

The units of a table are always the same, and each has a token, so a replay changes nothing. Whether a unit fits may change,
with the memory that is free: that it was halved is therefore stored before its halves are, and a replay begins with these.

An insert that fails may have stored some of its partitions. They are therefore inserted one by one next, under the same token,
by which the store knows what it has; only rows of one partition are halved.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import structlog
import xxhash

from modelspan.processor.decode.tables import INGESTED, arrow_table
from modelspan.processor.partitions import Partitions, partitions
from modelspan.processor.store import MAX_ROWS, Store, StoreError, StoreRejected, StoreStrained, StoreUnavailable

_log = structlog.get_logger(__name__)

MAX_BYTES: Final = 16 * 1024 * 1024
"""Of one insert, as Arrow columns. The engine takes four to five times as much for a moment."""
MAX_PARTITIONS: Final = 100
"""Of one insert: the engine needs memory for each of them."""
SPLIT: Final = "split"
"""Kind of the keys in `ml_ingested` that say: this unit was halved."""
_PAUSES, _PAUSES_OF_ROW = [0.3], [0.5, 2.0]
"""Seconds before further attempts: the memory may be free again."""
_PATIENCE: Final = 3
"""Rows of a block that are given up before there are no further attempts: many of them must not hold up all others."""

Mask = npt.NDArray[np.bool_]


class Unstored(NamedTuple):
    """A row that the store does not take."""

    row: int
    reason: str


class Inserts:
    """Writes to one store."""

    def __init__(
        self, store: Store, *, wait: Callable[[float], object], trouble: Callable[[StoreUnavailable], None]
    ) -> None:
        """`wait`: how to pause, in seconds. `trouble` hears why the store did not take rows that are tried again."""
        self._store = store
        self._wait = wait
        self._trouble = trouble
        self._halved: set[int] = set()
        self._given_up_rows = 0

    def recall(self, token: str) -> None:
        """Learn which units of a block were halved by a process that has ended. Raises `StoreUnavailable`."""
        query = "SELECT DISTINCT key FROM ml_ingested WHERE kind = {kind:String} AND token = {token:String}"
        self._halved.update(key for (key,) in self._store.query(query, {"kind": SPLIT, "token": token}))

    def forget(self) -> None:
        """The block is stored: nothing of it comes again."""
        self._halved.clear()
        self._given_up_rows = 0

    def insert(self, table: str, rows: pa.Table, token: str, keep: Mask | None = None) -> list[Unstored]:
        """Insert the rows that `keep` says (all of them without it); those that the store will never take.

        Raises `StoreUnavailable`: insert all of them again, with the same token.
        """
        parts = partitions(table, rows)
        if parts is None:
            return self._sorted(table, rows, token, keep, np.zeros(rows.num_rows, np.int64))
        order = np.argsort(parts, kind="stable")
        keep = keep if keep is None else keep[order]
        unstored = self._sorted(table, rows.take(pa.array(order)), token, keep, parts[order])
        return [Unstored(int(order[row]), reason) for row, reason in unstored]

    def _sorted(self, table: str, rows: pa.Table, token: str, keep: Mask | None, parts: Partitions) -> list[Unstored]:
        places = list(_units(rows, parts, 0, rows.num_rows))
        units = (_Unit(table, token, rows.slice(at, size), keep, parts, at) for at, size in places)
        return [unstored for unit in units for unstored in self._unit(unit)]

    def _unit(self, unit: _Unit) -> list[Unstored]:
        rows = unit.kept()
        if not rows.num_rows:
            return []
        if unit.key not in self._halved:
            error = self._attempt(unit, rows)
            if error is None:
                return []
            if len(unit) == 1:
                return [self._given_up(unit, error)]
            self._note_halving(unit, error)
        return [unstored for part in unit.parts() for unstored in self._unit(part)]

    def _attempt(self, unit: _Unit, rows: pa.Table) -> StoreError | None:
        """Why the rows are not stored; None when they are."""
        pauses = [] if self._given_up_rows > _PATIENCE else _PAUSES_OF_ROW if len(unit) == 1 else _PAUSES
        while True:
            try:
                self._store.insert(unit.table, rows, unit.under or unit.name)
                return None
            except StoreRejected as error:
                return error
            except StoreStrained as error:
                self._trouble(error)
                if not pauses:
                    return error
            pause, *pauses = pauses
            self._wait(pause)

    def _note_halving(self, unit: _Unit, error: StoreError) -> None:
        _log.warning("an insert is halved", table=unit.table, rows=len(unit), reason=str(error))
        key = (unit.key.to_bytes(16, "little"), SPLIT, unit.token, time.time_ns() // 1_000_000)
        self._store.insert(INGESTED, arrow_table(INGESTED, [key]), f"{unit.name}/{SPLIT}")
        self._halved.add(unit.key)

    def _given_up(self, unit: _Unit, error: StoreError) -> Unstored:
        """The row is at fault, not the table, which takes inserts. Raises `StoreUnavailable` where it does not."""
        if not isinstance(error, StoreRejected):
            self._store.check(unit.table)
        self._given_up_rows += 1
        return Unstored(unit.first, str(error))


@dataclass(frozen=True)
class _Unit:
    """Rows that are inserted at once, or are halved."""

    table: str
    token: str
    """Of all rows of the table."""
    rows: pa.Table
    keep: Mask | None
    partitions: Partitions
    """Both of all rows of the table, which are in the order of their partitions."""
    first: int
    under: str = ""
    """The token of the unit whose partition this is."""

    def __len__(self) -> int:
        return int(self.rows.num_rows)

    @property
    def name(self) -> str:
        """Its own token."""
        is_all = len(self) == len(self.partitions)
        return self.token if is_all else f"{self.token}#{self.first}-{self.first + len(self)}"

    @property
    def key(self) -> int:
        """Its key in `ml_ingested`."""
        return xxhash.xxh3_128_intdigest(f"{SPLIT}:{self.name}:{self.table}".encode())

    def kept(self) -> pa.Table:
        """Return the rows to store."""
        keep = None if self.keep is None else self.keep[self.first : self.first + len(self)]
        return self.rows if keep is None or keep.all() else self.rows.take(pa.array(np.flatnonzero(keep)))

    def parts(self) -> Iterator[_Unit]:
        """Its partitions; halves where it has one."""
        own = self.partitions[self.first : self.first + len(self)]
        cuts = (np.flatnonzero(np.diff(own)) + 1).tolist()
        return self._cut([0, *cuts, len(self)]) if cuts else self._halves()

    def _cut(self, places: list[int]) -> Iterator[_Unit]:
        for start, end in itertools.pairwise(places):
            yield replace(self, rows=self.rows.slice(start, end - start), first=self.first + start, under=self.name)

    def _halves(self) -> Iterator[_Unit]:
        """Without dictionaries: those of all rows may be what is too much."""
        rows, middle = self.rows.cast(_plain(self.rows.schema)), len(self) // 2
        yield replace(self, rows=rows.slice(0, middle), under="")
        yield replace(self, rows=rows.slice(middle), first=self.first + middle, under="")


def _units(rows: pa.Table, parts: Partitions, start: int, size: int) -> Iterator[tuple[int, int]]:
    """First row and number of rows of each unit: at most `MAX_ROWS`, and further limits where it is more than one row."""
    if size > MAX_ROWS or (size > 1 and _is_much(rows.slice(start, size), parts[start : start + size])):
        half = size // 2
        yield from _units(rows, parts, start, half)
        yield from _units(rows, parts, start + half, size - half)
    elif size:
        yield start, size


def _is_much(rows: pa.Table, parts: Partitions) -> bool:
    return int(np.count_nonzero(np.diff(parts))) >= MAX_PARTITIONS or _bytes(rows) > MAX_BYTES


def _bytes(rows: pa.Table) -> int:
    """Return the bytes of the rows without dictionaries, which all rows of a table share."""
    return int(rows.nbytes) - sum(_dictionary_bytes(chunk) for column in rows.columns for chunk in column.chunks)


def _dictionary_bytes(array: pa.Array) -> int:
    keys = array.keys if pa.types.is_map(array.type) else array
    return int(keys.dictionary.nbytes) if pa.types.is_dictionary(keys.type) else 0


def _plain(schema: pa.Schema) -> pa.Schema:
    return pa.schema([(field.name, _without_dictionaries(field.type)) for field in schema])


def _without_dictionaries(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_dictionary(kind):
        return kind.value_type
    if pa.types.is_map(kind):
        return pa.map_(_without_dictionaries(kind.key_type), _without_dictionaries(kind.item_type))
    return pa.list_(_without_dictionaries(kind.value_type)) if pa.types.is_list(kind) else kind
