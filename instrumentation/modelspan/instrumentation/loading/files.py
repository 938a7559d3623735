"""Files that models are loaded from, and the digest of what they hold."""

from __future__ import annotations

import hashlib
import os
import threading
from collections import OrderedDict
from typing import Any, NamedTuple

MAX_BYTES = 512 * 1024 * 1024
"""Larger files are not digested: that would keep the background thread from the predictions for longer than a second."""
_CHUNK = 1024 * 1024
_MAX_KNOWN = 1000
_WITHIN = 3
"""Files within one another: buffer, decompressor, file."""


class File(NamedTuple):
    """A file as it was when a model was loaded from it."""

    path: str
    size: int
    modified: int
    """Nanoseconds since 1970."""


def path_of(opened: Any) -> Any:
    """The path of a file that is given as such, or is open for reading."""
    name = _name(opened) if hasattr(opened, "read") else opened
    return name if not isinstance(name, int) else None


def _name(opened: Any) -> Any:
    """The name of an open file. What decompresses one has none of its own before Python 3.13, and what buffers that has that of it."""
    for _ in range(_WITHIN):
        name = getattr(opened, "name", None)
        if name is not None or opened is None:
            return name
        opened = getattr(opened, "raw", getattr(opened, "_fp", None))
    return None


def seen(given: Any) -> File | None:
    """The file as it is now, given by its path or open for reading; None if there is none. What is open must be the file at
    its name: that of a member of an archive is no path, and a file may have been replaced since.
    """
    try:
        name = os.path.abspath(os.fsdecode(path_of(given)))
        found = os.stat(name)
        if hasattr(given, "read") and not os.path.samestat(found, os.fstat(given.fileno())):
            return None
    except (AttributeError, OSError, TypeError, ValueError):  # something else than a path or file, or gone
        return None
    return File(name, found.st_size, found.st_mtime_ns)


def is_digested(file: File) -> bool:
    """Whether the digest of a file is known."""
    return file in _known


def digest(file: File) -> str | None:
    """SHA-256 of a file, in hex. None where it is too large, gone, or was changed since it was seen.

    What was digested once is remembered, so that many loads of one file read it once.
    """
    with _lock:
        known = _known.get(file)
        if known is not None:
            _known.move_to_end(file)
            return known
    if file.size > MAX_BYTES or seen(file.path) != file:
        return None
    try:
        found = _read(file.path)
    except OSError:  # not readable any more
        return None
    if found is None or seen(file.path) != file:
        return None
    with _lock:
        _known[file] = found
        if len(_known) > _MAX_KNOWN:
            _known.popitem(last=False)
    return found


def _read(path: str) -> str | None:
    if not os.path.isfile(path):  # a directory, or a pipe that would never end
        return None
    sha = hashlib.sha256()
    with open(path, "rb") as content:
        while chunk := content.read(_CHUNK):
            sha.update(chunk)
    return sha.hexdigest()


_lock = threading.Lock()
_known: OrderedDict[File, str] = OrderedDict()


def _start_over() -> None:
    """A process that is forked while another thread holds the lock would never get it."""
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_over)
