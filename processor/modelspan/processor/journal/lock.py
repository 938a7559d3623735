"""One process per directory. The kernel drops the lock when its process ends, however it ends."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from modelspan.processor.journal.errors import JournalInUse


class DirectoryLock:
    """An exclusive lock on a directory, held until `release`. Raises `JournalInUse` when someone else holds it."""

    def __init__(self, directory: Path) -> None:
        path = directory / "owner"
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(self._descriptor, 32).decode(errors="replace").strip()
            os.close(self._descriptor)
            raise JournalInUse(
                f"the journal in {directory} is in use by process {owner or 'unknown'}; "
                "stop that process or choose another data directory"
            ) from None
        os.ftruncate(self._descriptor, 0)
        os.write(self._descriptor, str(os.getpid()).encode())

    def release(self) -> None:
        os.close(self._descriptor)
