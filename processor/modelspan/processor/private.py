"""File permissions: stored data holds inputs of models, so only the user of the service may read it."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import structlog

_log = structlog.get_logger(__name__)

_OWN: Final = frozenset({"journal", "store", "store-work", "quarantine"})
"""Folders in the data directory."""
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


def keep_private() -> None:
    """Make every file of this process from now on readable by its user alone."""
    os.umask(_OTHERS)


def tighten(data_dir: Path) -> None:
    """Take from others what an earlier version left open. Files in folders are read only when their folder was open.

    A data directory that also holds folders of others, such as `/var/lib`, keeps its own mode.
    """
    if not data_dir.is_dir():
        return
    folders = [entry for entry in data_dir.iterdir() if entry.is_dir() and not entry.is_symlink()]
    own = [folder for folder in folders if folder.name in _OWN]
    loose = [folder for folder in own if folder.stat().st_mode & _OTHERS]
    _close(entry for folder in loose for entry in [*folder.rglob("*"), folder])
    if len(own) == len(folders) and not data_dir.stat().st_mode & stat.S_ISVTX:
        _close([data_dir])


def _close(entries: Iterable[Path]) -> None:
    try:
        for entry in entries:
            mode = entry.lstat().st_mode
            if mode & _OTHERS and not stat.S_ISLNK(mode):
                entry.chmod(stat.S_IMODE(mode) & ~_OTHERS)
    except OSError as error:
        _log.warning("others may read a part of the data directory", reason=str(error))
