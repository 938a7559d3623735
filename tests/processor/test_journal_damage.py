"""A journal whose file is not as it was written says so, and hands out nothing as what it is not."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from pathlib import Path

import lmdb
import pytest

from modelspan.processor.journal import Block, Journal, JournalDamaged, Record, Signal

PAYLOADS = [bytes([i]) * size for i, size in enumerate([10, 9000, 200, 50_000], start=1)]


def journal_with(folder: Path, payloads: list[bytes]) -> Path:
    """Write a journal; its file."""
    journal = Journal.open(folder, max_bytes=1 << 24)
    for payload in payloads:
        journal.append(Signal.LOGS, payload).result()
    journal.close()
    return folder / "data.mdb"


def take(folder: Path) -> Block:
    journal = Journal.open(folder, max_bytes=1 << 24)
    block = journal.next_block(max_bytes=1 << 24, max_records=100, wait=0, linger=0)
    journal.close()
    assert block is not None
    return block


@pytest.mark.parametrize("place", range(len(PAYLOADS)))
def test_a_request_whose_bytes_have_changed_is_known_and_the_others_are_as_they_were(
    tmp_path: Path, place: int
) -> None:
    file = journal_with(tmp_path, PAYLOADS)
    content = bytearray(file.read_bytes())
    at = content.index(PAYLOADS[place]) + len(PAYLOADS[place]) // 2
    content[at : at + 4] = bytes(4)
    file.write_bytes(content)
    records = take(tmp_path).records
    assert [record.intact for record in records] == [i != place for i in range(len(PAYLOADS))]
    assert [r.payload for r in records if r.intact] == [p for i, p in enumerate(PAYLOADS) if i != place]


def cut(size: float) -> Callable[[Path], None]:
    return lambda file: os.truncate(file, int(file.stat().st_size * size))


def zero_head(file: Path) -> None:
    with file.open("r+b") as content:
        content.write(bytes(4096))


def zero_leaves(file: Path) -> None:
    """Overwrite the pages that hold small records."""
    content = bytearray(file.read_bytes())
    for place in range(2 * 4096, len(content), 4096):
        if content[place + 10] & 2:  # P_LEAF in the flags of the page
            content[place : place + 4096] = bytes(4096)
    file.write_bytes(content)


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (cut(0), "its file is empty"),
        (cut(0.3), "it was cut short"),
        (cut(0.9), "it was cut short"),
        (zero_head, "overwritten|MDB_INVALID"),
        (zero_leaves, "MDB_CORRUPTED|SIGABRT"),
    ],
    ids=["empty", "cut to a third", "its end cut off", "its head overwritten", "its pages overwritten"],
)
def test_a_damaged_file_is_refused_with_what_was_found_and_what_to_do_and_left_as_it_is(
    tmp_path: Path, harm: Callable[[Path], None], says: str
) -> None:
    file = journal_with(tmp_path, PAYLOADS)
    harm(file)
    before = file.read_bytes()
    with pytest.raises(
        JournalDamaged, match=f"cannot open the journal in {tmp_path}: it is damaged, .*({says}).* Move {file} away"
    ):
        Journal.open(tmp_path, max_bytes=1 << 24)
    assert file.read_bytes() == before
    file.rename(tmp_path / "away")
    Journal.open(tmp_path, max_bytes=1 << 24).close()


def test_records_of_the_first_format_are_handed_out(tmp_path: Path) -> None:
    with lmdb.open(str(tmp_path), map_size=1 << 24, max_dbs=3) as env:
        records, meta = env.open_db(b"records"), env.open_db(b"meta")
        env.open_db(b"claims")
        with env.begin(write=True) as txn:
            txn.put(b"format", b"1", db=meta)
            txn.put(b"identity", b"old", db=meta)
            txn.put(struct.pack(">QB", 7, Signal.TRACES), b"seven", db=records)
    journal = Journal.open(tmp_path, max_bytes=1 << 24)
    assert journal.append(Signal.LOGS, b"eight").result() == 8
    block = journal.next_block(max_bytes=100, max_records=10, wait=0, linger=0)
    assert block == Block("old:7-8", (Record(7, Signal.TRACES, b"seven"), Record(8, Signal.LOGS, b"eight")))
    journal.complete(block)
    assert journal.backlog == (0, 0)
    journal.close()
