"""The LMDB file: which tables it has, and the few things that are done to them.

Three tables: `records` (sequence and signal -> payload), `claims` (first sequence of a block -> its last) and `meta`.
The signal is in the key, and so is a checksum, so that a payload is written as it came, without a copy. Records of the first format
have no checksum.

The file grows up to the map size and never shrinks: pages of deleted records are used again. Delete the directory of a
drained journal to get its disk space back.
"""

from __future__ import annotations

import itertools
import os
import struct
import uuid
from collections.abc import Generator
from pathlib import Path
from typing import Any

import lmdb
import xxhash

from modelspan.processor.journal.errors import JournalUnavailable
from modelspan.processor.journal.records import Record, Signal

_KEY = struct.Struct(">QBQ")
_PLACE = struct.Struct(">QB")
"""Prefix of a key: sequence and signal; the whole key in the first format."""
_NUMBER = struct.Struct(">Q")
_FORMAT = b"2"
_FIRST_FORMAT = b"1"
_GROWTH = 16 << 20


class Tables:
    """An open LMDB environment with the tables of a journal. Write transactions belong to one thread."""

    def __init__(self, path: Path, map_bytes: int) -> None:
        """`path` is an existing directory. Raises `JournalUnavailable` where it holds something else or cannot be read."""
        try:
            self._env = lmdb.open(str(path), map_size=map_bytes, max_dbs=3, mode=0o600)
            self._records = self._env.open_db(b"records")
            self._claims = self._env.open_db(b"claims")
            self._meta = self._env.open_db(b"meta")
            self.identity = self._identify()
        except lmdb.Error as error:
            raise JournalUnavailable(f"cannot open the journal in {path}: {error}") from error
        _sync_directory(path)

    def _identify(self) -> str:
        with self._env.begin(write=True, db=self._meta) as txn:
            if txn.put(b"format", _FORMAT, overwrite=False):
                txn.put(b"identity", uuid.uuid4().hex.encode())
            elif txn.get(b"format") == _FIRST_FORMAT:
                txn.put(b"format", _FORMAT)
            elif txn.get(b"format") != _FORMAT:
                raise JournalUnavailable(
                    f"the journal in {self._env.path()} has format {txn.get(b'format')!r}, this version reads {_FORMAT!r}; "
                    "drain it with the version that wrote it"
                )
            return str(txn.get(b"identity", b""), "ascii")

    def write(self) -> WriteTransaction:
        """A write transaction, durable on disk when its `with` block ends without an exception."""
        return WriteTransaction(self._env.begin(write=True), self._records, self._claims, self._meta)

    def read(self, first: int, last: int) -> Generator[Record, None, None]:
        """Records from `first` to `last`, both included, by rising sequence. Raises `lmdb.Error`."""
        with self._env.begin(db=self._records) as txn, txn.cursor() as cursor:
            cursor.set_range(_PLACE.pack(first, 0))
            for key, payload in cursor:
                sequence, signal = _PLACE.unpack_from(key)
                if sequence > last:
                    return
                intact = len(key) == _PLACE.size or _KEY.unpack(key)[2] == _checksum(payload)
                yield Record(sequence, Signal(signal), payload, intact)

    def sizes(self, first: int = 0) -> tuple[int, int]:
        """Number of records from `first` on, and bytes of their payloads. Reads no payload."""
        count = size = 0
        with self._env.begin(db=self._records, buffers=True) as txn, txn.cursor() as cursor:
            cursor.set_range(_PLACE.pack(first, 0))
            for payload in cursor.iternext(keys=False):
                count += 1
                size += len(payload)
        return count, size

    def claims(self) -> list[tuple[int, int]]:
        """First and last sequence of every claimed block, oldest first."""
        with self._env.begin(db=self._claims) as txn, txn.cursor() as cursor:
            return [(_NUMBER.unpack(first)[0], _NUMBER.unpack(last)[0]) for first, last in cursor]

    def grow(self) -> None:
        """Make the map larger, so that deletions, which need a few new pages, work in a full one. No transaction may be open."""
        self._env.set_mapsize(self._env.info()["map_size"] + _GROWTH)

    def turn(self) -> None:
        """An empty commit: LMDB uses a deleted page again only after the commit that follows its deletion."""
        with self._env.begin(write=True, db=self._meta) as txn:
            txn.put(b"turn", uuid.uuid4().bytes)

    def close(self) -> None:
        self._env.close()


class WriteTransaction:
    """What one group commit does."""

    def __init__(self, txn: Any, records: Any, claims: Any, meta: Any) -> None:
        self._txn = txn
        self._records = records
        self._claims = claims
        self._meta = meta
        self._next: int | None = None

    def __enter__(self) -> WriteTransaction:
        self._txn.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self._txn.__exit__(*exception)

    def append(self, signal: Signal, payload: bytes) -> int:
        sequence = self._next_sequence() if self._next is None else self._next
        self._txn.put(_KEY.pack(sequence, signal, _checksum(payload)), payload, append=True, db=self._records)
        self._next = sequence + 1
        return sequence

    def claim(self, first: int, last: int) -> None:
        self._txn.put(_NUMBER.pack(first), _NUMBER.pack(last), db=self._claims)

    def complete(self, first: int, last: int) -> None:
        end = _PLACE.pack(last + 1, 0)
        with self._txn.cursor(db=self._records) as cursor:
            cursor.set_range(_PLACE.pack(first, 0))
            keys = list(itertools.takewhile(lambda key: key < end, cursor.iternext(values=False)))
        for key in keys:
            self._txn.delete(key, db=self._records)
        self._txn.delete(_NUMBER.pack(first), db=self._claims)
        self._txn.put(b"completed", _NUMBER.pack(max(last, self._completed())), db=self._meta)

    def _next_sequence(self) -> int:
        # The last completed sequence counts too: a number is never given twice, even when the table is empty.
        with self._txn.cursor(db=self._records) as cursor:
            stored = _PLACE.unpack_from(cursor.key())[0] if cursor.last() else 0
        return max(int(stored), self._completed()) + 1

    def _completed(self) -> int:
        value = self._txn.get(b"completed", db=self._meta)
        return int(_NUMBER.unpack(value)[0]) if value else 0


def _checksum(payload: bytes) -> int:
    return xxhash.xxh3_64_intdigest(payload)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
