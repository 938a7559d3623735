"""The first answer to clients of the native protocol over HTTP: which revision of it we speak.

clickhouse-go, and with it Grafana's data source, opens by asking for the revision, reads the answer in the framing of its own
revision, and all later ones in that which the answer names. The embedded engine writes the plainest framing, of revision 0.
So this one answer is written by hand in the client's framing, and says 0.
"""

from __future__ import annotations

import re

NAME = "modelspan"
"""Server name told to clients, in place of the host name, which stays private."""

_HELLO = re.compile(r"SELECT '\w+' AS `displayName\(\)`, version\(\), revision\(\), timezone\(\)(?: FORMAT Native)?")
_ASKS_HOST = re.compile(
    r"(\s*SELECT\s+)displayName\(\)(,\s*version\(\),\s*revision\(\),\s*timezone\(\))", re.IGNORECASE
)
# Revisions from which a block has a header, and each of its columns a flag for custom serialization.
_BLOCK_HEADER, _CUSTOM_FLAG = 51903, 54454
_NO_AGGREGATION_OVERFLOW = b"\x01\x00\x02\xff\xff\xff\xff\x00"


def without_host(sql: str) -> str:
    """Put our name in the place of the host's where `sql` begins as clients of that protocol open."""
    return _ASKS_HOST.sub(rf"\1'{NAME}' AS `displayName()`\2", sql, count=1) if _ASKS_HOST.match(sql) else sql


def is_hello(statement: str, revision: int) -> bool:
    """Whether `statement`, as the engine's parser prints it, is the opening question of a client of that revision."""
    return revision >= _BLOCK_HEADER and _HELLO.fullmatch(statement) is not None


def hello_block(revision: int, *, version: str, timezone: str) -> bytes:
    """Return one Native block of one row, in the framing of `revision`: our name, version, 0 and time zone."""
    columns = [
        ("displayName()", "String", _string(NAME)),
        ("version()", "String", _string(version)),
        ("revision()", "UInt32", bytes(4)),
        ("timezone()", "String", _string(timezone)),
    ]
    flag = b"\x00" if revision >= _CUSTOM_FLAG else b""
    body = b"".join(_string(name) + _string(kind) + flag + value for name, kind, value in columns)
    return _NO_AGGREGATION_OVERFLOW + bytes([len(columns), 1]) + body


def _string(text: str) -> bytes:
    raw = text.encode()
    return _varint(len(raw)) + raw


def _varint(value: int) -> bytes:
    return bytes([value]) if value < 0x80 else bytes([value & 0x7F | 0x80]) + _varint(value >> 7)
