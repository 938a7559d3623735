"""A result, row by row, in plain Python values; times keep all their digits."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

_STREAMED = ("SELECT", "WITH", "(")
_EPOCH = datetime(1970, 1, 1)
_PLACEHOLDER = re.compile(r"\{\s*(\w+)\s*:\s*([^}]+)\}")
_WRITTEN_AS_SQL = ("Array", "Map", "Tuple", "Nested")
_ESCAPES = {0: "\\0", 9: "\\t", 10: "\\n", 13: "\\r", 92: "\\\\"}

_HAS_FORMAT = """
WITH formatQuerySingleLineOrNull({statement:String}) AS parsed
SELECT isNotNull(parsed) AND isNull(formatQuerySingleLineOrNull(concat(parsed, ' FORMAT Null')))
"""

Reader = Callable[[Any], Any]


@dataclass(frozen=True)
class Result:
    """Names of the columns and the rows; the rows can be read once."""

    columns: tuple[str, ...]
    rows: Iterator[tuple[Any, ...]]


@contextmanager
def run(client: Any, sql: str, parameters: Mapping[str, str]) -> Iterator[Result]:
    """Run one statement; the rows arrive while they are read.

    `parameters` reach the engine beside the statement; one that the statement does not name is not sent.
    """
    statement, bound = bind(sql.strip().rstrip(";"), parameters)
    settings = {"parameters": bound, "query_formats": {"DateTime64": "int"}}
    if not statement.upper().startswith(_STREAMED):
        whole = client.query(statement, **settings)
        yield _result(client, statement, bound, whole.column_names, whole.column_types, iter([whole.result_rows]))
        return
    with client.query_row_block_stream(statement, **settings) as stream:
        names, types = stream.source.column_names, stream.source.column_types
        if not any(_is_dynamic(kind) for kind in types):
            yield _result(client, statement, bound, names, types, stream)
            return
    # In values of changing types a time could not be told from a number: there the driver reads it, to microseconds.
    with client.query_row_block_stream(statement, parameters=bound) as stream:
        yield Result(tuple(names), (tuple(row) for block in stream for row in block))


def bind(statement: str, parameters: Mapping[str, str]) -> tuple[str, dict[str, Any] | None]:
    """The statement and the parameters it names, in the form in which the driver hands them to the engine."""
    used = {name: kind for name, kind in _PLACEHOLDER.findall(statement) if name in parameters}
    if not used:
        return statement, None
    if not any(f"{{{name}:" in statement for name in used):
        # The driver, which knows no placeholder with blanks, would take the statement for one of Python's format strings.
        statement += f"\n/* {{{next(iter(used))}:String}} */"
    return statement, {name: _AsWritten(_escaped(parameters[name], kind)) for name, kind in used.items()}


def has_format(client: Any, statement: str) -> bool:
    """True if the statement has a FORMAT clause of its own, as the engine's parser sees it."""
    if "format" not in statement.lower():
        return False
    return bool(client.query(_HAS_FORMAT, parameters=bind(_HAS_FORMAT, {"statement": statement})[1]).result_rows[0][0])


class _AsWritten:
    """A value that the driver hands on without quotes or escapes of its own."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __str__(self) -> str:
        return self._text


def _escaped(text: str, kind: str) -> str:
    """The engine reads a value like a field of a TabSeparated file; lists, tuples and maps as they are written in SQL."""
    return text if kind.startswith(_WRITTEN_AS_SQL) else text.translate(_ESCAPES)


def _result(
    client: Any, statement: str, bound: dict[str, Any] | None, names: Any, types: Any, blocks: Iterator[Any]
) -> Result:
    if not names:  # the driver gives none where there are no rows
        head = client.raw_query(statement, parameters=bound, fmt="JSONCompactEachRowWithNames")
        names = json.loads(head.split(b"\n", 1)[0] or b"[]")
    readers = {index: reader for index, kind in enumerate(types) if (reader := _reader(kind))}
    return Result(tuple(names), (_plain(row, readers) for block in blocks for row in block))


def _plain(row: Any, readers: Mapping[int, Reader]) -> tuple[Any, ...]:
    if not readers:
        return tuple(row)
    return tuple(readers[index](value) if index in readers else value for index, value in enumerate(row))


def _is_dynamic(kind: Any) -> bool:
    return any(name in kind.name for name in ("Variant(", "Dynamic", "JSON", "Object("))


def _reader(kind: Any) -> Reader | None:
    """Return the converter of values of this type that writes times as text; None if the type holds no times."""
    base = kind.base_type
    if base == "DateTime64":
        scale = _scale(kind.name)
        return lambda ticks: instant(ticks, scale) if isinstance(ticks, int) else ticks
    if base in ("Array", "SimpleAggregateFunction"):
        of_element = _reader(kind.element_type)
        if of_element is None or base != "Array":
            return of_element
        return lambda values: [of_element(value) for value in values]
    if base == "Map":
        of_key, of_value = _reader(kind.key_type) or _same, _reader(kind.value_type) or _same
        return None if of_key is of_value is _same else _map_reader(of_key, of_value)
    if base == "Tuple":
        readers = [_reader(element) or _same for element in kind.element_types]
        return None if all(reader is _same for reader in readers) else _tuple_reader(readers)
    return None


def _map_reader(of_key: Reader, of_value: Reader) -> Reader:
    return lambda pairs: {of_key(key): of_value(value) for key, value in pairs.items()}


def _tuple_reader(readers: Sequence[Reader]) -> Reader:
    def read(values: Any) -> Any:
        if values is None:
            return None
        if isinstance(values, Mapping):
            return {name: reader(value) for reader, (name, value) in zip(readers, values.items(), strict=True)}
        return tuple(reader(value) for reader, value in zip(readers, values, strict=True))

    return read


def _same(value: Any) -> Any:
    return value


def _scale(kind: str) -> int:
    return int(kind[kind.index("DateTime64(") + 11])


def instant(ticks: int, scale: int) -> str:
    """Write a time, given in units of 10**-scale seconds, as ISO 8601 in UTC."""
    seconds, fraction = divmod(ticks, 10**scale)
    whole = (_EPOCH + timedelta(seconds=seconds)).isoformat()
    return f"{whole}.{fraction:0{scale}d}Z" if scale else f"{whole}Z"


def moment(value: datetime) -> str:
    """Write a time as ISO 8601 in UTC; one without a zone is taken to be UTC."""
    aware = value.replace(tzinfo=timezone.utc) if value.tzinfo is None else value.astimezone(timezone.utc)
    return aware.isoformat().removesuffix("+00:00") + "Z"
