"""Events of ours are delivered once, in requests that a collector takes, or counted as lost; what is the program's is not touched."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from opentelemetry._logs import SeverityNumber
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs import export as log_export
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from sklearn.linear_model import LinearRegression

from modelspan.instrumentation import flush, prediction_context, record_actual
from modelspan.instrumentation.recorder import current as recorder
from modelspan.instrumentation.recorder import outbox
from modelspan.instrumentation.sklearn import SklearnInstrumentor
from modelspan.semconv import attributes as ml
from modelspan.semconv import events

X = np.random.default_rng(0).normal(size=(50, 3))
MODEL = LinearRegression().fit(X, X[:, 0])
Result: Any = getattr(log_export, "LogRecordExportResult", getattr(log_export, "LogExportResult", None))


class Exporter(getattr(log_export, "LogRecordExporter", getattr(log_export, "LogExporter", object))):  # type: ignore[misc]  # of old SDKs
    """Delivers to a list while it is reached, takes no event that is refused, and no request that is too large."""

    def __init__(self) -> None:
        self.reached = True
        self.refuses = "none"
        self.most_bytes = 10**9
        self.got: list[Any] = []
        self.sizes: list[int] = []

    def export(self, batch: Sequence[Any]) -> Any:
        self.sizes.append(encode_logs(batch).ByteSize())
        refused = any(one.log_record.event_name == self.refuses for one in batch)
        if not self.reached or refused or self.sizes[-1] > self.most_bytes:
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
        self.processor = BatchLogRecordProcessor(self.exporter, schedule_delay_millis=10**8)
        self.provider.add_log_record_processor(self.processor)
        options = {"flush_interval": 1000.0, "reference": "off", **options}
        SklearnInstrumentor().instrument(logger_provider=self.provider, **options)

    def predicts(self, rows: int) -> None:
        MODEL.predict(X[:rows])
        assert flush() is self.exporter.reached

    def says(self, text: str) -> None:
        self.provider.get_logger("the program").emit(body=text, severity_number=SeverityNumber.INFO, timestamp=1)
        self.provider.force_flush()

    def kept_bytes(self) -> int:
        found: int = self.processor._batch_processor.bytes
        return found


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
    own = [one for one in program.exporter.got if one.instrumentation_scope.name == "the program"]
    assert [one.log_record.body for one in own] == ["delivered"]


def test_an_idle_program_delivers_too(started: Callable[..., Program], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "PATIENCE", 0.05)
    program = started(flush_interval=0.05)
    program.exporter.reached = False
    program.predicts(5)
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
    MODEL.predict(X)
    assert not flush()  # some were lost
    assert flush()
    found = program.exporter.rows()
    assert 2 < len(found) < 31
    assert sorted(found) == [*range(32 - len(found), 31), 50]


def test_one_call_of_more_than_may_wait_is_delivered_as_it_is_emitted(started: Callable[..., Program]) -> None:
    program = started(batch_rows=100, queue_bytes=400_000)
    many = np.random.default_rng(1).normal(size=(4_000, 3))
    with prediction_context(ids=np.arange(4_000)):
        MODEL.predict(many)
    assert flush()
    assert program.exporter.rows() == [100] * 40
    assert program.kept_bytes() == 0


def test_an_event_that_is_refused_while_others_are_delivered_is_given_up(started: Callable[..., Program]) -> None:
    program = started()
    program.predicts(1)
    program.exporter.refuses = events.ML_PREDICTION_BATCH
    MODEL.predict(X[:2])
    assert not flush()
    assert program.kept_bytes() > 0  # or the collector takes nothing now
    for number in range(outbox.MOST_REFUSALS):
        record_actual("other", str(number), label="x")
        flush()
    assert program.kept_bytes() == 0
    assert flush()


@pytest.mark.parametrize("limit", [outbox.REQUEST_BYTES, 700_000])
def test_requests_are_as_small_as_the_collector_asks(started: Callable[..., Program], limit: int) -> None:
    program = started(call_bytes=10**9, overhead=1, duty=1)
    program.exporter.most_bytes = limit
    large = np.random.default_rng(1).normal(size=(100_000, 3))
    MODEL.predict(large)
    MODEL.predict(large)
    assert flush(60)
    assert sum(program.exporter.rows()) == 200_000
    assert max(program.exporter.sizes) <= outbox.REQUEST_BYTES
    refused = [size for size in program.exporter.sizes if size > limit]
    assert len(refused) <= len(program.exporter.sizes) // 2


def test_a_flood_of_the_programs_own_logs_costs_no_prediction(started: Callable[..., Program]) -> None:
    program = started()
    MODEL.predict(X)
    own = program.provider.get_logger("the program")
    recorder.get().drain()
    for _ in range(5000):
        own.emit(body="text", severity_number=SeverityNumber.INFO, timestamp=1)
    assert flush()
    assert program.exporter.rows() == [50]


def test_a_flush_ends_although_the_export_itself_logs(started: Callable[..., Program]) -> None:
    program = started()
    own = program.provider.get_logger("the exporter")
    export = program.exporter.export

    def and_log(batch: Sequence[Any]) -> Any:
        own.emit(body="posted", severity_number=SeverityNumber.DEBUG, timestamp=1)
        return export(batch)

    program.exporter.export = and_log  # type: ignore[method-assign]
    for rows in (1, 2, 3):
        program.predicts(rows)
    assert program.exporter.rows() == [1, 2, 3]
    assert len(program.exporter.sizes) == 3


def test_what_is_left_is_exported_at_the_shutdown(started: Callable[..., Program]) -> None:
    program = started()
    program.exporter.reached = False
    program.predicts(3)
    program.exporter.reached = True
    program.provider.shutdown()
    assert program.exporter.rows() == [3]


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


def test_the_processor_is_put_back_when_nothing_waits(started: Callable[..., Program]) -> None:
    program = started()
    program.exporter.reached = False
    program.predicts(1)
    assert isinstance(program.processor._batch_processor, outbox.Outbox)
    SklearnInstrumentor().uninstrument()
    assert isinstance(program.processor._batch_processor, outbox.Outbox)
    program.exporter.reached = True
    program.provider.force_flush()
    assert program.exporter.rows() == [1]
    SklearnInstrumentor().instrument(logger_provider=program.provider, reference="off", flush_interval=1000.0)
    program.predicts(2)
    SklearnInstrumentor().uninstrument()
    assert not isinstance(program.processor._batch_processor, outbox.Outbox)
    assert program.exporter.rows() == [1, 2]
