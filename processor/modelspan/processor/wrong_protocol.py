"""Clients that speak another protocol than the one of an HTTP/1.1 port: what they speak, and one sentence in their own terms."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

HTTP2: Final = "gRPC or HTTP/2"
TLS: Final = "TLS"

_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_HEAD: Final = 9
_HEADERS, _SETTINGS, _GOAWAY = 1, 4, 7
_ACKNOWLEDGED, _END_OF_STREAM_AND_HEADERS = 1, 5
_UNIMPLEMENTED: Final = b"12"
_MAX_BYTES: Final = 64 << 10


def spoken(first: bytes) -> str | None:
    """Return the protocol that the first bytes of a connection begin (HTTP/2 or TLS); None if it is neither."""
    if first[:14] == _PREFACE[:14]:
        return HTTP2
    return TLS if first[:2] == b"\x16\x03" else None


class Http2Refusal:
    """Answers the first request of an HTTP/2 connection as a gRPC server that does not have the method (RFC 9113, gRPC over HTTP/2)."""

    def __init__(self, sentence: str) -> None:
        self._sentence = sentence.encode("ascii")
        self._received = b""
        self.is_over = False

    def greeting(self) -> bytes:
        """The bytes with which the connection begins."""
        return _frame(_SETTINGS, 0, 0, b"")

    def answer(self, data: bytes) -> bytes:
        """The bytes with which to answer `data`, which follows what was given before."""
        self._received += data
        out = b""
        for kind, flags, stream, _ in self._frames():
            if kind == _SETTINGS and not flags & _ACKNOWLEDGED:
                out += _frame(_SETTINGS, _ACKNOWLEDGED, 0, b"")
            elif kind == _HEADERS:
                self.is_over = True
                goaway = stream.to_bytes(4, "big") + bytes(4) + self._sentence
                return (
                    out
                    + _frame(_HEADERS, _END_OF_STREAM_AND_HEADERS, stream, self._headers())
                    + _frame(_GOAWAY, 0, 0, goaway)
                )
        self.is_over = len(self._received) > _MAX_BYTES
        return out

    def _frames(self) -> Iterator[tuple[int, int, int, bytes]]:
        """Type, flags, stream and content of each whole frame that was received."""
        self._received = self._received.removeprefix(_PREFACE)
        while len(self._received) >= _HEAD and not _PREFACE.startswith(self._received[:_HEAD]):
            end = _HEAD + int.from_bytes(self._received[:3], "big")
            if len(self._received) < end:
                return
            frame, self._received = self._received[:end], self._received[end:]
            yield frame[3], frame[4], int.from_bytes(frame[5:_HEAD], "big") & 0x7FFFFFFF, frame[_HEAD:]

    def _headers(self) -> bytes:
        """Status 200, and what gRPC makes of it (RFC 7541: literals, without an index)."""
        named = {b"content-type": b"application/grpc", b"grpc-status": _UNIMPLEMENTED, b"grpc-message": self._sentence}
        return b"\x88" + b"".join(b"\x00" + _string(name) + _string(value) for name, value in named.items())


def _frame(kind: int, flags: int, stream: int, content: bytes) -> bytes:
    return len(content).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + content


def _string(content: bytes) -> bytes:
    """Without Huffman's code; a length from 127 on is continued."""
    rest = len(content) - 127
    if rest < 0:
        return bytes([len(content)]) + content
    length = bytearray(b"\x7f")
    while rest >= 128:
        length.append(rest & 127 | 128)
        rest >>= 7
    return bytes([*length, rest]) + content
