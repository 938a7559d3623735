"""Memory: what is free goes back to the system, and code that was let go of still runs."""

from __future__ import annotations

import sys

import psutil
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from modelspan.processor import memory

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only the C library of Linux is asked to")


def test_code_runs_on_after_its_pages_were_let_go() -> None:
    before = psutil.Process().memory_info().shared
    memory.forget_startup()
    assert psutil.Process().memory_info().shared < before
    assert pc.sum(pa.array([1, 2, 3])).as_py() == 6


def test_memory_that_arrow_has_freed_leaves_the_process() -> None:
    default = pa.default_memory_pool()
    try:
        memory.share()
        assert pa.default_memory_pool().backend_name == "system"
        keep = []
        for _ in range(2000):
            junk = pa.array(range(8000))
            keep.append(pa.array(range(10)))
            keep.append(junk)
        full = psutil.Process().memory_info().rss
        del keep[1::2], junk
        memory.Release()()
        assert psutil.Process().memory_info().rss < full - 60_000_000
    finally:
        pa.set_memory_pool(default)
