"""What the journal holds (records) and how it hands it out (blocks)."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum


class Signal(IntEnum):
    """OTLP signal of a request. The numbers are stored, so they never change."""

    TRACES = 1
    METRICS = 2
    LOGS = 3


@dataclass(frozen=True, slots=True)
class Record:
    """One OTLP export request: its protobuf bytes and the number that the journal gave it (from 1, never reused)."""

    sequence: int
    signal: Signal
    payload: bytes
    intact: bool = True
    """False if the checksum does not match the bytes."""


@dataclass(frozen=True, slots=True)
class Block:
    """Successive records, at least one. The same `token` always stands for the same records, also after a crash."""

    token: str
    records: tuple[Record, ...]
    again: bool = field(default=False, compare=False)
    """It was handed out before the journal was opened: some of it may be stored."""

    @property
    def first(self) -> int:
        return self.records[0].sequence

    @property
    def last(self) -> int:
        return self.records[-1].sequence

    @property
    def size(self) -> int:
        """Bytes of all payloads."""
        return sum(len(record.payload) for record in self.records)
