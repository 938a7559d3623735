"""What the service says about itself: structured logs on standard error."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

from modelspan.processor.config import LogConfig
from modelspan.processor.terse import MORE, TerseHandler
from modelspan.queries.terminal import lines, one_line

# Without the values of variables, which may be inputs of models, or passwords.
_traceback = structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False))

_NO_LINE_OF_A_TRACEBACK = re.compile(r"^(?![A-Za-z_ \n]|\Z)", re.MULTILINE)
"""Where messages of several lines go on; a line of the log starts with a digit."""


def configure(config: LogConfig) -> None:
    """Send structlog and the standard library's logging through one format and one handler, to standard error."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    renderer: list[structlog.typing.Processor] = (
        [_traceback, structlog.processors.JSONRenderer()]
        if config.format == "json"
        else [
            structlog.processors.format_exc_info,
            _printable,
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()),
        ]
    )
    level = logging.getLevelName(config.level.upper())
    structlog.configure(
        processors=[*shared, *renderer[:-1], structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
    )
    handler = TerseHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder(allow=[MORE])],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer],
        )
    )
    logging.basicConfig(level=max(level, logging.WARNING), handlers=[handler], force=True)
    logging.getLogger("modelspan").setLevel(level)
    # Each attempt of the driver to reach the store; what became of it is logged in a sentence by whoever asked.
    logging.getLogger("urllib3").setLevel(max(level, logging.ERROR))


def _printable(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Names and values come from clients: none of them moves a cursor or looks like a line of the log."""
    return {one_line(str(name)): _shown(name, value) for name, value in event.items()}


def _shown(name: str, value: Any) -> Any:
    if name in ("exception", "stack"):
        return _NO_LINE_OF_A_TRACEBACK.sub("  ", lines(str(value)))
    if isinstance(value, str):
        return one_line(value)
    shown = repr(value)  # as the renderer writes it; the repr of a foreign class may hold anything
    return value if shown.isprintable() else one_line(shown)
