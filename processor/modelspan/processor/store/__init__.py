"""ClickHouse, embedded in this process or a server by URL: migrations, and inserts that can be repeated."""

from __future__ import annotations

import contextlib
import logging
import re
import threading
import weakref
from collections.abc import Iterator
from typing import Any, Final

import pyarrow as pa

from modelspan.processor.store.embedded import EmbeddedEngine
from modelspan.processor.store.errors import (
    StoreError,
    StoreRefused,
    StoreRejected,
    StoreStrained,
    StoreTooNew,
    StoreUnavailable,
    of_insert,
    of_query,
)
from modelspan.processor.store.fresh import FreshClient
from modelspan.processor.store.migrate import apply
from modelspan.processor.store.running import Operation, Running

__all__ = [
    "MAX_ROWS",
    "Operation",
    "Store",
    "StoreError",
    "StoreRefused",
    "StoreRejected",
    "StoreStrained",
    "StoreTooNew",
    "StoreUnavailable",
]

MAX_ROWS: Final = 1_000_000
"""Rows of one insert. Above, the engine would cut it into several parts, and a crash could leave some of them."""

MEMORY: Final = 430 * 1024**2
"""Bytes for the embedded engine."""

# Tokens mean nothing to an insert that waits in the server's queue, hence async_insert=0. An insert is one block for each
# partition: what is stored of it after a crash is then known by its token.
_CLIENT_SETTINGS: Final = {
    "async_insert": "0",
    "insert_deduplicate": "1",
    "max_partitions_per_insert_block": "0",
    "min_insert_block_size_rows": "1048449",
    "min_insert_block_size_bytes": "0",
    "max_query_size": "16777216",
}


class Store:
    """A database of ClickHouse. Safe to share between threads: each gets a client of its own."""

    def __init__(self, url: str, *, database: str, memory: int = MEMORY) -> None:
        """Connect nothing yet. `memory` is the limit of the embedded engine in bytes.

        Raises `ValueError` for a URL or a database name that cannot be one.
        """
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", database):
            raise ValueError(f"database name {database!r} must be letters, digits and underscores")
        if not re.match(r"chdb:///.|https?://[^/]", url):
            raise ValueError("store URL must be chdb:///absolute/path or http(s)://user:password@host:port")
        self.database = database
        self._url = url
        self._embedded = EmbeddedEngine(url, memory=memory) if url.startswith("chdb:") else None
        self._of_thread = threading.local()
        self._clients: weakref.WeakSet[Any] = weakref.WeakSet()
        self._lock = threading.Lock()
        self.running = Running()
        """Statements of the service itself that the store has not answered yet."""
        self._closed = False
        # The driver logs a traceback for every failed insert; the pipeline reports each once, in a sentence.
        logging.getLogger("clickhouse_connect").setLevel(logging.CRITICAL)

    @classmethod
    def open(cls, url: str, *, database: str = "modelspan", memory: int = MEMORY) -> Store:
        """Connect, create the database if needed and migrate it.

        Raises `StoreUnavailable` when there is no answer, `StoreRefused` when it is an error, `StoreTooNew` when a newer version has used it.
        """
        store = cls(url, database=database, memory=memory)
        store.migrate()
        return store

    @property
    def embedded(self) -> bool:
        """Whether the engine runs in this process."""
        return self._embedded is not None

    def client(self) -> Any:
        """The `clickhouse_connect` client of this thread, on the store's database. Raises `StoreUnavailable`.

        That of the embedded engine may be used again after an error, but must not stream.
        """
        client = getattr(self._of_thread, "client", None)
        if client is None:
            client = self._of_thread.client = FreshClient(self._connect) if self.embedded else self._connect()
        return client

    def migrate(self) -> list[str]:
        """Bring the database to this version; names of the migrations applied. Raises as `open`."""
        try:
            first = self._connect("default")
            first.command(f"CREATE DATABASE IF NOT EXISTS {self.database}")
            first.close()
            if self._embedded is not None:
                self._embedded.sweep()
            return apply(self.client())
        except StoreError:
            raise
        except Exception as error:
            raise of_query(error, "could not migrate the store") from error

    def insert(self, table: str, rows: pa.Table, token: str) -> None:
        """Insert `rows`, at most `MAX_ROWS`, unless the same token has been inserted into this table before.

        Raises `StoreUnavailable` (try again, with the same token), of that kind `StoreStrained` (or try fewer rows), or `StoreRejected`
        (these rows will never be accepted).
        """
        if rows.num_rows > MAX_ROWS:
            raise ValueError(f"insert of {rows.num_rows} rows into {table}: at most {MAX_ROWS} are atomic")
        settings = {"insert_deduplication_token": f"{token}:{table}"}
        client = self.client()
        try:
            # One record batch: the engine makes its own token of the one given and the number of batches.
            rows = rows.combine_chunks()
            with self.running(f"insert into {table}"):
                if self._embedded is not None:
                    self._embedded.insert(client, table, rows, {**_CLIENT_SETTINGS, **settings})
                else:
                    client.insert_arrow(table, rows, settings=settings)
        except Exception as error:
            self._forget_client()
            raise of_insert(error, f"insert into {table}") from error

    def check(self, table: str) -> None:
        """Return when the table takes inserts. Raises `StoreUnavailable`."""
        with self._asking(f"insert of no rows into {table}"):
            self.client().command(f"INSERT INTO {table} SELECT * FROM {table} LIMIT 0")

    def query(self, query: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
        """Rows of a SELECT. Raises `StoreUnavailable`."""
        with self._asking("query of the store"):
            return list(self.client().query(query, parameters=parameters).result_rows)

    @contextlib.contextmanager
    def _asking(self, action: str) -> Iterator[None]:
        try:
            with self.running(action):
                yield
        except Exception as error:
            self._forget_client()
            raise of_query(error, action) from error

    def close(self) -> None:
        """Close the clients of all threads, for good. An embedded engine shuts down with the last of them."""
        with self._lock:
            self._closed = True
            clients, self._clients = list(self._clients), weakref.WeakSet()
        for client in clients:
            client.close()
        self._of_thread = threading.local()

    def _connect(self, database: str | None = None) -> Any:
        # Imported here: the embedded engine costs 200 MB and must not be loaded in a process that will fork.
        import clickhouse_connect

        # Told the URL alone, the driver speaks TLS to the ports 443 and 8443 only.
        server = {"dsn": self._url, "interface": self._url.partition(":")[0]}
        engine = server if self._embedded is None else self._embedded.connection_arguments()
        try:
            client = clickhouse_connect.get_client(
                **engine, database=database or self.database, settings=_CLIENT_SETTINGS
            )
        except Exception as error:
            shown = re.sub(r"//.*@", "//", self._url)
            raise of_query(error, f"could not connect to {shown}") from error
        with self._lock:
            if not self._closed:
                self._clients.add(client)
                return client
        client.close()
        raise StoreUnavailable("the store is closed")

    def _forget_client(self) -> None:
        if self._embedded is None:
            self._of_thread.client = None
