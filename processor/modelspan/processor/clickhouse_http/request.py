"""An HTTP request in ClickHouse's form: SQL in `query` and the body, parameters as `param_x`, settings by their name."""

from __future__ import annotations

import email.message
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import parse_qsl

from modelspan.processor.clickhouse_http.encoding import Encoder, choose
from modelspan.processor.clickhouse_http.engine import MAX_QUERY_BYTES, Query
from modelspan.processor.clickhouse_http.errors import (
    QUERY_IS_TOO_LARGE,
    SYNTAX_ERROR,
    UNKNOWN_COMPRESSION_METHOD,
    QueryError,
)

MAX_BODY_BYTES = 2 * MAX_QUERY_BYTES
"""Longest body: a statement with its parameters."""
MAX_FIELDS = 1000
"""Most settings and parameters of a request, in its URL and in its form."""

_FIELD_NAME = re.compile(
    rb'^content-disposition:[^\r\n]*;[ ]*name=(?:"([^"\r\n]*)"|([^;\s]+))', re.IGNORECASE | re.MULTILINE
)


@dataclass(frozen=True)
class Request:
    """What a client asks for."""

    query: Query
    query_id: str
    revision: int
    """Revision of the native protocol that the client speaks; 0 where it says nothing."""
    encoder: Encoder
    """Compresses the answer."""

    def without_query(self) -> Request:
        """The request without its statement and parameters, which may be long."""
        return replace(self, query=Query(""))


@dataclass(frozen=True)
class Head:
    """A request without its body: the fields of its URL, and its headers by their names in lower case."""

    fields: Mapping[str, str]
    headers: Mapping[str, str]

    def encoder(self) -> Encoder:
        """Return a new encoder for an answer."""
        return _encoder(self.fields, self.headers)


def parse_head(query_string: bytes, headers: Mapping[str, str]) -> Head:
    """Read what comes before the body. Raises QueryError."""
    try:
        fields = dict(
            parse_qsl(
                query_string.decode("latin-1"),
                keep_blank_values=True,
                errors="strict",
                max_num_fields=MAX_FIELDS,
            )
        )
    except UnicodeDecodeError:
        raise _not_utf8() from None
    except ValueError:
        raise _too_many_fields() from None
    return Head(fields, headers)


def parse(head: Head, body: bytes | bytearray) -> Request:
    """Read a whole request, which may take several times the memory of its body. Raises QueryError."""
    fields, headers = dict(head.fields), head.headers
    body = _decoded(body, headers.get("content-encoding", "").strip().lower())
    if headers.get("content-type", "").startswith("multipart/form-data"):
        fields |= form_fields(headers["content-type"], body)
        body = b""
    try:
        sql = "\n".join(part for part in (fields.pop("query", ""), body.decode()) if part)
    except UnicodeDecodeError:
        raise QueryError(SYNTAX_ERROR, "The query is not UTF-8. (SYNTAX_ERROR)") from None
    if not fields.get("query_id", "").isprintable():
        raise QueryError(SYNTAX_ERROR, "The query_id has characters that cannot be printed. (SYNTAX_ERROR)")
    if len(sql) > MAX_QUERY_BYTES:
        raise too_large()
    return Request(
        query=Query(
            sql=sql,
            parameters={
                name.removeprefix("param_"): text for name, text in fields.items() if name.startswith("param_")
            },
            settings=fields,
            database=headers.get("x-clickhouse-database") or fields.get("database") or None,
            default_format=headers.get("x-clickhouse-format") or fields.get("default_format") or "TabSeparated",
        ),
        query_id=fields.get("query_id", ""),
        revision=_integer(fields.get("client_protocol_version", "")),
        encoder=_encoder(fields, headers),
    )


def too_large() -> QueryError:
    """The error of a query beyond the limit."""
    return QueryError(
        QUERY_IS_TOO_LARGE, f"The query is longer than {MAX_QUERY_BYTES} bytes, the maximum. (QUERY_IS_TOO_LARGE)"
    )


def _decoded(body: bytes | bytearray, encoding: str) -> bytes | bytearray:
    if not body or encoding in ("", "identity"):
        return body
    if encoding not in ("gzip", "deflate"):
        raise QueryError(
            UNKNOWN_COMPRESSION_METHOD, f"Content-Encoding {encoding} of a query is not supported; send it as it is."
        )
    inflate = zlib.decompressobj(wbits=47)
    try:
        plain = inflate.decompress(body, MAX_BODY_BYTES)
    except zlib.error:
        raise QueryError(SYNTAX_ERROR, f"The body is not {encoding}.") from None
    if inflate.unconsumed_tail:
        raise too_large()
    return plain


def form_fields(content_type: str, body: bytes | bytearray) -> dict[str, str]:
    """Fields of a multipart form: how clients send a statement whose parameters are too long for the URL. Raises QueryError."""
    head = email.message.Message()
    head["Content-Type"] = content_type
    parts = (b"\r\n" + body).split(b"\r\n--" + (head.get_boundary("")).encode("latin-1", "replace"), MAX_FIELDS + 2)[1:]
    if len(parts) > MAX_FIELDS + 1:
        raise _too_many_fields()
    fields = {}
    for part in parts:
        headers, _, content = part.partition(b"\r\n\r\n")
        if found := _FIELD_NAME.search(headers[:1024]):
            try:
                fields[(found[1] if found[1] is not None else found[2]).decode()] = content.decode()
            except UnicodeDecodeError:
                raise _not_utf8() from None
    return fields


def _not_utf8() -> QueryError:
    return QueryError(SYNTAX_ERROR, "The query, a setting or a parameter is not UTF-8. (SYNTAX_ERROR)")


def _too_many_fields() -> QueryError:
    return QueryError(
        QUERY_IS_TOO_LARGE, f"The request has more than {MAX_FIELDS} settings and parameters. (QUERY_IS_TOO_LARGE)"
    )


def _encoder(fields: Mapping[str, str], headers: Mapping[str, str]) -> Encoder:
    return choose(
        headers.get("accept-encoding", ""),
        http=_integer(fields.get("enable_http_compression", "")) > 0,
        blocks=_integer(fields.get("compress", "")) > 0,
    )


def _integer(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() else 0
