"""Is the file of a journal whole? Looked at by a process of its own: reading a damaged one can end the process that does.

    python -m modelspan.processor.journal.check DIRECTORY MAP_BYTES

prints what is wrong, and nothing where nothing is.
"""

from __future__ import annotations

import signal
import struct
import subprocess
import sys
from pathlib import Path
from typing import Final

import lmdb

from modelspan.processor.journal.errors import JournalDamaged

FILE: Final = "data.mdb"
_MAGIC: Final = struct.pack("=I", 0xBEEFC0DE)
_MAGIC_AT: Final = 16
_TABLES: Final = (b"records", b"claims", b"meta")


def check(directory: Path, map_bytes: int) -> None:
    """Raises `JournalDamaged`, with what was found and what to do; returns where there is no journal yet."""
    if not (directory / FILE).exists():
        return
    command = [sys.executable, "-m", "modelspan.processor.journal.check", str(directory), str(map_bytes)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    found = done.stdout.strip()
    if done.returncode < 0:
        found = f"reading it ends a process by {signal.Signals(-done.returncode).name}"
    elif done.returncode:
        found = f"it cannot be looked at: {done.stderr.strip().splitlines()[-1:]}"
    if found:
        raise JournalDamaged(
            f"cannot open the journal in {directory}: it is damaged, {found}. Requests that were acknowledged may be lost. Move {directory / FILE} away, "
            "keep it for whoever repairs it or its disk, and start again with an empty journal"
        )


def look(directory: Path, map_bytes: int) -> str:
    """Return what is wrong with the journal file; empty if it is sound."""
    file = directory / FILE
    size = file.stat().st_size
    if not size:
        return "its file is empty"
    try:
        with lmdb.open(str(directory), map_size=map_bytes, max_dbs=3, mode=0o600) as env:
            page, last = env.stat()["psize"], env.info()["last_pgno"]
            if size < (last + 1) * page:
                return f"its file has {size} bytes, and {(last + 1) * page} are in use: it was cut short"
            with file.open("rb") as content:
                heads = [content.read(page)[_MAGIC_AT : _MAGIC_AT + 4] for _ in range(2)]
            if heads != [_MAGIC, _MAGIC]:
                return "one of its first two pages is overwritten"
            _walk(env)
    except lmdb.Error as error:
        return str(error)
    return ""


def _walk(env: lmdb.Environment) -> None:
    """Touch every page that leads to a record, and those that a write needs. Changes nothing."""
    with env.begin(write=True, buffers=True) as txn:
        for name in _TABLES:
            table = env.open_db(name, txn=txn, create=False)
            entries = sum(1 for _ in txn.cursor(table))
            if entries != txn.stat(table)["entries"]:
                raise lmdb.CorruptedError(
                    f"{entries} entries instead of {txn.stat(table)['entries']} in {name.decode()}"
                )
            txn.put(b"\xff" * 17, b"", db=table)
        txn.abort()


if __name__ == "__main__":
    sys.stdout.write(look(Path(sys.argv[1]), int(sys.argv[2])))
