"""Where telemetry goes: tracer, logger and instruments of the SDK, whichever of them the program has set up."""

from __future__ import annotations

import os
from collections import Counter
from typing import Any, NamedTuple

from opentelemetry import metrics, trace
from opentelemetry._logs import Logger, LoggerProvider, get_logger_provider
from opentelemetry.metrics import Meter, MeterProvider
from opentelemetry.trace import Tracer, TracerProvider

from modelspan.instrumentation.failure import attempt
from modelspan.instrumentation.recorder.leaving import LastExport
from modelspan.instrumentation.recorder.outbox import Exporting, Loss, Outbox, outboxes
from modelspan.semconv.schema import SCHEMA_URL

SCOPE = "modelspan.instrumentation"

_API_MODULES = ("opentelemetry.trace", "opentelemetry.metrics", "opentelemetry._logs")


class Providers(NamedTuple):
    """Providers given to the instrumentor; None stands for the global one, whenever it is set."""

    tracer: TracerProvider | None = None
    logger: LoggerProvider | None = None
    meter: MeterProvider | None = None

    def any_live(self) -> bool:
        """Whether there is an SDK behind any signal."""
        return not sdk_disabled() and (
            _is_live(self.tracer or trace.get_tracer_provider())
            or _is_live(self.logger or get_logger_provider())
            or _is_live(self.meter or metrics.get_meter_provider())
        )


class Signals:
    """The live parts of the SDK; None for a signal that nobody set up."""

    def __init__(self, providers: Providers, version: str, most_undelivered: int, exporting: Exporting) -> None:
        self._providers = providers
        self._version = version
        self._most_undelivered = most_undelivered
        self._exporting = exporting
        self._outboxes: list[Outbox] = []
        self._other_processors: list[Any] = []
        """Log processors without an outbox, or the provider if it is not the SDK's: they get events as they are emitted."""
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
                self._other_processors = [self.logger_provider]
                attempt("take over the delivery of events", self._take_over)
                self._prepare_exit(self.logger_provider)
        if self.meter is None:
            meter_provider = self._providers.meter or metrics.get_meter_provider()
            if _is_live(meter_provider):
                self.meter = _live(meter_provider.get_meter(SCOPE, self._version, schema_url=SCHEMA_URL))
                self._prepare_exit(meter_provider)

    def _take_over(self) -> None:
        self._outboxes, self._other_processors = outboxes(
            self.logger_provider, SCOPE, self._most_undelivered, self._exporting
        )

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
        for outbox in self._outboxes:
            outbox.close()

    def flush(self) -> bool:
        """Export the events of ours that wait; False if some could not be delivered. Blocks while the collector cannot be reached, as
        long as the exporter tries.
        """
        delivered = [outbox.export() for outbox in self._outboxes]
        for other in self._other_processors:
            if hasattr(other, "force_flush"):
                delivered.append(other.force_flush() is not False)
        return all(delivered)

    def relieve(self, share: float) -> None:
        """Export if so large a share of what may wait does. May block while the collector takes its time, but not for one that is away."""
        for outbox in self._outboxes:
            outbox.relieve(share)

    def take_lost(self) -> Counter[Loss]:
        """Rows that were lost on their way out since the last time this was asked, by model and event."""
        lost: Counter[Loss] = Counter()
        for outbox in self._outboxes:
            lost += outbox.take_lost()
        return lost

    def waiting(self) -> Counter[str]:
        """Rows that are not delivered yet by event; an event without rows counts as one."""
        return sum((outbox.waiting for outbox in self._outboxes), Counter())

    def why_away(self) -> str:
        """Why the last exports failed; empty where none did, or none has ended."""
        return " ".join(filter(None, (outbox.why for outbox in self._outboxes)))


def _is_live(part: Any) -> bool:
    """Whether a provider, tracer, logger or meter is more than the API's own stand-in."""
    return not type(part).__module__.startswith(_API_MODULES)


def _live(part: Any) -> Any:
    return part if _is_live(part) else None


def sdk_disabled() -> bool:
    """True if the environment says that nothing is to be recorded."""
    return os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
