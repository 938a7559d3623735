"""A statement as the engine's own parser sees it: text in its spelling, and the syntax tree of that text.

What is checked is what runs. The engine prints the statement anew, and that text, which has no comments and one spelling for
everything, is both parsed into the tree and run. The tree counts only where the engine prints the same text from it, so
nothing in the text is missing from the tree.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from modelspan.processor.clickhouse_http.errors import READONLY, SYNTAX_ERROR, QueryError

Node = dict[str, Any]

MAX_TREE_BYTES = 4 * 1024**2
"""Largest syntax tree, as JSON, that is read; a list of 100,000 numbers is one of 4 MB."""

# Statements about a table or a database, of which the engine gives no tree: each is checked as the statement that reads it.
_STAND_INS = {
    "DESCRIBE TABLE ": "SELECT * FROM ",
    "EXISTS TABLE ": "SELECT * FROM ",
    "EXISTS VIEW ": "SELECT * FROM ",
    "SHOW CREATE TABLE ": "SELECT * FROM ",
    "SHOW CREATE VIEW ": "SELECT * FROM ",
    "EXISTS DATABASE ": "SHOW TABLES FROM ",
    "SHOW CREATE DATABASE ": "SHOW TABLES FROM ",
    "SHOW FUNCTIONS": "SHOW DATABASES",
    "SHOW ENGINES": "SHOW DATABASES",
}
_PRINTED = "SELECT formatQuerySingleLine({statement:String})"
# The text, its tree, and the text printed from the tree: none of them contains the separator.
_PARSED = """
WITH formatQuerySingleLine({statement:String}) AS text, parseQueryToJSON(text) AS tree
SELECT concat(text, '\\0', if(length(tree) > {longest:UInt64}, '', tree), '\\0', formatQueryFromJSON(tree))
"""
# The tree does not keep parentheses that change nothing, and is printed in lines.
_SPACE = b"() \n\t"
_IDENTIFIER = re.compile(r"""'(?:[^'\\]|\\.)*'|`(?:[^`\\]|\\.)*`|"(?:[^"\\]|\\.)*"|\{(\w+):Identifier\}""", re.DOTALL)


READS = "SELECT, SHOW, DESCRIBE, EXISTS, EXPLAIN and USE"
# Incomplete, the engine takes them for columns: DELETE FROM t is to it SELECT DELETE FROM t.
_CHANGES = re.compile(
    r"\s*(delete|update|insert|merge|replace|commit|rollback|vacuum|call|copy)(?:\s+[\w`\"]|\s*;?\s*$)", re.IGNORECASE
)


class Ask(Protocol):
    """Asks the engine, with parameters, for one value. Raises QueryError."""

    def __call__(self, sql: str, **parameters: str) -> bytes:
        """Return the value."""


@dataclass(frozen=True)
class Statement:
    """A statement; `tree` is that of its stand-in where the engine has none of its own."""

    text: str
    tree: Node

    @property
    def format(self) -> str | None:
        """The output format that it asks for."""
        found = self.tree.get("format_ast", {}).get("name")
        return str(found) if found else None


def parse(ask: Ask, sql: str, parameters: Mapping[str, str]) -> Statement:
    """Parse one statement; identifiers that are parameters become part of it. Raises QueryError."""
    if not sql.strip():
        raise QueryError(SYNTAX_ERROR, "Empty query. (SYNTAX_ERROR)")
    if changes := _CHANGES.match(sql):
        raise refused(f"{changes[1].upper()} changes something; only {READS} can be run")
    parsed = _parsed(ask, sql)
    text = _printed(ask, sql) if parsed is None else parsed.text
    named = _IDENTIFIER.sub(lambda found: _identifier(found, parameters), text)
    if named != text:
        parsed = _parsed(ask, named)
    return _stand_in(ask, named) if parsed is None else parsed


def nodes(tree: Node) -> Iterator[Node]:
    """All nodes of a syntax tree; what is in literals is no node."""
    pending: list[Any] = [tree]
    while pending:
        item = pending.pop()
        if isinstance(item, list):
            pending += item
        elif isinstance(item, dict):
            yield item
            if item.get("type") != "Literal":
                pending += [value for value in item.values() if isinstance(value, dict | list)]


def refused(reason: str) -> QueryError:
    """The error of a statement that readers may not run."""
    return QueryError(READONLY, f"Cannot execute query in readonly mode: {reason}. (READONLY)")


def quoted(text: str, quote: str = "'") -> str:
    """A literal, or with another quote an identifier, of ClickHouse's SQL."""
    return quote + text.replace("\\", "\\\\").replace(quote, "\\" + quote) + quote


def _printed(ask: Ask, sql: str) -> str:
    try:
        return _decoded(ask(_PRINTED, statement=sql))
    except QueryError as error:
        sentence, inner, _ = str(error).partition(f": In scope {_PRINTED.partition('{')[0]}")
        raise QueryError(error.code, f"{sentence}. (SYNTAX_ERROR)" if inner else str(error)) from None


def _parsed(ask: Ask, sql: str) -> Statement | None:
    """The statement with its tree; None where it has an error or a kind of which the engine gives no tree."""
    try:
        answer = ask(_PARSED, statement=sql, longest=str(MAX_TREE_BYTES))
    except QueryError:
        return None
    text, tree, again, *more = answer.split(b"\0")
    if not tree:
        raise refused(f"the statement is too large to be checked: its syntax tree has more than {MAX_TREE_BYTES} bytes")
    if more or text.translate(None, _SPACE) != again.translate(None, _SPACE):
        raise refused("the engine gives no complete syntax tree of the statement, so it cannot be checked")
    try:
        return Statement(_decoded(text), json.loads(tree.decode(errors="replace")))
    except RecursionError:
        raise refused("the statement is nested too deeply to be checked") from None


def _stand_in(ask: Ask, text: str) -> Statement:
    prefix = next((start for start in _STAND_INS if text.startswith(start)), None)
    parsed = None if prefix is None else _parsed(ask, _STAND_INS[prefix] + text.removeprefix(prefix))
    if parsed is None and text.startswith(("SELECT", "WITH")):
        raise refused("the statement is nested too deeply, or has too many parts, to be checked")
    if parsed is None:
        raise refused(f"{' '.join(text.split()[:2])[:100]} is not a statement that readers may run")
    return Statement(text, parsed.tree)


def _decoded(text: bytes) -> str:
    # Bytes that are not UTF-8 can only be inside quotes, where the escape means the same.
    return text.decode(errors="backslashreplace")


def _identifier(found: re.Match[str], parameters: Mapping[str, str]) -> str:
    return quoted(parameters[found[1]], "`") if found[1] in parameters else found[0]
