"""Which statements a reader may run.

The engine is told `readonly=1` as well, but as an embedded engine it trusts the process it runs in: read-only, it still
writes files (INTO OUTFILE), reads them (the function `file`, DESCRIBE of a table function), opens connections, kills other
queries and evaluates text as SQL. The rules look at the statement as the engine's own parser prints it, where comments are
gone, keywords are upper case and only unusual names are quoted, so they see what will run.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from modelspan.processor.clickhouse_http.errors import READONLY, QueryError

_READING = {"SELECT", "WITH", "SHOW", "DESCRIBE", "EXISTS", "EXPLAIN", "USE"}
_QUOTED = re.compile(r"""'(?:[^'\\]|\\.)*'|`(?:[^`\\]|\\.)*`|"(?:[^"\\]|\\.)*\"""", re.DOTALL)
_CALL = re.compile(r"([A-Za-z_]\w*)\(")
_FORMAT = re.compile(r"\bFORMAT (\w+)(?: SETTINGS .*)?$", re.DOTALL)
# They read files, objects of this process, and text as SQL; those of large language models call servers.
_ALWAYS_FORBIDDEN = {"file", "python", "eval"}
_LANGUAGE_MODEL = re.compile(r"ai[A-Z]|AI[A-Z]")


class Guard:
    """The rules; `forbidden` are the table functions that the engine itself keeps from readers."""

    def __init__(self, forbidden: Iterable[str]) -> None:
        self._forbidden = {name.lower() for name in forbidden} | _ALWAYS_FORBIDDEN

    def check(self, statement: str) -> None:
        """Raise QueryError (164, READONLY) unless `statement`, as the engine's parser prints it, only reads the store."""
        bare = _QUOTED.sub("''", statement)
        keyword = re.match(r"\(*(\w*)", bare)
        if keyword is None or keyword[1] not in _READING:
            raise _refused("only SELECT, SHOW, DESCRIBE, EXISTS and EXPLAIN can be run")
        if " INTO OUTFILE " in bare:
            raise _refused("INTO OUTFILE would write a file; use FORMAT and save the answer")
        if re.match(r"DESCRIBE TABLE [^\s(]+\(", bare):
            raise _refused("DESCRIBE of a table function could read from outside of the store")
        for name in _CALL.findall(bare):
            if name.lower() in self._forbidden or _LANGUAGE_MODEL.match(name):
                raise _refused(f"the function {name} could reach outside of the store")


def output_format(statement: str) -> str | None:
    """Return the format that the statement, as the engine's parser prints it, asks for."""
    found = _FORMAT.search(_QUOTED.sub("''", statement))
    return found[1] if found else None


def _refused(reason: str) -> QueryError:
    return QueryError(READONLY, f"Cannot execute query in readonly mode: {reason}. (READONLY)")
