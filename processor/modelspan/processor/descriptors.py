"""File descriptors: connections, the journal and the engine's files share them, and the usual limit is 1,024."""

from __future__ import annotations

import resource

_WANTED = 65536


def raise_limit() -> int:
    """Raise the soft limit of this process towards the hard one; return what it is now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _WANTED if hard == resource.RLIM_INFINITY else min(_WANTED, hard)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return soft
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError):  # macOS has a lower limit of its own, which it does not tell
        return soft
    return wanted
