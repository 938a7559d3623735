"""What the SDK gives up of our events is kept, and delivered when its exporter delivers again; what is the program's is not touched."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from opentelemetry._logs import SeverityNumber
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs import export as log_export
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from sklearn.linear_model import LinearRegression

from modelspan.instrumentation import flush
from modelspan.instrumentation.recorder import undelivered
from modelspan.instrumentation.sklearn import SklearnInstrumentor
from modelspan.semconv import attributes as ml
from modelspan.semconv import events

X = np.random.default_rng(0).normal(size=(50, 3))
MODEL = LinearRegression().fit(X, X[:, 0])
Result: Any = getattr(log_export, "LogRecordExportResult", getattr(log_export, "LogExportResult", None))


class Exporter(getattr(log_export, "LogRecordExporter", getattr(log_export, "LogExporter", object))):  # type: ignore[misc]  # of old SDKs
    """Delivers to a list while it is reached, and takes no event that is refused."""

    def __init__(self) -> None:
        self.reached = True
        self.refuses = "none"
        self.got: list[Any] = []
        self.attempts = 0

    def export(self, batch: Sequence[Any]) -> Any:
        self.attempts += 1
        if not self.reached or any(one.log_record.event_name == self.refuses for one in batch):
            return Result.FAILURE
        self.got.extend(batch)
        return Result.SUCCESS

    def shutdown(self) -> None:
        pass

    def force_flush(self, timeout_millis: int = 10_000) -> bool:
        return True

    def rows(self) -> list[int]:
        """Numbers of the batches that arrived, each with its rows."""
        found = [
            one.log_record.attributes for one in self.got if one.log_record.event_name == events.ML_PREDICTION_BATCH
        ]
        return [one[ml.ML_PREDICTION_BATCH_ROW_COUNT] for one in found]


class Program:
    """A program with an SDK whose batches go out when it flushes."""

    def __init__(self, **options: Any) -> None:
        self.exporter = Exporter()
        self.provider = LoggerProvider(shutdown_on_exit=False)
        self.provider.add_log_record_processor(BatchLogRecordProcessor(self.exporter, schedule_delay_millis=10**8))
        options = {"flush_interval": 1000.0, "reference": "off", **options}
        SklearnInstrumentor().instrument(logger_provider=self.provider, **options)

    def predicts(self, rows: int) -> None:
        MODEL.predict(X[:rows])
        assert flush()

    def says(self, text: str) -> None:
        self.provider.get_logger("the program").emit(body=text, severity_number=SeverityNumber.INFO, timestamp=1)
        self.provider.force_flush()

    def kept_bytes(self) -> int:
        (kept,) = undelivered.stand_between(self.provider, "", 0)
        return kept.bytes


@pytest.fixture
def started() -> Iterator[Callable[..., Program]]:
    yield Program
    SklearnInstrumentor().uninstrument()


def test_batches_that_were_given_up_follow_the_next_that_is_delivered(started: Callable[..., Program]) -> None:
    program = started()
    program.exporter.reached = False
    for rows in (1, 2, 3):
        program.predicts(rows)
    assert program.exporter.rows() == []
    program.exporter.reached = True
    program.predicts(4)
    assert sorted(program.exporter.rows()) == [1, 2, 3, 4]
    assert program.kept_bytes() == 0


def test_the_events_of_the_program_are_lost_or_delivered_as_without_us(started: Callable[..., Program]) -> None:
    program = started()
    program.predicts(1)
    program.exporter.reached = False
    program.says("lost")
    program.exporter.reached = True
    program.says("delivered")
    assert [one.log_record.body for one in program.exporter.got if one.log_record.body] == ["delivered"]


def test_an_idle_program_delivers_too(started: Callable[..., Program], monkeypatch: pytest.MonkeyPatch) -> None:
    program = started(flush_interval=0.05)
    program.exporter.reached = False
    program.predicts(5)
    monkeypatch.setattr(undelivered.Keeping.is_due, "__defaults__", (0.1,))
    program.exporter.reached = True
    deadline = time.monotonic() + 60
    while not program.exporter.rows() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert program.exporter.rows() == [5]


def test_what_is_kept_is_bounded_and_the_oldest_is_lost(
    started: Callable[..., Program], caplog: pytest.LogCaptureFixture
) -> None:
    program = started(queue_bytes=40_000)
    program.exporter.reached = False
    for rows in range(1, 31):
        program.predicts(rows)
        assert program.kept_bytes() <= 20_000
    program.exporter.reached = True
    program.predicts(50)
    found = program.exporter.rows()
    assert 2 < len(found) < 31
    assert sorted(found) == [*range(32 - len(found), 31), 50]


def test_a_batch_that_is_refused_while_others_are_delivered_is_given_up(started: Callable[..., Program]) -> None:
    program = started()
    program.predicts(1)
    program.exporter.refuses = events.ML_PREDICTION_BATCH
    program.predicts(2)
    assert program.kept_bytes() > 0
    for _ in range(undelivered.MOST_REFUSALS):
        program.says("taken")
    assert program.kept_bytes() == 0


def test_a_forked_process_leaves_what_is_kept_to_its_parent(started: Callable[..., Program]) -> None:
    program = started()
    program.exporter.reached = False
    program.predicts(7)

    def in_child(queue: Any) -> None:
        program.exporter.reached = True
        program.predicts(8)
        queue.put(program.exporter.rows())

    fork = multiprocessing.get_context("fork")
    queue = fork.SimpleQueue()
    child = fork.Process(target=in_child, args=(queue,))
    child.start()
    assert queue.get() == [8]
    child.join()
    program.exporter.reached = True
    program.predicts(9)
    assert sorted(program.exporter.rows()) == [7, 9]


def test_the_exporter_is_put_back(started: Callable[..., Program]) -> None:
    program = started()
    program.predicts(1)
    (processor,) = program.provider._multi_log_record_processor._log_record_processors
    assert isinstance(processor._batch_processor._exporter, undelivered.Keeping)
    SklearnInstrumentor().uninstrument()
    assert processor._batch_processor._exporter is program.exporter
