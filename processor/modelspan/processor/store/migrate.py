"""Numbered, forward-only migrations: every file in `migrations/` is applied once, in order.

Each statement can be repeated without harm, so a process that is killed half-way, or a second one that starts at the same
time, does no damage.
"""

from __future__ import annotations

import re
from importlib import resources
from typing import Any, NamedTuple

from modelspan.processor.store.errors import StoreTooNew

_LEDGER = """CREATE TABLE IF NOT EXISTS modelspan_migrations
(version UInt32, name String, applied_at DateTime DEFAULT now())
ENGINE = ReplacingMergeTree ORDER BY version"""


class Migration(NamedTuple):
    """One numbered file."""

    version: int
    name: str
    statements: tuple[str, ...]


def migrations() -> list[Migration]:
    """All migrations that this version knows, in order."""
    folder = resources.files("modelspan.processor.store") / "migrations"
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".sql")), key=lambda f: f.name)
    return [_read(f.name, f.read_text(encoding="utf-8")) for f in files]


def _read(name: str, text: str) -> Migration:
    statements = (part.strip() for part in re.split(r";[ \t]*$", text, flags=re.MULTILINE))
    return Migration(int(name.split("_", 1)[0]), name.removesuffix(".sql"), tuple(s for s in statements if s))


def apply(client: Any) -> list[str]:
    """Bring the client's database to this version; names of what was applied.

    Raises `StoreTooNew` when the database is ahead of this version.
    """
    client.command(_LEDGER)
    rows = client.query("SELECT DISTINCT version, name FROM modelspan_migrations").result_rows
    done = {version for version, _ in rows}
    known = migrations()
    _refuse_newer(rows, known)
    applied = []
    for migration in known:
        if migration.version not in done:
            for statement in migration.statements:
                client.command(statement)
            client.insert(
                "modelspan_migrations", [[migration.version, migration.name]], column_names=["version", "name"]
            )
            applied.append(migration.name)
    return applied


def _refuse_newer(rows: list[tuple[int, str]], known: list[Migration]) -> None:
    newest = known[-1]
    ahead = sorted((version, name) for version, name in rows if version > newest.version)
    if ahead:
        raise StoreTooNew(
            f"the store has migration {ahead[-1][1]!r}, this version of modelspan knows them up to {newest.name!r}: "
            "upgrade modelspan, or use another database"
        )
