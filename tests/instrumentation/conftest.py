"""An instrumented scikit-learn whose telemetry a test can read back."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs import export as log_export
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from modelspan.instrumentation import flush
from modelspan.instrumentation.recorder.identity import Identities
from modelspan.instrumentation.sklearn import SklearnInstrumentor
from modelspan.semconv import attributes as ml
from modelspan.semconv import events

MemoryExporter: Any = getattr(log_export, "InMemoryLogRecordExporter", getattr(log_export, "InMemoryLogExporter", None))
"""Under its name before version 1.39, too."""


class Telemetry:
    """Providers that keep everything in memory."""

    def __init__(self) -> None:
        self._spans = InMemorySpanExporter()
        self._logs = MemoryExporter()
        self._reader = InMemoryMetricReader()
        self.tracer_provider = TracerProvider(shutdown_on_exit=False)
        self.tracer_provider.add_span_processor(SimpleSpanProcessor(self._spans))
        self.logger_provider = LoggerProvider(shutdown_on_exit=False)
        self.logger_provider.add_log_record_processor(SimpleLogRecordProcessor(self._logs))
        self.meter_provider = MeterProvider([self._reader], shutdown_on_exit=False)

    def instrument(self, **options: Any) -> None:
        options = {"flush_interval": 1000.0, **options}
        SklearnInstrumentor().instrument(
            tracer_provider=self.tracer_provider,
            logger_provider=self.logger_provider,
            meter_provider=self.meter_provider,
            **options,
        )

    def spans(self) -> list[ReadableSpan]:
        assert flush()
        return list(self._spans.get_finished_spans())

    def logs(self) -> list[Any]:
        flush()  # False where a test loses something on purpose
        return list(self._logs.get_finished_logs())

    def events(self, name: str) -> list[Any]:
        return [one.log_record for one in self.logs() if one.log_record.event_name == name]

    def batches(self) -> list[tuple[dict[str, Any], pa.Table]]:
        """Attributes and rows of every batch that has some."""
        records = [one for one in self.numbered() if ml.ML_PREDICTION_BATCH_DATA in one]
        return [(a, pa.ipc.open_stream(a.pop(ml.ML_PREDICTION_BATCH_DATA)).read_all()) for a in records]

    def truth(self, name: str) -> list[dict[str, Any]]:
        """Actuals or outcomes: attributes of the event, and the columns of its row."""
        numbering = ("ml.prediction.batch.", "modelspan.recorder.", "event.name")
        found: list[dict[str, Any]] = []
        for record in self.events(name):
            attributes = dict(record.attributes or {})
            if ml.ML_PREDICTION_BATCH_DATA not in attributes:
                continue
            table = pa.ipc.open_stream(attributes[ml.ML_PREDICTION_BATCH_DATA]).read_all()
            shared = {key: value for key, value in attributes.items() if not key.startswith(numbering)}
            found += [{**shared, **row} for row in table.to_pylist()]
        return found

    def numbered(self) -> list[dict[str, Any]]:
        """Attributes of every batch, those without rows as well."""
        return [dict(record.attributes or {}) for record in self.events(events.ML_PREDICTION_BATCH)]

    def batch(self) -> pa.Table:
        """Rows of the only batch."""
        found = self.batches()
        assert len(found) == 1, [(a, t.num_rows) for a, t in found]
        return found[0][1]

    def rows(self) -> int:
        return sum(table.num_rows for _, table in self.batches())

    def points(self, name: str) -> list[Any]:
        """Data points of a metric, as collected now."""
        assert flush()
        data = self._reader.get_metrics_data()
        found = [] if data is None else [s for r in data.resource_metrics for s in r.scope_metrics]
        return [p for scope in found for m in scope.metrics if m.name == name for p in m.data.data_points]


@pytest.fixture(autouse=True)
def shared_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is said of models of one class: other tests hold some, too."""
    monkeypatch.setattr(Identities, "other_of_the_name", lambda *_: None)


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    kept = Telemetry()
    kept.instrument()
    yield kept
    if SklearnInstrumentor().is_instrumented_by_opentelemetry:
        SklearnInstrumentor().uninstrument()


@pytest.fixture
def again(telemetry: Telemetry) -> Callable[..., Telemetry]:
    """Instrument again with other options."""

    def instrument(**options: Any) -> Telemetry:
        SklearnInstrumentor().uninstrument()
        telemetry.instrument(**options)
        return telemetry

    return instrument


PRELUDE = """
import numpy as np
from opentelemetry import trace, metrics, _logs
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs import export as log_export
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from modelspan.instrumentation import flush
from modelspan.instrumentation.sklearn import SklearnInstrumentor

logs = getattr(log_export, "InMemoryLogRecordExporter", getattr(log_export, "InMemoryLogExporter", None))()

def set_up_sdk():
    provider = LoggerProvider()
    provider.add_log_record_processor(SimpleLogRecordProcessor(logs))
    _logs.set_logger_provider(provider)

def rows():
    flush()
    batches = [log.log_record for log in logs.get_finished_logs() if log.log_record.event_name == "ml.prediction.batch"]
    return sum(batch.attributes["ml.prediction.batch.row.count"] for batch in batches)
"""


@pytest.fixture
def program(tmp_path: Path) -> Callable[..., str]:
    """Run a program in a process of its own and give what it printed."""

    def run(source: str, *arguments: str, prelude: str = PRELUDE, **environment: str) -> str:
        path = tmp_path / "program.py"
        path.write_text(prelude + textwrap.dedent(source))
        done = subprocess.run(
            [sys.executable, str(path), *arguments],
            capture_output=True,
            text=True,
            timeout=110,
            env={"PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1", **environment},
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return run
