"""Bounded decompression of gzip bodies (RFC 1952)."""

from __future__ import annotations

import zlib

_CHUNK = 256 << 10
_MAX_MEMBERS = 4096
_GZIP = 31


class TooLarge(ValueError):
    """The content exceeds the limit."""


class Corrupt(ValueError):
    """The bytes are not a complete gzip stream."""


def gunzip(data: bytes, limit: int) -> bytes:
    """Content of all members of `data`, never more than `limit` bytes in memory.

    Raises:
        TooLarge: there would be more.
        Corrupt: damaged, cut off, followed by something else, or of more than 4096 members.

    """
    pieces: list[bytes] = []
    room = limit
    position = members = 0
    view = memoryview(data)
    while position < len(data):
        members += 1
        if members > _MAX_MEMBERS:
            raise Corrupt(f"more than {_MAX_MEMBERS} gzip members")
        member = zlib.decompressobj(_GZIP)
        while not member.eof:
            # Fed in chunks: what follows the end of a member is copied, and a body may hold thousands of members.
            chunk = view[position : position + _CHUNK]
            if not chunk:
                raise Corrupt("the gzip stream is cut off")
            piece = _inflate(member, chunk, room + 1)
            room -= len(piece)
            if room < 0:
                raise TooLarge(f"more than {limit} bytes")
            pieces.append(piece)
            position += len(chunk) - len(member.unused_data)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _inflate(member: zlib._Decompress, chunk: memoryview, limit: int) -> bytes:
    try:
        return member.decompress(chunk, limit)
    except zlib.error as error:
        raise Corrupt(f"not gzip: {error}") from error
