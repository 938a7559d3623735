"""Read-only queries on the embedded engine: a fresh handle for each, limits set before `readonly=1` locks them.

A handle costs about a millisecond and is not used twice: whatever a query leaves behind in one (USE, parameters, and the
rows that a failed query had already produced) would come out in the next.
"""

from __future__ import annotations

import importlib
import os
import re
import secrets
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from modelspan.processor.clickhouse_http.errors import (
    SYNTAX_ERROR,
    TOO_MANY_ROWS_OR_BYTES,
    UNKNOWN_FORMAT,
    QueryError,
)
from modelspan.processor.clickhouse_http.guard import Guard, output_format

MAX_QUERY_BYTES = 1024 * 1024
"""Longest statement."""

# Formats in which the blocks of a result can be written one after the other; other formats have a head or a foot and are
# made in memory.
_BLOCKWISE = {
    "native", "tabseparated", "tsv", "tabseparatedraw", "tsvraw", "raw", "csv", "rowbinary", "tskv", "lineasstring",
    "jsoneachrow", "jsonlines", "jsonl", "ndjson", "jsoncompacteachrow", "jsonstringseachrow", "msgpack", "null",
    "arrowstream",
}  # fmt: skip
# Formats that take about as many bytes as the result has in memory, or fewer; text takes several times as many.
_COMPACT = {"arrow", "parquet", "orc", "avro", "npy", "rowbinarywithnames", "rowbinarywithnamesandtypes"}
_ARROW_END = b"\xff\xff\xff\xff\0\0\0\0"
_SLICE = 1024 * 1024
_SETTABLE = re.compile(
    r"output_format_(?!schema$)\w+|format_(csv|tsv)_\w+|date_time_output_format|session_timezone|join_use_nulls|extremes"
    r"|limit|offset|max_result_rows|result_overflow_mode|max_rows_to_read|max_bytes_to_read|max_block_size"
)


class EmbeddedStore(Protocol):
    """What is needed of the store: a client of the embedded engine for the calling thread, and the default database."""

    database: str

    def client(self) -> Any:
        """Return a `clickhouse_connect` client of interface chdb."""


@dataclass(frozen=True)
class Limits:
    """What one query may take."""

    seconds: int = 60
    memory_bytes: int = 192 * 1024**2
    result_bytes: int = 32 * 1024**2
    """Size of a result that is made in memory as text; four times as much in a compact format (Arrow, Parquet ...), and no
    limit in a format of blocks (Native, TSV, CSV, JSONEachRow, ArrowStream ...)."""

    def settings(self) -> dict[str, str]:
        """Settings of the engine for these limits."""
        return {
            "max_execution_time": str(self.seconds),
            "max_memory_usage": str(self.memory_bytes),
            "max_query_size": str(MAX_QUERY_BYTES),
            "result_overflow_mode": "throw",
            "allow_introspection_functions": "0",
        }


@dataclass(frozen=True)
class Query:
    """One request, in the engine's terms."""

    sql: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    database: str | None = None
    default_format: str = "TabSeparated"


class Format(NamedTuple):
    """An output format as the engine spells it, and its content type."""

    name: str
    content_type: str


class ReadOnlyEngine:
    """The way to the embedded engine for readers."""

    def __init__(self, store: EmbeddedStore, limits: Limits) -> None:
        """Open the store's engine, and keep it open until `close`."""
        # Loaded here: the embedded engine costs 200 MB and must not be loaded in a process that will fork.
        self._connect = importlib.import_module("chdb").connect
        self._path = os.path.realpath(store.client().path)
        self._database = store.database
        self._limits = limits
        self._admin = self._connect(self._path)
        self._admin_lock = threading.Lock()
        functions = self._column(
            "SELECT name FROM system.table_functions WHERE NOT allow_readonly AND name NOT IN (SELECT name FROM system.functions)"
        )
        self._guard = Guard(functions)
        names = self._column("SELECT name FROM system.formats WHERE is_output ORDER BY name")
        types = self._column("SELECT content_type FROM system.formats WHERE is_output ORDER BY name")
        self.formats = {name.lower(): Format(name, kind) for name, kind in zip(names, types, strict=True)}
        self.version, self.timezone, self.host = self._column("SELECT arrayJoin([version(), timezone(), hostName()])")

    def open(self, query: Query) -> Running:
        """Check the query and give it a handle, which the caller closes. Raises QueryError."""
        tag = secrets.token_hex(16)
        handle = self._connect(self._path)
        try:
            self._configure(handle, query, tag)
            statement = _parse(handle, query.sql)
            self._guard.check(statement)
            chosen = self._format(output_format(statement) or query.default_format)
            blockwise = chosen.name.lower() in _BLOCKWISE and statement.startswith(("SELECT", "WITH"))
            limit = 0 if blockwise else self._limits.result_bytes * (4 if chosen.name.lower() in _COMPACT else 1)
            _run(handle, f"SET max_result_bytes = {limit}, readonly = 1")
            return Running(handle, tag, query, statement, chosen, blockwise)
        except BaseException:
            handle.close()
            raise

    def kill(self, running: Running) -> None:
        """Stop a query that runs on another thread; there it ends with an error."""
        with self._admin_lock:
            _run(self._admin, f"KILL QUERY WHERE Settings['log_comment'] = '{running.tag}' ASYNC")

    def close(self) -> None:
        """Let go of the engine."""
        with self._admin_lock:
            self._admin.close()

    def _configure(self, handle: Any, query: Query, tag: str) -> None:
        settings = {key: value for key, value in query.settings.items() if _SETTABLE.fullmatch(key)}
        settings |= self._limits.settings() | {"log_comment": tag}
        _run(handle, f"USE {_quoted(query.database or self._database, '`')}")
        _run(handle, "SET " + ", ".join(f"{key} = {_quoted(value)}" for key, value in settings.items()))

    def _format(self, name: str) -> Format:
        try:
            return self.formats[name.lower()]
        except KeyError:
            raise QueryError(UNKNOWN_FORMAT, f"Unknown format {name}. (UNKNOWN_FORMAT)") from None

    def _column(self, sql: str) -> list[str]:
        return [line.decode() for line in _run(self._admin, sql, "TabSeparatedRaw").splitlines()]


class Running:
    """One query on a handle of its own. Not safe for use by two threads at once."""

    def __init__(self, handle: Any, tag: str, query: Query, statement: str, chosen: Format, blockwise: bool) -> None:
        self.tag = tag
        """Names the query to `ReadOnlyEngine.kill`."""
        self.statement = statement
        """As the engine's parser prints it."""
        self.format = chosen
        self.rows = 0
        """Rows of the result that `chunks` has yielded."""
        self._handle = handle
        self._query = query
        self._blockwise = blockwise

    def chunks(self) -> Iterator[bytes]:
        """Run it and yield the result in pieces. Raises QueryError, in the middle too."""
        try:
            yield from self._blocks() if self._blockwise else self._whole()
        except QueryError:
            raise
        except Exception as error:
            raise QueryError.of_engine(error) from None

    def close(self) -> None:
        """Give the handle up; a result that was not read to its end is abandoned."""
        self._handle.close()

    def _blocks(self) -> Iterator[bytes]:
        arrow = self.format.name == "ArrowStream"
        for block in self._handle.send_query(self._query.sql, self.format.name, params=dict(self._query.parameters)):
            yield _arrow_part(block.bytes(), first=self.rows == 0) if arrow else block.bytes()
            self.rows += block.rows_read()
        if arrow and self.rows:
            yield _ARROW_END

    def _whole(self) -> Iterator[bytes]:
        try:
            result = self._handle.query(self._query.sql, self.format.name, params=dict(self._query.parameters))
        except Exception as error:
            failed = QueryError.of_engine(error)
            hint = ". FORMAT Native, TSV, CSV, JSONEachRow and ArrowStream have no such limit."
            raise QueryError(failed.code, f"{failed}{hint if failed.code == TOO_MANY_ROWS_OR_BYTES else ''}") from None
        self.rows = result.rows_read()
        whole = memoryview(result.bytes())
        for start in range(0, len(whole), _SLICE):
            yield bytes(whole[start : start + _SLICE])


def escape(text: str) -> str:
    """Escape the value of a server-side parameter: it is read like a field of a TabSeparated file."""
    return text.translate({0: "\\0", 9: "\\t", 10: "\\n", 13: "\\r", 92: "\\\\"})


def _arrow_part(stream: bytes, *, first: bool) -> bytes:
    """Take the messages of a complete Arrow stream, without its end; the schema, its first message, only where `first`."""
    start = 0 if first else 8 + int.from_bytes(stream[4:8], "little")
    return stream[start : -len(_ARROW_END)]


def _parse(handle: Any, sql: str) -> str:
    if not sql.strip():
        raise QueryError(SYNTAX_ERROR, "Empty query. (SYNTAX_ERROR)")
    try:
        return _run(
            handle, "SELECT formatQuerySingleLine({statement:String})", "RawBLOB", {"statement": escape(sql)}
        ).decode(errors="backslashreplace")
    except QueryError as error:
        sentence, inner, _ = str(error).partition(": In scope SELECT formatQuerySingleLine(")
        raise QueryError(error.code, f"{sentence}. (SYNTAX_ERROR)" if inner else str(error)) from None


def _run(handle: Any, sql: str, form: str = "Null", parameters: Mapping[str, str] | None = None) -> bytes:
    try:
        return bytes(handle.query(sql, form, params=dict(parameters or {})).bytes() or b"")
    except Exception as error:
        raise QueryError.of_engine(error) from None


def _quoted(text: str, quote: str = "'") -> str:
    return quote + text.replace("\\", "\\\\").replace(quote, "\\" + quote) + quote
