"""`kill -9` and a failing disk, with real processes: what was acknowledged is there, exactly once, in the same blocks."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from modelspan.processor.journal import Journal

APPENDING = """
import sys, random, threading
from pathlib import Path
from modelspan.processor.journal import Journal, Signal
journal = Journal.open(Path(sys.argv[1]))
say = threading.Lock()
def produce(seed):
    sizes = random.Random(seed)
    while True:
        payload = sizes.randbytes(sizes.choice([10, 3_000, 70_000]))
        sequence = journal.append(Signal.LOGS, payload).result()
        with say:
            print(sequence, payload[:10].hex(), len(payload), flush=True)
for seed in range(4):
    threading.Thread(target=produce, args=(seed,)).start()
"""

TAKING = """
import sys
from pathlib import Path
from modelspan.processor.journal import Journal, Signal
journal = Journal.open(Path(sys.argv[1]))
for i in range(30):
    journal.append(Signal.LOGS, b"%d" % i).result()
for _ in range(2):
    print(journal.next_block(max_bytes=1 << 20, max_records=7, wait=1, linger=0).token, flush=True)
for i in range(30):
    journal.append(Signal.LOGS, b"later").result()
print("ready", flush=True)
sys.stdin.read()
"""

FAILING = """
import resource, sys
from pathlib import Path
from modelspan.processor.journal import Journal, JournalError, Signal
journal = Journal.open(Path(sys.argv[1]))
stored = [journal.append(Signal.LOGS, bytes(100_000)).result() for _ in range(5)]
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, resource.RLIM_INFINITY))
failures = 0
while failures < 3:
    try:
        stored.append(journal.append(Signal.LOGS, bytes(100_000)).result())
    except JournalError:
        failures += 1
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
stored.append(journal.append(Signal.LOGS, bytes(100_000)).result())
print(*stored)
journal.close()
"""


def start(program: str, path: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def kill(process: subprocess.Popen[str]) -> str:
    """Kill -9; what it had still written."""
    process.send_signal(signal.SIGKILL)
    rest, _ = process.communicate()
    assert process.returncode == -signal.SIGKILL
    return rest


def drain(journal: Journal):
    while block := journal.next_block(max_bytes=1 << 20, max_records=100, wait=0, linger=0):
        yield from block.records
        journal.complete(block)


@pytest.mark.parametrize("acknowledged", [1, 40, 400])
def test_every_acknowledged_sequence_is_there_after_kill_9(tmp_path: Path, acknowledged: int):
    process = start(APPENDING, tmp_path)
    lines = [process.stdout.readline() for _ in range(acknowledged)]
    lines += kill(process).splitlines(keepends=True)
    told = dict(line.split(maxsplit=1) for line in lines if line.endswith("\n"))
    journal = Journal.open(tmp_path)
    stored = {str(r.sequence): f"{r.payload[:10].hex()} {len(r.payload)}\n" for r in drain(journal)}
    journal.close()
    assert list(stored) == [str(sequence) for sequence in range(1, len(stored) + 1)]
    assert {sequence: stored.get(sequence) for sequence in told} == told
    assert len(stored) - len(told) <= 4, "more than the four requests in flight were stored without an answer"


def test_claimed_blocks_are_identical_after_kill_9(tmp_path: Path):
    process = start(TAKING, tmp_path)
    tokens = [process.stdout.readline().strip() for _ in range(2)]
    assert process.stdout.readline() == "ready\n"
    kill(process)
    for _ in range(2):
        journal = Journal.open(tmp_path)
        blocks = [journal.next_block(max_bytes=1, max_records=1, wait=0, linger=0) for _ in range(2)]
        assert [block.token for block in blocks] == tokens
        assert [[int(record.payload) for record in block.records] for block in blocks] == [
            list(range(7)),
            list(range(7, 14)),
        ]
        journal.close()


def test_a_failing_disk_is_an_error_and_never_a_false_acknowledgement(tmp_path: Path):
    result = subprocess.run([sys.executable, "-c", FAILING, str(tmp_path)], capture_output=True, text=True, check=True)
    told = [int(sequence) for sequence in result.stdout.split()]
    journal = Journal.open(tmp_path)
    assert [record.sequence for record in drain(journal)] == told == list(range(1, len(told) + 1))
    journal.close()
