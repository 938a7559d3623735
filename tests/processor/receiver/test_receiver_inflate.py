"""Decompression never needs more memory than the limit, and accepts gzip streams and nothing else."""

from __future__ import annotations

import gzip
import random
import tracemalloc
import zlib

import pytest

from modelspan.processor.receiver.inflate import CODINGS, Corrupt, TooLarge, inflate, zstd

COMPRESS = {"gzip": gzip.compress, "deflate": zlib.compress, "zstd": zstd.compress}
TEXT = random.Random(5).randbytes(1 << 20)


def test_content_up_to_the_limit_comes_back_whole():
    assert inflate(gzip.compress(TEXT), "gzip", len(TEXT)) == TEXT
    assert inflate(b"", "gzip", 0) == b""
    assert inflate(gzip.compress(b""), "gzip", 0) == b""


@pytest.mark.parametrize("limit", [0, 1, len(TEXT) - 1])
def test_one_byte_more_is_too_large(limit: int):
    with pytest.raises(TooLarge):
        inflate(gzip.compress(TEXT), "gzip", limit)


def test_the_limit_holds_for_all_members_together():
    members = gzip.compress(b"x" * 600) + gzip.compress(b"y" * 600)
    assert inflate(members, "gzip", 1200) == b"x" * 600 + b"y" * 600
    with pytest.raises(TooLarge):
        inflate(members, "gzip", 1199)


def test_a_bomb_costs_no_more_memory_than_the_limit():
    bomb = gzip.compress(bytes(64 << 20))
    tracemalloc.start()
    with pytest.raises(TooLarge):
        inflate(bomb, "gzip", 4 << 20)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 16 << 20


@pytest.mark.parametrize("coding", CODINGS[:-1])
def test_what_becomes_large_is_told_before_it_is_there(coding: str):
    class NoRoom(Exception):
        pass

    def hold(size: int) -> None:
        raise NoRoom(size)

    bomb = COMPRESS[coding](bytes(64 << 20))
    tracemalloc.start()
    with pytest.raises(NoRoom):
        inflate(bomb, coding, 64 << 20, hold)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 << 20


@pytest.mark.parametrize("coding", CODINGS[:-1])
@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3 << 20])
def test_every_coding_gives_back_what_was_compressed(coding: str, size: int):
    for content in (bytes(size), random.Random(1).randbytes(size)):
        held: list[int] = []
        assert inflate(COMPRESS[coding](content), coding, size, held.append) == content
        assert sum(held) == size


def test_a_body_of_countless_empty_members_is_refused():
    with pytest.raises(Corrupt, match="4096"):
        inflate(gzip.compress(b"") * 100_000, "gzip", 1 << 20)


def test_any_cut_is_noticed():
    whole = gzip.compress(TEXT[:500])
    for end in range(1, len(whole)):
        with pytest.raises(Corrupt):
            inflate(whole[:end], "gzip", 1 << 20)
