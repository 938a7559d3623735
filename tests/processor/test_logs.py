"""What the service logs: few lines, whatever a client does, and nothing of its data."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from io import StringIO
from typing import Any

import pytest

from modelspan.processor.terse import MORE, REASON, TerseHandler

PROGRAM = """
import logging, structlog
from modelspan.processor import logs
from modelspan.processor.config import LogConfig

logs.configure(LogConfig(format="{format}"))
structured, plain = structlog.get_logger("modelspan.one"), logging.getLogger("modelspan.two")
for i in range(1000):
    structured.info("progress", at=i) if i < 3 else None
    structured.error("request quarantined", file=f"file-{{i}}")
    plain.warning("event of %r rejected", i)
secret = "4711"
try:
    raise ValueError("wrong")
except ValueError:
    structured.exception("failed")
"""


def said(log_format: str) -> list[str]:
    program = PROGRAM.format(format=log_format)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    return done.stderr.splitlines()


def test_a_thousand_lines_that_say_the_same_are_two_and_their_number() -> None:
    lines = [json.loads(line) for line in said("json")]
    quarantined = [line for line in lines if line["event"] == "request quarantined"]
    assert [(line["file"], line.get(MORE)) for line in quarantined] == [("file-0", None), ("file-1", 998)]
    rejected = [(line["event"], line.get(MORE)) for line in lines if line["event"].startswith("event of")]
    assert rejected == [("event of 0 rejected", None), ("event of 1 rejected", 998)]
    assert [line["at"] for line in lines if line["event"] == "progress"] == [0, 1, 2]


def test_the_form_for_people_says_the_same() -> None:
    lines = said("console")
    assert sum("request quarantined" in line for line in lines) == 2
    assert any("file=file-1 " in line and f"{MORE}=998" in line for line in lines)
    assert "ValueError: wrong" in lines


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_values_of_variables_are_not_logged(log_format: str) -> None:
    text = "\n".join(said(log_format))
    assert "ValueError" in text
    assert "4711" not in text


@pytest.fixture
def out() -> StringIO:
    return StringIO()


@pytest.fixture
def handler(out: StringIO) -> Iterator[TerseHandler]:
    made = TerseHandler(out, period=3600)
    made.setFormatter(logging.Formatter("%(message)s"))
    yield made
    made.close()


@pytest.fixture
def warn(handler: TerseHandler) -> Callable[..., None]:
    def say(text: str, *arguments: Any, reason: str = "") -> None:
        record = logging.LogRecord("a", logging.WARNING, __file__, 1, text, arguments, None)
        setattr(record, REASON, reason)
        handler.handle(record)

    return say


def test_reasons_are_told_apart(out: StringIO, warn: Callable[..., None]) -> None:
    for i in range(4):
        warn("rejected %d", i, reason="time_range" if i % 2 else "corrupt_payload")
    assert out.getvalue().splitlines() == ["rejected 0", "rejected 1"]


def test_after_a_summary_that_had_nothing_to_say_the_next_line_is_written_at_once(
    out: StringIO, handler: TerseHandler, warn: Callable[..., None]
) -> None:
    for i in range(3):
        warn("rejected %d", i)
    handler.summarise()
    warn("rejected %d", 3)
    assert out.getvalue().splitlines() == ["rejected 0", "rejected 1"]
    handler.summarise()
    handler.summarise()
    warn("rejected %d", 4)
    assert out.getvalue().splitlines() == ["rejected 0", "rejected 1", "rejected 3", "rejected 4"]


def test_lines_that_are_held_back_keep_no_error_alive(warn: Callable[..., None]) -> None:
    class Payload(Exception):
        freed = False

        def __del__(self) -> None:
            Payload.freed = True

    warn("rejected: %s", Payload())
    Payload.freed = False
    warn("rejected: %s", Payload())
    assert Payload.freed


HOSTILE = """
import logging, structlog
from modelspan.processor import logs
from modelspan.processor.config import LogConfig

logs.configure(LogConfig(format="console"))
evil = "m\\r\\n2026-01-01T00:00:00.000000Z [info     ] all is well\\x1b[2J\\x9b1A\\u202e\\u2028"
structured, plain = structlog.get_logger("modelspan.one"), logging.getLogger("modelspan.two")
structured.warning("row of " + evil, model=evil.replace(" ", ""), several=[evil], **{evil: 1})
plain.warning("row of %s", evil)
for logger in (structured, plain):
    try:
        raise ValueError(evil)
    except ValueError:
        logger.exception("failed")
"""


def test_what_clients_send_neither_starts_a_line_of_the_console_log_nor_moves_a_cursor() -> None:
    done = subprocess.run([sys.executable, "-c", HOSTILE], capture_output=True, text=True, timeout=60, check=True)
    assert [letter for letter in "\x1b\x9b\u202e\u2028\r" if letter in done.stderr] == []
    assert sum(line.startswith("20") for line in done.stderr.split("\n")) == 4
    assert done.stderr.count("ValueError: m\n  2026-01-01T00:00:00.000000Z [info     ] all is well\\u001b[2J") == 2
