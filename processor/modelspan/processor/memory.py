"""Memory that nobody needs goes back to the system: each allocator keeps what was freed, and so does the loader."""

from __future__ import annotations

import ctypes
import gc
import platform
import time
from pathlib import Path
from typing import Final

import pyarrow as pa

_ARENAS: Final = 2
"""Of the C library. It makes up to eight for each core, and every one keeps the peak of the threads that used it."""
_M_ARENA_MAX: Final = -8
_LARGE: Final = 128 * 1024
"""Bytes from which an allocation has pages of its own, which go back when it is freed. Unless it is set, the C library raises
it up to 32 MB as it goes, and blocks come to lie between what lives longer."""
_M_MMAP_THRESHOLD: Final = -3
_MADV_DONTNEED: Final = 4
_PAUSE: Final = 1.0

_GLIBC: Final = ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None


def share() -> None:
    """Let Arrow and the threads of this process use the same few arenas. Before the threads have work."""
    pa.set_memory_pool(pa.system_memory_pool())
    if _GLIBC is not None:
        _GLIBC.mallopt(_M_ARENA_MAX, _ARENAS)
        _GLIBC.mallopt(_M_MMAP_THRESHOLD, _LARGE)


def forget_startup() -> None:
    """Let go of what was needed once, when everything was loaded.

    Python's collector no longer walks the modules. 140 MB of code that ran once are unmapped; what is used again is mapped again.
    """
    gc.freeze()
    if _GLIBC is not None:
        # Pages that cannot be written are as they are in the file. (Those of read-only data may have been relocated.)
        _unmap(_mappings("r-xp", ".so"))


class Release:
    """Gives free memory back, at most once a second: a call takes a few milliseconds.

    So do pages of the journal's file, which LMDB maps shared and read-only; the system keeps them as its cache.
    """

    def __init__(self) -> None:
        self._at = 0.0
        self._journal: list[tuple[int, int]] = []

    def __call__(self) -> None:
        now = time.monotonic()
        if _GLIBC is not None and now >= self._at:
            self._at = now + _PAUSE
            _GLIBC.malloc_trim(0)
            self._journal = self._journal or _mappings("r--s", "data.mdb")
            _unmap(self._journal)


def _mappings(permissions: str, name: str) -> list[tuple[int, int]]:
    """First and end address of this process' mappings of files with `name` in their path."""
    found = []
    for line in Path("/proc/self/maps").read_text().splitlines():
        addresses, has, *rest = line.split(None, 5)
        if has == permissions and name in rest[-1]:
            first, end = addresses.split("-")
            found.append((int(first, 16), int(end, 16)))
    return found


def _unmap(mappings: list[tuple[int, int]]) -> None:
    """Their pages are read from the file again when they are needed."""
    assert _GLIBC is not None
    _GLIBC.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    for first, end in mappings:
        _GLIBC.madvise(first, end - first, _MADV_DONTNEED)
