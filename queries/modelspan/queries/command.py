"""The commands `modelspan query` and `modelspan sql`. Each takes its arguments and returns an exit code."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
from collections.abc import Mapping
from itertools import islice
from typing import Any

from modelspan.queries.catalog import QueryError, SavedQuery, catalog, find
from modelspan.queries.connect import NoStore, connect, sentence
from modelspan.queries.output import write_csv, write_json
from modelspan.queries.result import Result, bind, has_format, run
from modelspan.queries.table import write_table
from modelspan.queries.terminal import Parser, lines, one_line, printed
from modelspan.queries.why import reasons

_TABLE_ROWS = 1000
_MOST_ROWS = 10**18
_CHANGES = re.compile(r"\s*(delete|use)\b", re.IGNORECASE)
"""Statements of which the engine makes something else: DELETE without WHERE is a column to it, and USE has no columns."""
_READS = (
    "`modelspan sql` runs one SELECT, SHOW, DESCRIBE, EXISTS or EXPLAIN, which may name DATABASE.TABLE and SETTINGS"
)


def query(arguments: list[str]) -> int:
    """List the saved queries, or run one."""
    parser = Parser(prog="modelspan query", description="List the saved queries, or run one.", allow_abbrev=False)
    parser.add_argument("name", nargs="?", help="name of a saved query; without it, all are listed")
    parser.add_argument(
        "-p", "--param", action="append", default=[], metavar="NAME=VALUE", help="value of a parameter; may be repeated"
    )
    parser.add_argument(
        "--show", action="store_true", help="print the query's parameters and SQL instead of running it"
    )
    _add_output(parser)
    options = parser.parse_args(arguments)
    if options.name is None:
        return _list()
    try:
        chosen = find(options.name)
        if options.show:
            return _show(chosen)
        values = chosen.bind(_pairs(options.param))
    except QueryError as error:
        return _fail(str(error), 2)
    return _execute(chosen.sql, values, options, chosen)


def sql(arguments: list[str]) -> int:
    """Run any SQL that only reads."""
    parser = Parser(
        prog="modelspan sql",
        description="Run SQL that only reads. A FORMAT clause is honoured; ClickHouse then writes the answer itself.",
        allow_abbrev=False,
    )
    parser.add_argument("sql", nargs="+", help="the statement; - reads it from standard input")
    parser.add_argument(
        "-p", "--param", action="append", default=[], metavar="NAME=VALUE", help="value of {NAME:Type}; may be repeated"
    )
    _add_output(parser)
    options = parser.parse_args(arguments)
    try:
        statement = sys.stdin.read() if options.sql == ["-"] else " ".join(options.sql)
        values = _pairs(options.param)
    except UnicodeDecodeError as error:
        return _fail(f"What standard input holds is not text: {error}.", 2)
    except QueryError as error:
        return _fail(str(error), 2)
    if not statement.strip().strip(";"):
        return _fail("There is no SQL to run.", 2)
    if begun := _CHANGES.match(statement):
        return _fail(f"{begun[1].upper()} is no statement that reads: {_READS}.", 2)
    return _execute(statement, values, options)


def _add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--format", choices=["table", "json", "csv"], default="table", help="default: table")
    parser.add_argument(
        "--limit", type=_count, help=f"most rows, 0 for all (default: {_TABLE_ROWS} of a table, all of JSON and CSV)"
    )
    parser.add_argument(
        "--url",
        help="store to ask, such as http://127.0.0.1:8123 (default: MODELSPAN_URL, else the service of this machine)",
    )


def _count(text: str) -> int:
    if not text.isdecimal() or len(text) > len(str(_MOST_ROWS)) or int(text) > _MOST_ROWS:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of rows: expected one from 0 to {_MOST_ROWS}")
    return int(text)


def _pairs(given: list[str]) -> dict[str, str]:
    pairs = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier():
            raise QueryError(f"--param {text} is not of the form NAME=VALUE.")
        if name in pairs:
            raise QueryError(f"--param {name} is given twice.")
        pairs[name] = value
    return pairs


def _execute(
    statement: str, parameters: Mapping[str, str], options: argparse.Namespace, saved: SavedQuery | None = None
) -> int:
    from clickhouse_connect.driver.exceptions import ClickHouseError

    try:
        client = connect(options.url, os.environ)
    except NoStore as error:
        return _fail(str(error), 1)
    try:
        if has_format(client, statement):
            if options.limit is not None:
                return _fail("--limit does not go with a FORMAT clause: write LIMIT in the statement.", 2)
            _write_raw(client, statement, parameters)
        elif _write(client, statement, parameters, options) == 0 and saved is not None:
            _say_why(client, saved, parameters)
    except ClickHouseError as error:
        return _fail(sentence(error), 1)
    except UnicodeEncodeError:
        return _fail("The statement or a parameter is not UTF-8 text.", 2)
    except BrokenPipeError:
        raise
    except Exception as error:
        return _fail(f"The answer cannot be read: {type(error).__name__}: {error}", 1)
    finally:
        client.close()
    return 0


def _write(client: Any, statement: str, parameters: Mapping[str, str], options: argparse.Namespace) -> int:
    """Write the result in the chosen form; number of rows."""
    out = printed(sys.stdout)
    with run(client, statement, parameters) as result:
        if options.format == "table":
            width = shutil.get_terminal_size((120, 24)).columns if sys.stdout.isatty() else None
            limit = _TABLE_ROWS if options.limit is None else options.limit
            return write_table(result, out, width=width, limit=limit)
        some = Result(result.columns, islice(result.rows, options.limit or None))
        return write_json(some, out) if options.format == "json" else write_csv(some, out)


def _write_raw(client: Any, statement: str, parameters: Mapping[str, str]) -> None:
    statement, bound = bind(statement.strip().rstrip(";"), parameters)
    answer = client.raw_query(statement, parameters=bound)
    sys.stdout.flush()
    if sys.stdout.isatty():
        sys.stdout.write(lines(answer.decode(errors="surrogateescape")))
    else:
        sys.stdout.buffer.write(answer)


def _say_why(client: Any, saved: SavedQuery, parameters: Mapping[str, str]) -> None:
    """Say beside an empty result what is known of its emptiness."""
    if saved.when_empty is None:
        told = reasons(client, saved, parameters)
    else:
        with run(client, saved.when_empty.sql, parameters) as result:
            told = [str(row[0]) for row in result.rows]
    for reason in told:
        sys.stderr.write(f"modelspan: {one_line(reason)}\n")


def _list() -> int:
    queries = catalog().values()
    print("Saved queries. Run one with: modelspan query NAME [--param NAME=VALUE ...] [--format table|json|csv]\n")
    for saved in queries:
        print(f"{saved.name}\n    {saved.description}")
        for line in _parameters(saved):
            print(f"      {line}")
    return 0


def _show(saved: SavedQuery) -> int:
    print(f"-- {saved.title}: {saved.description}")
    for line in _parameters(saved):
        print(f"-- {line}")
    print(saved.sql)
    return 0


def _parameters(saved: SavedQuery) -> list[str]:
    told = [
        (
            parameter.name,
            parameter.shown_type,
            "required" if parameter.default is None else f"= {parameter.default or repr('')}",
        )
        for parameter in saved.parameters
    ]
    widths = [max((len(line[column]) for line in told), default=0) for column in range(3)]
    return [
        "  ".join([f"{text:<{width}}" for text, width in zip(line, widths, strict=True)] + [parameter.description])
        for line, parameter in zip(told, saved.parameters, strict=True)
    ]


def _fail(message: str, code: int) -> int:
    print(f"modelspan: {one_line(' '.join(message.split()))}", file=sys.stderr)
    return code
