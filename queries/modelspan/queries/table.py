"""Writes a result for people, as wide as the terminal. Without one, in a pipe or a file, everything is written.

Numbers stand right. Columns that are empty in every row are named below. Where the terminal is too narrow, so are columns that
are the same in every row; then the column with the longest sentences gets several lines, and other texts are cut, marked with an
ellipsis. The last columns are left out, before sentences get too narrow to be read. One wide row is written as a list.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import islice, zip_longest
from typing import Any, TextIO

from modelspan.queries.result import Result, moment
from modelspan.queries.terminal import one_line

_GAP = "  "
_NARROWEST = 16
_READABLE = 64
_MOST_LINES = 12
_TIME_OR_WORD = re.compile(r"\S{0,40}|[\d-]{10} [\d:.]{8,}")
_TIME = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.(\d+))?Z")


def write_table(result: Result, out: TextIO, *, width: int | None, limit: int) -> int:
    """Write at most `limit` rows (0: all) in `width` columns of characters (None: as many as it takes); number of rows."""
    rows = list(islice(result.rows, limit + 1 if limit else None))
    more = bool(limit) and len(rows) > limit
    rows = rows[:limit] if more else rows
    columns = [_Column(name, [row[index] for row in rows]) for index, name in enumerate(result.columns)]
    if width is not None and not rows:
        columns = []  # their names help programs; people see at once that there is nothing
    notes = [] if width is None else _fitted(columns, out, width, is_one=len(rows) == 1)
    if width is None:
        _write_grid(columns, out)
    rows_note = f"{len(rows)} row{'' if len(rows) == 1 else 's'}"
    if more:
        rows_note = f"the first {limit} rows, there are more (see --limit)"
    out.write("".join(f"{line}\n" for line in [f"({rows_note})", *notes]))
    return len(rows)


def _fitted(columns: list[_Column], out: TextIO, width: int, *, is_one: bool) -> list[str]:
    """Write what fits into `width`; notes on the rest."""
    shown = [column for column in columns if not column.is_empty]
    notes = _note("empty", [column.name for column in columns if column.is_empty])
    if is_one and sum(column.width + len(_GAP) for column in shown) > width:
        _write_list(shown, out, width)
        return notes
    if _excess(shown, width) > 0:
        constant = [column for column in shown if column.is_constant]
        shown = [column for column in shown if not column.is_constant]
        notes += _note("the same in every row", [f"{column.name} = {column.cells[0]}" for column in constant])
    shown, left_out = _fit(shown, width)
    notes += _note("too narrow for these, add --format csv or | less -S", left_out)
    _write_grid(shown, out)
    return notes


class _Column:
    """A column as text; `room` is how wide it may be, `head` its name in as many lines as needed."""

    def __init__(self, name: str, values: Sequence[Any]) -> None:
        values = [moment(value) if isinstance(value, datetime) else value for value in values]
        self.name = name = one_line(name)
        self.is_empty = bool(values) and all(value is None or value in ("", [], {}) for value in values)
        self.is_number = all(isinstance(value, (int, float)) or value is None for value in values)
        self.cells = _short_times([_text(value) for value in values])
        # Half an identifier is of no use; prose is cut instead.
        self.is_fixed = self.is_number or all(_TIME_OR_WORD.fullmatch(cell) for cell in self.cells)
        self.is_constant = len(values) > 1 and len(set(self.cells)) == 1
        self.set_head([name])

        self.is_wrapped = False

    def set_head(self, head: list[str]) -> None:
        self.head = head
        self.width = max(_wide(text) for text in [*head, *self.cells])
        self.room = self.width

    def floor(self, least: int) -> int:
        """How narrow it can get: its name stays whole."""
        return min(self.width, max(least, *map(_wide, self.head)))

    def lines(self, text: str) -> list[str]:
        """A cell as wide as the column, in one line or several."""
        lines = _wrapped(text, self.room) if self.is_wrapped else [text]
        return [self._padded(line) for line in (lines if len(lines) <= _MOST_LINES else [*lines[:_MOST_LINES], "…"])]

    def _padded(self, text: str) -> str:
        text = _cut(text, self.room)
        padding = " " * (self.room - _wide(text))
        return padding + text if self.is_number else text + padding


def _write_grid(columns: list[_Column], out: TextIO) -> None:
    if not columns:
        return
    height = max(len(column.head) for column in columns)
    heads = [[""] * (height - len(column.head)) + column.head for column in columns]
    rows = [*zip(*heads, strict=True), *zip(*(column.cells for column in columns), strict=True)]
    written = [_written(columns, row) for row in rows]
    rule = _GAP.join("-" * column.room for column in columns) + "\n"
    out.write("".join([*written[:height], rule, *written[height:]]))


def _written(columns: list[_Column], row: Sequence[str]) -> str:
    """One row of cells, each line of it with its line feed."""
    cells = [column.lines(text) for column, text in zip(columns, row, strict=True)]
    blank = [" " * column.room for column in columns]
    lines = ([part or none for part, none in zip(line, blank, strict=True)] for line in zip_longest(*cells))
    return "".join(f"{_GAP.join(line).rstrip()}\n" for line in lines)


def _write_list(columns: list[_Column], out: TextIO, width: int) -> None:
    names = max(len(column.name) for column in columns)
    for column in columns:
        name = column.name
        for line in _wrapped(column.cells[0], max(width - names - len(_GAP), _NARROWEST)):
            out.write(f"{name:<{names}}{_GAP}{line}\n")
            name = ""


def _fit(columns: list[_Column], width: int) -> tuple[list[_Column], list[str]]:
    """Make columns fit: names and the longest sentences over several lines, other texts cut, the last columns left out."""
    if _excess(columns, width) > 0:
        for column in columns:
            column.set_head(_broken(column.name))
    sentences = [column for column in columns if not column.is_fixed]
    longest = max(sentences, key=lambda column: column.width, default=None)
    kept = _kept(columns, width, _READABLE)
    if longest is not None and longest not in kept:
        kept = _kept(columns[: columns.index(longest) + 1], width, _NARROWEST)
    if longest is not None:
        longest.is_wrapped = True
    return kept, [column.name for column in columns[len(kept) :]]


def _kept(columns: list[_Column], width: int, least: int) -> list[_Column]:
    kept = list(columns)
    while not _shrink(kept, width, least) and len(kept) > 1:
        kept.pop()
    return kept


def _shrink(columns: list[_Column], width: int, least: int) -> bool:
    for column in columns:
        column.room = column.width
    while (excess := _excess(columns, width)) > 0:
        longest = max(columns, key=lambda column: 0 if column.is_fixed else column.room - column.floor(least))
        if longest.is_fixed or longest.room <= longest.floor(least):
            return False
        longest.room = max(longest.floor(least), longest.room - max(1, excess // 2))
    return True


def _excess(columns: list[_Column], width: int) -> int:
    return sum(column.room for column in columns) + len(_GAP) * (len(columns) - 1) - width


def _broken(name: str) -> list[str]:
    words = name.split("_")
    return [word + "_" for word in words[:-1]] + words[-1:]


def _note(what: str, names: list[str]) -> list[str]:
    return [f"({what}: {', '.join(names)})"] if names else []


def _short_times(cells: list[str]) -> list[str]:
    """Write times readably, with as many decimals, none or three or all, as any of the column needs."""
    found = [_TIME.fullmatch(cell) for cell in cells]
    fractions = [match[3] or "" for match in found if match]
    if not fractions:
        return cells
    digits = max(len(fraction.rstrip("0")) for fraction in fractions)
    kept = 0 if digits == 0 else 3
    return [
        f"{match[1]} {match[2]}{'.' + (match[3] or '').ljust(kept, '0')[:kept] if kept else ''}" if match else cell
        for match, cell in zip(found, cells, strict=True)
    ]


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, datetime):
        return moment(value)
    if isinstance(value, Mapping):
        return ", ".join(f"{_text(key)}={_text(inner)}" for key, inner in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_text, value))
    return one_line(str(value))


def _number(value: float) -> str:
    if value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return f"{value:.1f}" if 9_999 < abs(value) < 1e15 else f"{value:.4g}"


def _wide(text: str) -> int:
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(letter) else 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        for letter in text
    )


def _cut(text: str, room: int) -> str:
    return text if _fitting(text, room) == len(text) else text[: _fitting(text, room - 1)] + "…"


def _fitting(text: str, room: int) -> int:
    """How many letters fit into `room` columns."""
    used = 0
    for count, letter in enumerate(text[: room + 1] if text.isascii() else text):
        used += _wide(letter)
        if used > room:
            return count
    return len(text)


def _wrapped(text: str, room: int) -> list[str]:
    """The text in lines of at most `room` columns, broken between words where there are any."""
    lines = [""]
    for word in text.split(" "):
        joined = f"{lines[-1]} {word}" if lines[-1] else word
        if _fitting(joined, room) == len(joined):
            lines[-1] = joined
            continue
        if lines[-1]:
            lines.append("")
        while (count := max(1, _fitting(word, room))) < len(word):
            lines[-1:] = [word[:count], ""]
            word = word[count:]
        lines[-1] = word
    return lines
