"""The commands `modelspan query` and `modelspan sql`. Each takes its arguments and returns an exit code."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
from collections.abc import Mapping
from typing import Any

from modelspan.queries.catalog import QueryError, SavedQuery, catalog, find
from modelspan.queries.connect import NoStore, connect, sentence
from modelspan.queries.output import write_csv, write_json
from modelspan.queries.result import run
from modelspan.queries.table import write_table

_FORMATTED = re.compile(r"\bFORMAT\s+\w+\s*;?\s*$", re.IGNORECASE)


def query(arguments: list[str]) -> int:
    """List the saved queries, or run one."""
    parser = argparse.ArgumentParser(
        prog="modelspan query", description="List the saved queries, or run one.", allow_abbrev=False
    )
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
    return _execute(chosen.sql, values, options)


def sql(arguments: list[str]) -> int:
    """Run any SQL that only reads."""
    parser = argparse.ArgumentParser(
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
    statement = sys.stdin.read() if options.sql == ["-"] else " ".join(options.sql)
    if not statement.strip():
        return _fail("There is no SQL to run.", 2)
    try:
        values = _pairs(options.param)
    except QueryError as error:
        return _fail(str(error), 2)
    return _execute(statement, values, options)


def _add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--format", choices=["table", "json", "csv"], default="table", help="default: table")
    parser.add_argument("--limit", type=_count, default=1000, help="most rows of a table, 0 for all (default: 1000)")
    parser.add_argument(
        "--url",
        help="store to ask, such as http://127.0.0.1:8123 (default: MODELSPAN_URL, else the service of this machine)",
    )


def _count(text: str) -> int:
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of rows")
    return int(text)


def _pairs(given: list[str]) -> dict[str, str]:
    pairs = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals:
            raise QueryError(f"--param {text} is not of the form NAME=VALUE.")
        pairs[name] = value
    return pairs


def _execute(statement: str, parameters: Mapping[str, str], options: argparse.Namespace) -> int:
    from clickhouse_connect.driver.exceptions import ClickHouseError

    try:
        client = connect(options.url, os.environ)
    except NoStore as error:
        return _fail(str(error), 1)
    try:
        if _FORMATTED.search(statement):
            _write_raw(client.raw_query(statement.strip().rstrip(";"), parameters=dict(parameters) or None))
        else:
            _write(client, statement, parameters, options)
    except ClickHouseError as error:
        return _fail(sentence(error), 1)
    finally:
        client.close()
    return 0


def _write(client: Any, statement: str, parameters: Mapping[str, str], options: argparse.Namespace) -> None:
    with run(client, statement, parameters) as result:
        if options.format == "json":
            write_json(result, sys.stdout)
        elif options.format == "csv":
            write_csv(result, sys.stdout)
        else:
            write_table(result, sys.stdout, width=shutil.get_terminal_size((120, 24)).columns, limit=options.limit)


def _write_raw(answer: bytes) -> None:
    sys.stdout.flush()
    sys.stdout.buffer.write(answer)


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
            parameter.type,
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
    print(f"modelspan: {message}", file=sys.stderr)
    return code
