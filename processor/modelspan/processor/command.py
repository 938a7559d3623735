"""`modelspan serve`."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import threading
from types import FrameType

from modelspan.processor.config import Config, ConfigError, add_flags, as_yaml, load
from modelspan.queries.terminal import Parser, one_line


def serve(arguments: list[str]) -> int:
    """Run the service until SIGTERM or SIGINT. Exit code 2: it cannot start as configured."""
    parser = Parser(prog="modelspan serve", description="Receive OTLP, store it, and judge drift.")
    parser.add_argument("--print-config", action="store_true", help="print the effective configuration and end")
    add_flags(parser)
    parsed = parser.parse_args(arguments)
    try:
        config = load(parsed)
    except ConfigError as error:
        return _refuse(str(error))
    if parsed.print_config:
        print(as_yaml(config))
        return 0
    return _run(config)


def _run(config: Config) -> int:
    from modelspan.processor import logs, private
    from modelspan.processor.journal import JournalError
    from modelspan.processor.service import Service
    from modelspan.processor.store import StoreError

    faulthandler.enable()  # a file of the journal or of the engine that is cut short meanwhile ends the process: say where
    private.keep_private()
    logs.configure(config.log)
    stop = threading.Event()
    _stop_on_signals(stop)
    service = Service(config)
    try:
        service.start()
    except (OSError, JournalError, StoreError) as error:
        return _refuse(getattr(error, "strerror", None) or str(error))
    while not stop.wait(0.5):
        pass  # a signal that the system gave to a busy thread of the engine is only handled when this one wakes up
    service.stop()
    if service.is_working or service.queries["abandoned"]:
        # They would go on in the engine while the interpreter takes itself apart, which ends in a crash.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)
    return 0


def _stop_on_signals(stop: threading.Event) -> None:
    def handle(number: int, frame: FrameType | None) -> None:
        if stop.is_set():  # asked twice: do not wait for the store; the journal keeps what was acknowledged
            os._exit(128 + number)
        stop.set()

    signal.signal(signal.SIGTERM, handle)
    signal.signal(signal.SIGINT, handle)


def _refuse(reason: str) -> int:
    print(f"modelspan serve: {one_line(' '.join(reason.split()))}", file=sys.stderr)
    return 2
