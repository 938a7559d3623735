"""Durable queue of raw OTLP requests between the receiver and the store."""

from __future__ import annotations

from modelspan.processor.journal.errors import (
    JournalDamaged,
    JournalError,
    JournalFull,
    JournalInUse,
    JournalTooSmall,
    JournalUnavailable,
)
from modelspan.processor.journal.journal import Journal
from modelspan.processor.journal.records import Block, Record, Signal

__all__ = [
    "Block",
    "Journal",
    "JournalDamaged",
    "JournalError",
    "JournalFull",
    "JournalInUse",
    "JournalTooSmall",
    "JournalUnavailable",
    "Record",
    "Signal",
]
