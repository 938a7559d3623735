"""The embedded engine: one ClickHouse in this process, kept small."""

from __future__ import annotations

import secrets
import threading
import time
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import pyarrow as pa

# The engine's defaults are for a server with many cores: its caches alone may take gigabytes. The background pool has two
# threads, which keep up with the inserts of two cores; the last three settings of merge_tree must stay below its size. Small
# parts are one file for all columns: making and deleting sixty costs more than writing them. Write buffers grow as needed;
# otherwise two merges take 200 MB for them.
_CONFIG = """<clickhouse>
    <max_server_memory_usage>{memory}</max_server_memory_usage>
    <mark_cache_size>33554432</mark_cache_size>
    <index_mark_cache_size>8388608</index_mark_cache_size>
    <primary_index_cache_size>33554432</primary_index_cache_size>
    <uncompressed_cache_size>0</uncompressed_cache_size>
    <mmap_cache_size>0</mmap_cache_size>
    <background_pool_size>2</background_pool_size>
    <background_merges_mutations_concurrency_ratio>2</background_merges_mutations_concurrency_ratio>
    <background_schedule_pool_size>4</background_schedule_pool_size>
    <background_common_pool_size>2</background_common_pool_size>
    <background_fetches_pool_size>1</background_fetches_pool_size>
    <background_move_pool_size>1</background_move_pool_size>
    <merge_tree>
        <min_bytes_for_wide_part>67108864</min_bytes_for_wide_part>
        <min_columns_to_activate_adaptive_write_buffer>1</min_columns_to_activate_adaptive_write_buffer>
        <number_of_free_entries_in_pool_to_execute_mutation>1</number_of_free_entries_in_pool_to_execute_mutation>
        <number_of_free_entries_in_pool_to_lower_max_size_of_merge>1</number_of_free_entries_in_pool_to_lower_max_size_of_merge>
        <number_of_free_entries_in_pool_to_execute_optimize_entire_partition>1</number_of_free_entries_in_pool_to_execute_optimize_entire_partition>
    </merge_tree>
</clickhouse>
"""


_RELEASE_SECONDS: Final = 1.0
_RUN = secrets.token_hex(8)
"""Tells the files of this process from those of others, also where process numbers repeat, as in containers."""


class EmbeddedEngine:
    """Where the engine lives, and how one connects to it and hands it rows.

    Rows reach the engine as files in a directory of their own. A process that was killed during an insert leaves its file
    behind, and it holds predictions: `sweep` removes such.
    """

    def __init__(self, url: str, *, memory: int) -> None:
        """`url`: `chdb:///absolute/path`. `memory`: bytes that the engine may take, by its own account."""
        self.path = Path(unquote(urlsplit(url).path)).absolute()
        self._work = self.path.with_name(self.path.name + "-work")
        self._config = self._work / "engine.xml"
        self._release_at = 0.0
        self._work.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._config.write_text(_CONFIG.format(memory=memory))

    def sweep(self) -> None:
        """Remove what earlier processes left. Only with a connection: then no other process has one."""
        for file in self._work.glob("*.arrow"):
            if not file.name.startswith(_RUN):
                file.unlink(missing_ok=True)

    def connection_arguments(self) -> dict[str, Any]:
        """Keyword arguments of `clickhouse_connect.get_client`."""
        return {"interface": "chdb", "path": str(self.path), "chdb_options": {"config-file": str(self._config)}}

    def insert(self, client: Any, table: str, rows: pa.Table, settings: dict[str, str]) -> None:
        """Insert through a file, written once and straight from the columns."""
        file = self._work / f"{_RUN}-{threading.get_ident()}.arrow"
        columns = ", ".join(f"`{name}`" for name in rows.schema.names)
        clause = ", ".join(f"{name} = {quoted(value)}" for name, value in settings.items())
        try:
            with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_file(sink, rows.schema) as writer:
                writer.write_table(rows)
            client.command(
                f"INSERT INTO {table} ({columns}) FROM INFILE {quoted(str(file))} SETTINGS {clause} FORMAT Arrow"
            )
        finally:
            file.unlink(missing_ok=True)
        self._release_memory(client)

    def _release_memory(self, client: Any) -> None:
        """Give pages back to the system that the engine has freed: by itself it keeps 150 MB of them under a steady load."""
        if time.monotonic() >= self._release_at:
            self._release_at = time.monotonic() + _RELEASE_SECONDS
            client.command("SYSTEM JEMALLOC PURGE")


def quoted(text: str) -> str:
    """A string literal of ClickHouse's SQL."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
