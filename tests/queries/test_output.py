"""Tables for people, JSON and CSV for programs."""

from __future__ import annotations

import csv
import io
import json
import math
from datetime import date, datetime, timedelta, timezone
from typing import Any

import pytest

from modelspan.queries.output import write_csv, write_json
from modelspan.queries.result import Result, instant
from modelspan.queries.table import write_table
from modelspan.queries.terminal import printed


def table(columns: tuple[str, ...], *rows: tuple[Any, ...], width: int | None = 200, limit: int = 0) -> list[str]:
    out = io.StringIO()
    write_table(Result(columns, iter(rows)), out, width=width, limit=limit)
    return out.getvalue().splitlines()


def test_numbers_stand_right_and_text_left() -> None:
    assert table(("name", "n"), ("a", 1), ("bcd", 12.5)) == [
        "name     n",
        "----  ----",
        "a        1",
        "bcd   12.5",
        "(2 rows)",
    ]


def test_numbers_are_short_whatever_their_size() -> None:
    values = (1e300, -1e15, 123456789.25, 9999.5, 0.00001234, math.nan, -math.inf, 1e-300)
    cells = [line.strip() for line in table(("n",), *((value,) for value in values))[2:-1]]
    assert cells == ["1e+300", "-1e+15", "123456789.2", "9999.5", "1.234e-05", "nan", "-inf", "1e-300"]


def test_empty_columns_are_named_below_and_left_out() -> None:
    assert table(("a", "b"), (1, None), (2, "")) == ["a", "-", "1", "2", "(2 rows)", "(empty: b)"]


def test_a_narrow_terminal_wraps_prose_but_never_an_identifier() -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    lines = table(("trace", "why"), (trace, "a long reason that goes on"), (trace[::-1], "short"), width=52)
    assert lines[2:] == [f"{trace}  a long reason that", f"{' ' * 32}  goes on", f"{trace[::-1]}  short", "(2 rows)"]


def test_of_two_columns_of_prose_the_longer_is_wrapped_and_the_other_cut_and_marked() -> None:
    rows = [(f"{i} some words beside", "a longer sentence that takes several lines" + " and more" * i) for i in (1, 5)]
    lines = table(("note", "why"), *rows, width=36)
    assert max(map(len, lines)) <= 36
    assert "…" in lines[2]
    shown = " ".join(line[len(lines[1].split()[0]) :].strip() for line in lines[2 : lines.index("(2 rows)")])
    assert shown.split() == [word for _, why in rows for word in why.split()]


def test_the_columns_behind_a_sentence_make_room_for_it() -> None:
    sentence = "amount drifted: the share of values below 12 went from 20 % to 80 %; chance alone does not do that."
    rows = [(f"a_feature_with_a_long_name_{i}", "insufficient_data", sentence + "!" * i, 1.5 + i) for i in range(2)]
    lines = table(("series", "status", "reason", "rows"), *rows, width=80)
    assert max(map(len, lines)) <= 80
    assert lines[-1] == "(too narrow for these, add --format csv or | less -S: rows)"
    assert not any("…" in line for line in lines)
    place = lines[0].index("reason")
    assert " ".join(line[place:] for line in lines[2:-2]).split() == f"{sentence} {sentence}!".split()
    assert len(lines) < 16


def test_a_cell_of_very_many_lines_is_cut_and_marked_in_a_grid_and_whole_in_a_list() -> None:
    words = " ".join(f"word{i}" for i in range(500))
    lines = table(("a", "b"), ("1", words), ("2", "short"), width=40)
    assert any(line.strip() == "…" for line in lines)
    assert len(lines) < 20
    alone = table(("a", "b"), ("1", words), width=40)
    assert " ".join(line[1:].strip() for line in alone[1:-1]) == words


def test_words_longer_than_the_column_are_broken_and_wide_letters_fit() -> None:
    lines = table(("a", "b"), ("x" * 41 + " y", "日本語" * 9 + " tail"), width=30)
    assert max(len(line) + sum(letter in "日本語" for letter in line) for line in lines[:-1]) <= 30
    assert sum(line.count("x") for line in lines) == 41
    assert sum(line.count("語") for line in lines) == 9


def test_what_does_not_fit_is_named() -> None:
    lines = table(
        ("first", "second", "third"), ("a" * 20, "b" * 20, "c" * 20), ("d" * 20, "e" * 20, "f" * 20), width=45
    )
    assert lines[2] == f"{'a' * 20}  {'b' * 20}"
    assert "third" in lines[-1]


def test_without_a_terminal_nothing_is_cut_wrapped_or_left_out() -> None:
    rows = [("fraud", None, "a sentence " * 40, i) for i in range(2)]
    lines = table(("model", "nothing", "why", "rows"), *rows, width=None)
    assert [line.split("  ")[0] for line in lines] == ["model", "-----", "fraud", "fraud", "(2 rows)"]
    assert all(rows[0][2].strip() in line for line in lines[2:4])
    assert [name for name in ("nothing", "rows") if name not in lines[0]] == []


def test_a_column_that_is_the_same_in_every_row_gives_way_first() -> None:
    lines = table(("model", "note"), ("fraud", "x" * 15), ("fraud", "y" * 15), width=18)
    assert "(the same in every row: model = fraud)" in lines


def test_one_wide_row_is_a_list() -> None:
    assert table(("a", "long_name"), ("x" * 30, "y" * 30), width=50)[:2] == [
        f"a          {'x' * 30}",
        f"long_name  {'y' * 30}",
    ]


def test_more_rows_than_the_limit_are_said_to_be_there() -> None:
    assert table(("a",), (1,), (2,), (3,), limit=2)[2:] == [
        "1",
        "2",
        "(the first 2 rows, there are more (see --limit))",
    ]


def test_times_are_readable_and_as_precise_as_needed() -> None:
    times = [(instant(1_700_000_000_000_000_000, 9),), (instant(1_700_000_001_000_000_000, 9),)]
    assert table(("t",), *times)[2:4] == ["2023-11-14 22:13:20", "2023-11-14 22:13:21"]
    assert table(("t",), (instant(1_700_000_000_123_456_789, 9),), times[1])[2] == "2023-11-14 22:13:20.123"


@pytest.mark.parametrize(
    "hostile", ["\x1b[31mred", "\x9b2J", "\u202efdp.exe", "a\r\nb", "\u2066x", "\x07", "\u200b", "\udcff"]
)
def test_characters_that_do_not_print_are_escaped_in_cells_and_in_heads(hostile: str) -> None:
    for text in ("\n".join(table((hostile,), (hostile,))), "\n".join(table(("a",), ([{hostile: hostile}],)))):
        assert all(letter.isprintable() or letter == "\n" for letter in text)
        assert "\\u" in text


def test_a_terminal_gets_escapes_that_json_reads_and_a_file_the_bytes() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    row = ("\x1b[2J", "\x9b\u202e\U000e0001", "é\u00a0\t")
    for out in (terminal := Terminal(), file := io.StringIO()):
        write_json(Result(("a", "b", "c"), iter([row])), printed(out))
    assert json.loads(terminal.getvalue()) == json.loads(file.getvalue()) == [dict(zip("abc", row, strict=True))]
    assert [letter for letter in "\x1b\x9b\u202e\U000e0001" if letter in terminal.getvalue()] == []
    assert "\x9b\u202e" in file.getvalue()
    for out in (terminal := Terminal(), file := io.StringIO()):
        write_csv(Result(("\x1b]0;title\x07",), iter([row[:1]])), printed(out))
    assert terminal.getvalue() == "\\u001b]0;title\\u0007\n\\u001b[2J\n"
    assert file.getvalue() == "\x1b]0;title\x07\r\n\x1b[2J\r\n"


def test_wide_letters_count_double() -> None:
    assert table(("a", "b"), ("日本", "x"), ("ab", "y"))[2:4] == ["日本  x", "ab    y"]


def test_no_rows_are_said_to_be_none() -> None:
    assert table(()) == ["(0 rows)"]


ROW = (
    1,
    math.nan,
    math.inf,
    None,
    "é\"'",
    {"k": [1.5, math.nan]},
    datetime(2025, 1, 1, 12, tzinfo=timezone(timedelta(hours=2))),
    date(2025, 1, 2),
    True,
    b"\xff",
)
NAMES = tuple("abcdefghij")


def test_json_is_an_array_of_objects_and_what_json_lacks_is_null() -> None:
    out = io.StringIO()
    write_json(Result(NAMES, iter([ROW, ROW])), out)
    first, second = json.loads(out.getvalue(), parse_constant=lambda name: 1 / 0)
    expected = [1, None, None, None, "é\"'", {"k": [1.5, None]}, "2025-01-01T10:00:00Z", "2025-01-02", True, "\\xff"]
    assert list(first.values()) == expected
    assert first == second


def test_json_of_nothing_is_an_empty_array() -> None:
    out = io.StringIO()
    write_json(Result((), iter([])), out)
    assert json.loads(out.getvalue()) == []


def test_csv_is_rfc_4180_and_can_be_read_again() -> None:
    out = io.StringIO()
    write_csv(Result(("a", "b,c", "d"), iter([('say "hi"', "two\nlines", None), ("x", ["y", 1], 0.1)])), out)
    assert out.getvalue().startswith('a,"b,c",d\r\n"say ""hi"""')
    assert list(csv.reader(io.StringIO(out.getvalue(), newline=""))) == [
        ["a", "b,c", "d"],
        ['say "hi"', "two\nlines", ""],
        ["x", '["y", 1]', "0.1"],
    ]


def test_a_sentence_is_kept_readable_and_the_columns_behind_it_are_left_out() -> None:
    sentence = "the share of values below 12 went from 20 % to 80 %, which chance alone does not do"
    rows = [(f"feature {i}", sentence + "!" * i, f"method {i}", "none" * i) for i in range(2)]
    lines = table(("series", "reason", "method", "tolerance"), *rows, width=80)
    assert sentence[:60] in lines[2]
    assert lines[-1].endswith("or | less -S: method, tolerance)")
