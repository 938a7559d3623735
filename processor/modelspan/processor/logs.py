"""What the service says about itself: structured logs on standard error."""

from __future__ import annotations

import logging
import sys

import structlog

from modelspan.processor.config import LogConfig
from modelspan.processor.terse import MORE, TerseHandler

# Without the values of variables, which may be inputs of models, or passwords.
_traceback = structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False))


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
        else [structlog.processors.format_exc_info, structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
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
