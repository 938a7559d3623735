"""The journal keeps what it acknowledged, hands it out in order, and gives room back."""

from __future__ import annotations

import contextlib
import random
import threading
from pathlib import Path

import pytest

from modelspan.processor.journal import Journal, JournalFull, JournalInUse, JournalTooSmall, JournalUnavailable, Signal


def put(journal: Journal, *payloads: bytes) -> list[int]:
    return [journal.append(Signal.LOGS, payload).result() for payload in payloads]


def take(journal: Journal, *, max_bytes: int = 1 << 30, max_records: int = 1000):
    return journal.next_block(max_bytes=max_bytes, max_records=max_records, wait=0, linger=0)


@pytest.fixture
def journal(tmp_path: Path):
    opened = Journal.open(tmp_path / "journal", max_bytes=16 << 20)
    yield opened
    opened.close()


def test_records_come_out_as_they_went_in(journal: Journal):
    payloads = [b"", b"small", bytes(5000), random.Random(1).randbytes(3 << 20)]
    signals = [Signal.TRACES, Signal.METRICS, Signal.LOGS, Signal.TRACES]
    sequences = [journal.append(*pair).result() for pair in zip(signals, payloads, strict=True)]
    block = take(journal)
    assert [record.payload for record in block.records] == payloads
    assert [record.signal for record in block.records] == signals
    assert [record.sequence for record in block.records] == sequences == [1, 2, 3, 4]
    assert (block.first, block.last, block.token) == (1, 4, f"{journal.identity}:1-4")


def test_a_block_respects_both_limits_and_takes_one_large_record_alone(journal: Journal):
    put(journal, b"a" * 60, b"b" * 60, b"c" * 500, b"d", b"e", b"f")
    assert [len(take(journal, max_bytes=120, max_records=2).records) for _ in range(3)] == [2, 1, 2]
    assert take(journal).records[0].payload == b"f"


def test_an_empty_journal_has_no_block(journal: Journal):
    assert take(journal) is None
    assert journal.backlog == (0, 0)


def test_blocks_in_flight_do_not_overlap_and_may_be_completed_in_any_order(journal: Journal):
    put(journal, b"a", b"b", b"c", b"d")
    older, newer = take(journal, max_records=2), take(journal, max_records=2)
    assert (older.last, newer.first) == (2, 3)
    journal.complete(newer)
    assert journal.backlog == (2, 2)
    journal.complete(older)
    assert journal.backlog == (0, 0)
    assert take(journal) is None


def test_claimed_blocks_come_first_and_unchanged_after_reopening(tmp_path: Path):
    journal = Journal.open(tmp_path / "journal")
    put(journal, b"a", b"b", b"c", b"d", b"e")
    first, second, third = (take(journal, max_records=1) for _ in range(3))
    journal.complete(second)
    journal.close()
    journal = Journal.open(tmp_path / "journal")
    assert journal.backlog == (4, 4)
    assert [take(journal), take(journal)] == [first, third]
    rest = take(journal)
    assert [record.payload for record in rest.records] == [b"d", b"e"]
    journal.close()


def test_a_sequence_is_never_given_twice_even_when_everything_was_deleted(tmp_path: Path):
    journal = Journal.open(tmp_path / "journal")
    put(journal, b"a", b"b")
    identity = journal.identity
    journal.complete(take(journal))
    journal.close()
    journal = Journal.open(tmp_path / "journal")
    assert put(journal, b"c") == [3]
    assert journal.identity == identity
    journal.close()


def test_a_full_journal_refuses_and_takes_again_once_it_is_drained(journal: Journal):
    put(journal, bytes(10 << 20))
    with pytest.raises(JournalFull, match="send again later"):
        journal.append(Signal.LOGS, bytes(7 << 20))
    assert journal.backlog == (1, 10 << 20)
    journal.complete(take(journal))
    assert put(journal, bytes(7 << 20)) == [2]


def test_a_request_that_no_draining_helps_is_refused_as_such(journal: Journal):
    with pytest.raises(JournalTooSmall, match=r"journal\.max_bytes is 16777216"):
        journal.append(Signal.LOGS, bytes(17 << 20))
    assert journal.backlog == (0, 0)


def fill(journal: Journal, size: int) -> list[int]:
    """Append payloads of `size` bytes until one is refused; the sequences of the others."""
    stored = []
    with contextlib.suppress(JournalFull):
        for _ in range(10_000):
            stored += put(journal, bytes(size))
        pytest.fail("the journal never became full")
    return stored


@pytest.mark.parametrize("records_per_block", [10, 1000])
def test_a_full_file_refuses_without_losing_anything_and_is_usable_once_drained(tmp_path: Path, records_per_block: int):
    journal = Journal.open(tmp_path / "journal", max_bytes=1 << 30, map_bytes=1 << 20)
    stored = fill(journal, 10_000) + fill(journal, 100)
    assert journal.backlog[0] == len(stored)
    seen = []
    while block := take(journal, max_records=records_per_block):
        seen += [record.sequence for record in block.records]
        journal.complete(block)
    assert seen == stored
    assert put(journal, bytes(10_000)) == [stored[-1] + 1]
    journal.close()


def test_one_payload_that_does_not_fit_does_not_fail_its_group(tmp_path: Path):
    journal = Journal.open(tmp_path / "journal", max_bytes=1 << 30, map_bytes=1 << 20)
    futures = [journal.append(Signal.LOGS, bytes(2 << 20 if i == 5 else 10)) for i in range(10)]
    failed = [i for i, future in enumerate(futures) if isinstance(future.exception(), JournalFull)]
    assert failed == [5]
    assert journal.backlog == (9, 90)
    journal.close()


def test_a_second_owner_hears_who_has_the_journal(tmp_path: Path):
    journal = Journal.open(tmp_path / "journal")
    with pytest.raises(JournalInUse, match="in use by process"):
        Journal.open(tmp_path / "journal")
    journal.close()
    Journal.open(tmp_path / "journal").close()


def test_something_else_in_the_directory_is_not_overwritten(tmp_path: Path):
    (tmp_path / "data.mdb").write_bytes(b"something else" * 1000)
    with pytest.raises(JournalUnavailable, match="cannot open the journal"):
        Journal.open(tmp_path)
    assert (tmp_path / "data.mdb").read_bytes() == b"something else" * 1000


def test_closing_writes_what_was_appended_and_then_refuses(tmp_path: Path):
    journal = Journal.open(tmp_path / "journal")
    futures = [journal.append(Signal.TRACES, b"x" * 1000) for _ in range(200)]
    journal.close()
    assert [future.result() for future in futures] == list(range(1, 201))
    with pytest.raises(JournalUnavailable, match="closed"):
        journal.append(Signal.TRACES, b"late")
    journal = Journal.open(tmp_path / "journal")
    assert journal.backlog == (200, 200_000)
    journal.close()


def test_closing_wakes_a_waiting_consumer(tmp_path: Path):
    journal = Journal.open(tmp_path / "journal")
    got = []
    consumer = threading.Thread(
        target=lambda: got.append(journal.next_block(max_bytes=1, max_records=1, wait=60, linger=60))
    )
    consumer.start()
    journal.close()
    consumer.join()
    assert got == [None]


def test_many_producers_and_two_consumers_see_every_payload_once(journal: Journal):
    stop = threading.Event()
    seen: list[bytes] = []

    def consume():
        while not (stop.is_set() and journal.backlog[0] == 0):
            if block := journal.next_block(max_bytes=10_000, max_records=50, wait=0.05, linger=0.01):
                seen.extend(record.payload for record in block.records)
                journal.complete(block)

    def produce(name: int):
        for i in range(100):
            journal.append(Signal.LOGS, b"%d-%d" % (name, i) + bytes(i)).result()

    consumers = [threading.Thread(target=consume) for _ in range(2)]
    producers = [threading.Thread(target=produce, args=(name,)) for name in range(8)]
    for thread in consumers + producers:
        thread.start()
    for thread in producers:
        thread.join()
    stop.set()
    for thread in consumers:
        thread.join()
    assert sorted(seen) == sorted(b"%d-%d" % (name, i) + bytes(i) for name in range(8) for i in range(100))


def test_the_file_stops_growing_when_the_store_keeps_up(tmp_path: Path):
    journal = Journal.open(tmp_path / "journal", max_bytes=64 << 20)
    sizes = random.Random(7)
    written = 0
    for _ in range(60):
        payloads = [bytes(sizes.choice([500, 7_000, 60_000, 650_000])) for _ in range(10)]
        for future in [journal.append(Signal.LOGS, payload) for payload in payloads]:
            future.result()
        written += sum(map(len, payloads))
        journal.complete(take(journal))
    journal.close()
    assert written > 80 << 20
    assert (tmp_path / "journal" / "data.mdb").stat().st_size < written / 4
