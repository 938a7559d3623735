"""Requests that cannot be stored whole: each as it arrived, in a file, with the reason beside it and in `ml_quarantined`."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Final

import pyarrow as pa
import structlog
import xxhash

from modelspan.processor.journal import Record
from modelspan.processor.store import Store

_log = structlog.get_logger(__name__)

TABLE: Final = "ml_quarantined"
_SCHEMA: Final = pa.schema(
    [
        ("time", pa.timestamp("ms", "UTC")),
        *((name, pa.string()) for name in ("file", "signal")),
        *((name, pa.uint64()) for name in ("sequence", "bytes")),
        ("table", pa.string()),
        ("rows", pa.uint64()),
        ("reason", pa.string()),
    ]
)


class Quarantine:
    """A folder of requests, and the table that lists them."""

    def __init__(self, folder: Path, store: Store) -> None:
        """`folder` is made when the first request comes."""
        self._folder = folder
        self._store = store

    def keep(self, record: Record, reason: str, table: str, rows: int) -> None:
        """Keep one request, of which `rows` rows of `table` were not stored; an empty table: none of any.

        Raises `StoreUnavailable`: do it again.
        """
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = self._file_of(record)
        now = time.time_ns() // 1_000_000
        said = {
            "reason": reason,
            "table": table,
            "rows_not_stored": rows,
            "signal": record.signal.name.lower(),
            "sequence": record.sequence,
            "bytes": len(record.payload),
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now / 1000)),
        }
        _write_durably(file, record.payload)
        _write_durably(file.with_suffix(".json"), json.dumps(said, indent=1).encode() + b"\n")
        row = (now, file.name, said["signal"], record.sequence, len(record.payload), table, rows, reason)
        columns = [pa.array([value], kind) for value, kind in zip(row, _SCHEMA.types, strict=True)]
        self._store.insert(TABLE, pa.table(columns, schema=_SCHEMA), f"{TABLE}/{file.name}/{table}")
        _log.error("request quarantined", file=str(file), table=table, rows=rows, reason=reason)

    def _file_of(self, record: Record) -> Path:
        """A file of its own also where a new journal gives a number again."""
        file = self._folder / f"{record.sequence:020d}.{record.signal.name.lower()}.pb"
        if not file.exists() or file.read_bytes() == record.payload:
            return file
        return file.with_name(f"{file.stem}.{xxhash.xxh3_64_hexdigest(record.payload)}.pb")


def size_of(folder: Path) -> int:
    """Number of requests that are kept there."""
    return sum(1 for _ in folder.glob("*.pb"))


def _write_durably(file: Path, content: bytes) -> None:
    new = file.with_name(file.name + ".new")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as handle:
        handle.write(content)
        handle.flush()
        os.fsync(handle.fileno())
    new.replace(file)
