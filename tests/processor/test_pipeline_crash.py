"""A service that is killed again and again has every acknowledged prediction exactly once."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

PROGRAM = Path(__file__).parent / "programs" / "store_until_killed.py"
ROOT = Path(__file__).parents[2]


def start(folder: Path, first: int) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(PROGRAM), str(folder), str(first)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


def test_every_acknowledged_prediction_is_stored_once_after_kills(tmp_path: Path) -> None:
    acknowledged: set[int] = set()
    for run in range(3):
        process = start(tmp_path, run * 1_000_000)
        assert process.stdout is not None
        for line in process.stdout:
            acknowledged.add(int(line))
            if len(acknowledged) > (run + 1) * random.randint(100, 400):
                break
        process.kill()
        acknowledged.update(
            int(line) for line in process.stdout.read().splitlines(keepends=True) if line.endswith("\n")
        )
        process.wait()
        assert process.returncode < 0, "the program ended by itself"
    output, _ = start(tmp_path, -1).communicate(timeout=90)
    totals, stored = output.splitlines()
    rows, ids = map(int, totals.split())
    numbers = set(map(int, stored.split()))
    assert rows == ids == 20 * len(numbers)
    assert acknowledged <= numbers
    assert not list(tmp_path.glob("store-work/*.arrow"))
