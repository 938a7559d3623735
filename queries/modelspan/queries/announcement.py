"""How `modelspan query` finds the service that has a data directory open: by a file in it with the service's address.

The file is locked as long as its service runs. One without a lock was left by a process that was killed, and says nothing.
"""

from __future__ import annotations

import os
from pathlib import Path

FILE = "clickhouse_http.address"


class Announcement:
    """Says in `data_dir` that its store answers ClickHouse's HTTP protocol at `address`, until `withdraw`."""

    def __init__(self, data_dir: Path, address: str) -> None:
        import fcntl

        self._path = data_dir / FILE
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        os.ftruncate(self._descriptor, 0)
        os.write(self._descriptor, f"{address}\n".encode())

    def withdraw(self) -> None:
        """Take it back."""
        self._path.unlink(missing_ok=True)
        os.close(self._descriptor)


def announced(data_dir: Path) -> str | None:
    """Address of the running service that has `data_dir` open; None where there is none, or it does not say."""
    try:
        with (data_dir / FILE).open() as file:
            import fcntl

            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return file.read().strip() or None
    except OSError:
        pass
    return None
