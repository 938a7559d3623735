"""What can keep a journal from taking or handing out a request. None of them means that the request is malformed."""

from __future__ import annotations


class JournalError(Exception):
    """Base of all errors of the journal."""


class JournalInUse(JournalError):
    """Another live process has the journal open."""


class JournalFull(JournalError):
    """There is no room now. Nothing was stored; the same request can succeed once the store has caught up."""


class JournalTooSmall(JournalError):
    """The request alone is larger than the journal may be: it will never be taken."""


class JournalUnavailable(JournalError):
    """The journal cannot be written or read: the disk failed or is full, or the journal is closed. Nothing was stored."""


class JournalDamaged(JournalUnavailable):
    """Its file is not as it was written. Nothing was changed."""
