"""The `modelspan` command: finds the subcommands of the installed parts, and loads only the one that is asked for.

A part offers a subcommand by an entry point of the group `modelspan.commands`: a function that takes the arguments behind the
name and returns an exit code. Exit codes: 0 it worked, 1 it failed, 2 it was called or configured wrongly.
"""

from __future__ import annotations

import difflib
import io
import os
import sys
from collections.abc import Sequence
from importlib.metadata import EntryPoint, entry_points, version
from typing import NamedTuple

GROUP = "modelspan.commands"


class Command(NamedTuple):
    """What is said of a subcommand before it is loaded."""

    summary: str
    extra: str
    """Extra of the distribution that brings what it needs."""


COMMANDS = {
    "serve": Command("Run the service: OTLP in, predictions and drift verdicts in ClickHouse.", "serve"),
    "query": Command("List the saved queries, or run one.", "query"),
    "sql": Command("Run any read-only SQL on the store.", "query"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand and return its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # what the encoding of the terminal lacks is shown, not an error
            stream.reconfigure(errors="backslashreplace")
    found = {point.name: point for point in entry_points(group=GROUP)}
    if not given or given[0] in ("-h", "--help", "help"):
        sys.stdout.write(_help(found))
        return 0 if given else 2
    if given[0] in ("-V", "--version"):
        sys.stdout.write(f"modelspan {version('modelspan')}\n")
        return 0
    name, *rest = given
    if name not in found:
        close = difflib.get_close_matches(name, found, n=1)
        hint = f"did you mean {close[0]}?" if close else "`modelspan --help` lists them."
        return _fail(f"there is no command {name!r}; {hint}", 2)
    return _run(found[name], rest)


def _run(point: EntryPoint, arguments: list[str]) -> int:
    try:
        code = point.load()(arguments)
        sys.stdout.flush()
        return int(code or 0)
    except ModuleNotFoundError as error:
        command = COMMANDS.get(point.name)
        if command is None or error.name is None:
            raise
        return _fail(
            f"{point.name} needs {error.name}, which is not installed: install Modelspan with the extra"
            f" {command.extra!r} (in a clone: pip install '.[{command.extra}]').",
            1,
        )
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader has seen enough (`| head`). What is still buffered must not raise again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _help(found: dict[str, EntryPoint]) -> str:
    names = [name for name in COMMANDS if name in found] + sorted(found.keys() - COMMANDS)
    lines = [f"  {name:<8} {COMMANDS[name].summary if name in COMMANDS else ''}".rstrip() for name in names]
    return "\n".join(
        [
            "usage: modelspan [--version] [--help] COMMAND ...",
            "",
            "OpenTelemetry for classical machine learning: predictions as telemetry, drift verdicts with honest error rates.",
            "",
            "commands:",
            *lines,
            "",
            "`modelspan COMMAND --help` says what a command takes.",
            "",
        ]
    )


def _fail(message: str, code: int) -> int:
    sys.stderr.write(f"modelspan: {message}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
