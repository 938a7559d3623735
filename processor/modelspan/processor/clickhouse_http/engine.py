"""Read-only queries on the embedded engine: a fresh handle for each, limits set before `readonly=1` locks them.

A handle costs about a millisecond and is not used twice: whatever a query leaves behind in one (USE, parameters, and the
rows that a failed query had already produced) would come out in the next.
"""

from __future__ import annotations

import importlib
import os
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple, Protocol

from modelspan.processor.clickhouse_http.catalogue import Catalogue
from modelspan.processor.clickhouse_http.errors import (
    TOO_MANY_ROWS_OR_BYTES,
    UNKNOWN_FORMAT,
    QueryError,
)
from modelspan.processor.clickhouse_http.guard import Guard
from modelspan.processor.clickhouse_http.hello import without_host
from modelspan.processor.clickhouse_http.settings import Settings
from modelspan.processor.clickhouse_http.syntax import MAX_TREE_BYTES, Node, parse, quoted

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
_DATABASES = """
SELECT name FROM system.databases
WHERE engine IN ('Atomic', 'Memory', 'Ordinary', 'Replicated') AND name NOT IN ('default', 'system', 'information_schema', 'INFORMATION_SCHEMA')
"""
_ARROW_END = b"\xff\xff\xff\xff\0\0\0\0"
_SLICE = 1024 * 1024
_BLOCK_ROWS = 65409
# What the engine itself can keep from a query; `readonly` does the rest.
_FORBIDDEN = (
    "allow_ddl",
    "allow_introspection_functions",
    "allow_python_table_function",
    "allow_experimental_ai_functions",
    "allow_experimental_eval_table_function",
    "allow_get_client_http_header",
)


class EmbeddedStore(Protocol):
    """What is needed of the store: a client of the embedded engine for the calling thread, and the default database."""

    database: str

    def client(self) -> Any:
        """Return a `clickhouse_connect` client of interface chdb."""


@dataclass(frozen=True)
class Limits:
    """Limits of one query."""

    seconds: int = 60
    memory_bytes: int = 192 * 1024**2
    result_bytes: int = 32 * 1024**2
    """Size of a result that is made in memory as text; four times as much in a compact format (Arrow, Parquet ...), and no
    limit in a format of blocks (Native, TSV, CSV, JSONEachRow, ArrowStream ...)."""

    def most(self) -> dict[str, int]:
        """Settings that a request may lower, with the most that it may have."""
        return {
            "max_execution_time": self.seconds,
            "max_memory_usage": self.memory_bytes,
            "max_block_size": _BLOCK_ROWS,
            "max_threads": os.cpu_count() or 1,
        }

    def settings(self) -> dict[str, str]:
        """Settings of the engine for these limits."""
        return {
            "max_execution_time": str(self.seconds),
            "max_memory_usage": str(self.memory_bytes),
            # Syntax trees are read by the same parser.
            "max_query_size": str(MAX_TREE_BYTES),
            # A list of numbers that fits into a statement may be as long as it is.
            "max_ast_elements": str(MAX_QUERY_BYTES),
            "max_expanded_ast_elements": str(MAX_QUERY_BYTES),
            "result_overflow_mode": "throw",
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
        self._leave_out_files()
        self._databases = self._column(_DATABASES)
        self._catalogue = Catalogue.read(self._column)
        known = set(self._column("SELECT name FROM system.settings"))
        self._settings = Settings(known, limits.most())
        self._forbidden = {name: "0" for name in _FORBIDDEN if name in known}
        self.version, self.timezone = self._column("SELECT arrayJoin([version(), timezone()])")

    @property
    def seconds(self) -> float:
        """Limits of one query."""
        return self._limits.seconds

    def open(self, query: Query, tag: str) -> Running:
        """Check the query and give it a handle, which the caller closes; `tag` names it to `kill`. Raises QueryError."""
        try:
            handle = self._connect(self._path)
        except Exception as error:
            raise QueryError.of_engine(error) from None
        try:
            guard = self._rules(handle, query, tag)
            ask = partial(_ask, handle)
            statement = parse(ask, without_host(query.sql), query.parameters)
            guard.check(statement)

            def check(sql: str) -> Node:
                tree = parse(ask, sql, {}).tree
                guard.check_tree(tree)
                return tree

            settings = self._settings.choose(query.settings, statement.tree, check)
            chosen = self._format(statement.format or query.default_format)
            blockwise = chosen.name.lower() in _BLOCKWISE and statement.text.startswith(("SELECT", "WITH"))
            limit = 0 if blockwise else self._limits.result_bytes * (4 if chosen.name.lower() in _COMPACT else 1)
            _set(handle, settings | {"max_result_bytes": str(limit), "readonly": "1"})
            seconds = float(settings.get("max_execution_time", self._limits.seconds))
            return Running(handle, tag, query.parameters, statement.text, chosen, blockwise, seconds)
        except BaseException:
            handle.close()
            raise

    def kill(self, tag: str) -> None:
        """Stop a query that runs on another thread; there it ends with an error, at its next block."""
        with self._admin_lock:
            _run(self._admin, f"KILL QUERY WHERE Settings['log_comment'] = '{tag}' ASYNC")

    def close(self) -> None:
        """Let go of the engine."""
        with self._admin_lock:
            self._admin.close()

    def _leave_out_files(self) -> None:
        """The engine's database `default` finds files by their path as tables; in its place, one that is only empty."""
        engine = self._column("SELECT engine FROM system.databases WHERE name = 'default'")
        if engine == ["Overlay"] and self._column("SELECT count() FROM system.tables WHERE database = 'default'") == [
            "0"
        ]:
            _run(self._admin, "DROP DATABASE default")
            _run(self._admin, "CREATE DATABASE default ENGINE = Memory")

    def _rules(self, handle: Any, query: Query, tag: str) -> Guard:
        """Set limits and the database, and return the rules there. The name `default` means the database of the store."""
        named = query.database or "default"
        guard = Guard(
            self._catalogue, self._database if named == "default" else named, self._databases, query.parameters
        )
        _run(handle, f"USE {quoted(guard.database, '`')}")
        guard.check_database(guard.database)
        settings = self._limits.settings() | self._forbidden | {"log_comment": tag}
        _set(handle, {name: quoted(value) for name, value in settings.items()})
        return guard

    def _format(self, name: str) -> Format:
        try:
            return Format(*self._catalogue.formats[name.lower()])
        except KeyError:
            raise QueryError(
                UNKNOWN_FORMAT, f"Unknown format {name}, or one that needs a schema or a template. (UNKNOWN_FORMAT)"
            ) from None

    def _column(self, sql: str) -> list[str]:
        return [line.decode() for line in _run(self._admin, sql, "TabSeparatedRaw").splitlines()]


class Running:
    """One query on a handle of its own. Not safe for use by two threads at once."""

    def __init__(
        self,
        handle: Any,
        tag: str,
        parameters: Mapping[str, str],
        statement: str,
        chosen: Format,
        blockwise: bool,
        seconds: float,
    ) -> None:
        self.tag = tag
        """Names the query to `ReadOnlyEngine.kill`."""
        self.statement = statement
        """SQL that runs: the query as the engine's parser prints it."""
        self.format = chosen
        self.rows = 0
        """Rows of the result that `chunks` has yielded."""
        self.blockwise = blockwise
        """True if the result is streamed in blocks; else all of it is made in memory first."""
        self.seconds = seconds
        """Its limits."""
        self._handle = handle
        # As bytes: it may wait, and one letter from afar makes a text four times as large.
        self._parameters = {name: text.encode() for name, text in parameters.items()}

    def chunks(self) -> Iterator[bytes]:
        """Run it and yield the result in pieces. Raises QueryError, in the middle too."""
        try:
            yield from self._blocks() if self.blockwise else self._whole()
        except QueryError:
            raise
        except Exception as error:
            raise QueryError.of_engine(error) from None

    def close(self) -> None:
        """Give the handle up; a result that was not read to its end is abandoned."""
        self._handle.close()

    def _taken_parameters(self) -> dict[str, str]:
        taken, self._parameters = self._parameters, {}
        return {name: text.decode() for name, text in taken.items()}

    def _blocks(self) -> Iterator[bytes]:
        arrow = self.format.name == "ArrowStream"
        for block in self._handle.send_query(self.statement, self.format.name, params=self._taken_parameters()):
            yield _arrow_part(block.bytes(), first=self.rows == 0) if arrow else block.bytes()
            self.rows += block.rows_read()
        if arrow and self.rows:
            yield _ARROW_END

    def _whole(self) -> Iterator[bytes]:
        try:
            result = self._handle.query(self.statement, self.format.name, params=self._taken_parameters())
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


def _ask(handle: Any, sql: str, **parameters: str) -> bytes:
    return _run(handle, sql, "RawBLOB", {name: escape(value) for name, value in parameters.items()})


def _set(handle: Any, settings: Mapping[str, str]) -> None:
    _run(handle, "SET " + ", ".join(f"{name} = {value}" for name, value in settings.items()))


def _run(handle: Any, sql: str, form: str = "Null", parameters: Mapping[str, str] | None = None) -> bytes:
    try:
        return bytes(handle.query(sql, form, params=dict(parameters or {})).bytes() or b"")
    except Exception as error:
        raise QueryError.of_engine(error) from None
