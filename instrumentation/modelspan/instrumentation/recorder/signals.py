"""Where telemetry goes: tracer, logger and instruments of the SDK, whichever of them the program has set up."""

from __future__ import annotations

import os
import threading
from typing import Any, NamedTuple

from opentelemetry import metrics, trace
from opentelemetry._logs import Logger, LoggerProvider, get_logger_provider
from opentelemetry.metrics import Meter, MeterProvider
from opentelemetry.trace import Tracer, TracerProvider

from modelspan.instrumentation.failure import attempt, safely
from modelspan.instrumentation.recorder.leaving import LastExport
from modelspan.instrumentation.recorder.undelivered import Keeping, stand_between
from modelspan.semconv.schema import SCHEMA_URL

SCOPE = "modelspan.instrumentation"

JUST_TRIED = 1.0
"""Seconds after an attempt in which another one would not do better."""

_API_MODULES = ("opentelemetry.trace", "opentelemetry.metrics", "opentelemetry._logs")


class Providers(NamedTuple):
    """Providers given to the instrumentor; None stands for the global one, whenever it is set."""

    tracer: TracerProvider | None = None
    logger: LoggerProvider | None = None
    meter: MeterProvider | None = None

    def any_live(self) -> bool:
        """Whether there is an SDK behind any signal."""
        return not _sdk_disabled() and (
            _is_live(self.tracer or trace.get_tracer_provider())
            or _is_live(self.logger or get_logger_provider())
            or _is_live(self.meter or metrics.get_meter_provider())
        )


class Signals:
    """The live parts of the SDK; None for a signal that nobody set up."""

    def __init__(self, providers: Providers, version: str, most_undelivered: int) -> None:
        self._providers = providers
        self._version = version
        self._most_undelivered = most_undelivered
        self._kept: list[Keeping] = []
        """What could not be delivered, of each processor."""
        self.tracer: Tracer | None = None
        self.logger: Logger | None = None
        self.logger_provider: Any = None
        self.meter: Meter | None = None
        self.last_exports: list[LastExport] = []

    def find(self) -> None:
        """Look for what was not there the last time."""
        if self.tracer is None:
            tracer_provider = self._providers.tracer or trace.get_tracer_provider()
            if _is_live(tracer_provider):
                self.tracer = _live(tracer_provider.get_tracer(SCOPE, self._version, schema_url=SCHEMA_URL))
                self._prepare_exit(tracer_provider)
        if self.logger is None:
            self.logger_provider = self._providers.logger or get_logger_provider()
            if _is_live(self.logger_provider):
                self.logger = _live(self.logger_provider.get_logger(SCOPE, self._version, schema_url=SCHEMA_URL))
                attempt("keep what cannot be delivered", self._keep)
                self._prepare_exit(self.logger_provider)
        if self.meter is None:
            meter_provider = self._providers.meter or metrics.get_meter_provider()
            if _is_live(meter_provider):
                self.meter = _live(meter_provider.get_meter(SCOPE, self._version, schema_url=SCHEMA_URL))
                self._prepare_exit(meter_provider)

    def _keep(self) -> None:
        self._kept = stand_between(self.logger_provider, SCOPE, self._most_undelivered)

    def retry(self) -> None:
        """Have what could not be delivered exported again, if nothing else is exported. Does not wait for it."""
        for kept in self._kept:
            if kept.is_due():
                run = safely("export again", kept.retry)
                threading.Thread(target=run, name="modelspan-retry", daemon=True).start()

    def _prepare_exit(self, provider: Any) -> None:
        if hasattr(provider, "force_flush") and hasattr(provider, "shutdown"):
            try:
                flush = self.flush if provider is self.logger_provider else provider.force_flush
                self.last_exports.append(LastExport(provider, flush))
            except RuntimeError:  # found at the exit, when no thread can start: the SDK exports as it does by itself
                return

    def close(self) -> None:
        """Have nothing exported at the exit any more."""
        for export in self.last_exports:
            export.cancel()
        for kept in self._kept:
            kept.stand_aside()

    def flush(self) -> None:
        """Ask the SDK to export events. Blocks while the collector cannot be reached, as long as the exporter tries."""
        force_flush = getattr(self.logger_provider, "force_flush", None)
        if self.logger is not None and force_flush is not None:
            force_flush()
            for kept in self._kept:
                if kept.is_due(JUST_TRIED):
                    kept.retry()


def _is_live(part: Any) -> bool:
    """Whether a provider, tracer, logger or meter is more than the API's own stand-in."""
    return not type(part).__module__.startswith(_API_MODULES)


def _live(part: Any) -> Any:
    return part if _is_live(part) else None


def _sdk_disabled() -> bool:
    return os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
