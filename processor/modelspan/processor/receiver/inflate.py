"""Bounded decompression of bodies: gzip (RFC 1952), zlib (RFC 1950, "deflate") and Zstandard (RFC 8878)."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable, Iterator, Mapping
from io import BytesIO
from typing import Final

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_CHUNK = 256 << 10
_PIECE = 1 << 20
"""Bytes that are decompressed before they are held: a chunk can be a thousand times as large."""
_MAX_MEMBERS = 4096
_MAX_WINDOW_LOG = 23
"""8 MiB, which RFC 8878 recommends: a frame may ask for a window of gigabytes."""


class TooLarge(ValueError):
    """The content exceeds the limit."""


class Corrupt(ValueError):
    """The bytes are not a complete compressed stream."""


class _Zlib:
    """One gzip member or zlib stream."""

    def __init__(self, window: int) -> None:
        self._member = zlib.decompressobj(window)

    @property
    def eof(self) -> bool:
        return self._member.eof

    @property
    def unused_data(self) -> bytes:
        return self._member.unused_data

    def pieces(self, chunk: memoryview) -> Iterator[bytes]:
        piece = self._member.decompress(chunk, _PIECE)
        yield piece
        while not self.eof and (len(piece) == _PIECE or self._member.unconsumed_tail):
            piece = self._member.decompress(self._member.unconsumed_tail, _PIECE)
            yield piece


class _Zstd:
    """One Zstandard frame."""

    def __init__(self) -> None:
        self._frame = zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: _MAX_WINDOW_LOG})

    @property
    def eof(self) -> bool:
        return bool(self._frame.eof)

    @property
    def unused_data(self) -> bytes:
        return bytes(self._frame.unused_data)

    def pieces(self, chunk: memoryview) -> Iterator[bytes]:
        yield self._frame.decompress(chunk, _PIECE)
        while not self.eof and not self._frame.needs_input:
            yield self._frame.decompress(b"", _PIECE)


_MEMBERS: Final[Mapping[str, Callable[[], _Zlib | _Zstd]]] = {
    "gzip": lambda: _Zlib(31),
    "deflate": lambda: _Zlib(15),
    "zstd": _Zstd,
}
CODINGS: Final = (*_MEMBERS, "identity")
"""Accepted content codings, in the order in which they are listed to clients."""


def inflate(data: bytes, coding: str, limit: int, hold: Callable[[int], None] = lambda size: None) -> bytes:
    """Content of all members of `data`, never more than `limit` bytes in memory; `hold` is told of each piece before it is kept.

    Raises:
        TooLarge: there would be more.
        Corrupt: damaged, cut off, followed by something else, or of more than 4096 members.

    """
    content = BytesIO()
    room = limit
    position = members = 0
    view = memoryview(data)
    while position < len(data):
        members += 1
        if members > _MAX_MEMBERS:
            raise Corrupt(f"more than {_MAX_MEMBERS} {coding} members")
        member = _MEMBERS[coding]()
        while not member.eof:
            # Fed in chunks: what follows the end of a member is copied, and a body may hold thousands of members.
            chunk = view[position : position + _CHUNK]
            if not chunk:
                raise Corrupt(f"the {coding} stream is cut off")
            for piece in _pieces(member, chunk, coding):
                room -= len(piece)
                if room < 0:
                    raise TooLarge(f"more than {limit} bytes")
                hold(len(piece))
                content.write(piece)
            position += len(chunk) - len(member.unused_data)
    return content.getvalue()


def coding_of(message: bytes) -> str:
    """How a message is compressed, by its first bytes; none of these begin a request, whose first field is number 1."""
    if message.startswith(b"\x1f\x8b"):
        return "gzip"
    if message.startswith(b"\x28\xb5\x2f\xfd"):
        return "zstd"
    is_zlib = message[:1] == b"\x78" and int.from_bytes(message[:2], "big") % 31 == 0
    return "deflate" if is_zlib else "identity"


def _pieces(member: _Zlib | _Zstd, chunk: memoryview, coding: str) -> Iterator[bytes]:
    try:
        yield from member.pieces(chunk)
    except (zlib.error, zstd.ZstdError) as error:
        raise Corrupt(f"not {coding}: {error}") from error
