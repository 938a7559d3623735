"""Compression of answers: of HTTP (gzip, lz4), or ClickHouse's own blocks (`compress=1`)."""

from __future__ import annotations

import struct
import zlib
from typing import Protocol

import lz4.block
import lz4.frame

from modelspan.processor.clickhouse_http.cityhash import city_hash_128

_BLOCK = 1024 * 1024
_LZ4 = 0x82


class Encoder(Protocol):
    """Compresses an answer piece by piece."""

    @property
    def content_encoding(self) -> str | None:
        """Value of the header `Content-Encoding`."""

    def encode(self, piece: bytes) -> bytes:
        """Return what can be sent after `piece`; it may be nothing yet."""

    def finish(self) -> bytes:
        """Return the rest."""


class Identity:
    """Sends everything as it is."""

    content_encoding: str | None = None

    def encode(self, piece: bytes) -> bytes:
        """Return `piece`."""
        return piece

    def finish(self) -> bytes:
        """Return nothing."""
        return b""


class Gzip:
    """gzip at its fastest."""

    content_encoding: str | None = "gzip"

    def __init__(self) -> None:
        self._deflate = zlib.compressobj(level=1, wbits=31)

    def encode(self, piece: bytes) -> bytes:
        """Compress `piece`."""
        return self._deflate.compress(piece)

    def finish(self) -> bytes:
        """End the stream."""
        return self._deflate.flush()


class Lz4:
    """Frames of LZ4, which ClickHouse calls `lz4` as a content encoding."""

    content_encoding: str | None = "lz4"

    def __init__(self) -> None:
        self._frame = lz4.frame.LZ4FrameCompressor()
        self._head: bytes = self._frame.begin()

    def encode(self, piece: bytes) -> bytes:
        """Compress `piece`."""
        head, self._head = self._head, b""
        return head + bytes(self._frame.compress(piece))

    def finish(self) -> bytes:
        """End the frame."""
        return self._head + bytes(self._frame.flush())


class Blocks:
    """ClickHouse's own compressed blocks: checksum (CityHash128), method, both sizes, data."""

    content_encoding: str | None = None

    def encode(self, piece: bytes) -> bytes:
        """Compress `piece` into one block for each MiB."""
        return b"".join(_block(piece[start : start + _BLOCK]) for start in range(0, len(piece), _BLOCK))

    def finish(self) -> bytes:
        """Return nothing: every block is complete."""
        return b""


def choose(accepted: str, *, http: bool, blocks: bool) -> Encoder:
    """Choose by `Accept-Encoding`, where HTTP compression is asked for, and `compress=1`, which is `blocks`."""
    if blocks:
        return Blocks()
    offered = [part.partition(";")[0].strip().lower() for part in accepted.split(",")] if http else []
    for name, encoder in (("lz4", Lz4), ("gzip", Gzip)):
        if name in offered:
            return encoder()
    return Identity()


def _block(piece: bytes) -> bytes:
    data: bytes = lz4.block.compress(piece, store_size=False)
    body = struct.pack("<BII", _LZ4, len(data) + 9, len(piece)) + data
    return city_hash_128(body) + body
