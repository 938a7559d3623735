"""Writes a result for programs: JSON (an array of objects) and CSV (RFC 4180). For people see `table`."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any, TextIO

from modelspan.queries.result import Result, moment


def write_json(result: Result, out: TextIO) -> int:
    """One object for each row; NaN and infinity, which JSON does not have, become null. Number of rows."""
    separator, count = "[\n", 0
    for row in result.rows:
        out.write(
            separator + json.dumps(dict(zip(result.columns, map(_jsonable, row), strict=True)), ensure_ascii=False)
        )
        separator, count = ",\n", count + 1
    out.write("\n]\n" if count else "[]\n")
    return count


def write_csv(result: Result, out: TextIO) -> int:
    """A line of names, then the rows; null is an empty field, lists and maps are JSON. Number of rows."""
    writer, count = csv.writer(out, lineterminator="\r\n"), 0
    if result.columns:
        writer.writerow(result.columns)
    for row in result.rows:
        writer.writerow([_field(value) for value in row])
        count += 1
    return count


def _jsonable(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, Mapping):
        return {str(key): _jsonable(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_jsonable(inner) for inner in value]
    if isinstance(value, datetime):
        return moment(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.decode(errors="backslashreplace")
    return str(value)


def _field(value: Any) -> Any:
    plain = _jsonable(value) if not isinstance(value, float) else value
    return json.dumps(plain, ensure_ascii=False) if isinstance(plain, (dict, list)) else plain
