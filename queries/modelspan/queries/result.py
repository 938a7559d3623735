"""A result, row by row, in plain Python values; times keep all their digits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

_STREAMED = ("SELECT", "WITH", "(")
_EPOCH = datetime(1970, 1, 1)


@dataclass(frozen=True)
class Result:
    """Names of the columns and the rows; the rows can be read once. Both are empty where nothing was found."""

    columns: tuple[str, ...]
    rows: Iterator[tuple[Any, ...]]


@contextmanager
def run(client: Any, sql: str, parameters: Mapping[str, str]) -> Iterator[Result]:
    """Run one statement; the rows arrive while they are read."""
    settings = {"parameters": dict(parameters) or None, "query_formats": {"DateTime64": "int"}}
    statement = sql.strip().rstrip(";")
    if not statement.upper().startswith(_STREAMED):
        whole = client.query(statement, **settings)
        yield _result(whole.column_names, whole.column_types, iter([whole.result_rows]))
        return
    with client.query_row_block_stream(statement, **settings) as stream:
        yield _result(stream.source.column_names, stream.source.column_types, stream)


def _result(names: Any, types: Any, blocks: Iterator[Any]) -> Result:
    scales = {
        index: _scale(kind.name)
        for index, kind in enumerate(types)
        if kind.base_type == "DateTime64" and "(" in kind.name
    }
    return Result(tuple(names), (_plain(row, scales) for block in blocks for row in block))


def _plain(row: Any, scales: Mapping[int, int]) -> tuple[Any, ...]:
    if not scales:
        return tuple(row)
    return tuple(
        instant(value, scales[index]) if index in scales and isinstance(value, int) else value
        for index, value in enumerate(row)
    )


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
