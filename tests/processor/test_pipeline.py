"""From the journal to the store: exactly once, whatever is repeated, interrupted or refused."""

from __future__ import annotations

import contextlib
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from prometheus_client import CollectorRegistry

from modelspan.processor import inserts
from modelspan.processor.decode import Decoded, decode, metrics
from modelspan.processor.decode.tables import ORDER
from modelspan.processor.journal import Block, Journal, Record, Signal
from modelspan.processor.pipeline import OK, Pipeline
from modelspan.processor.store import Store, StoreRejected, StoreStrained, StoreUnavailable
from modelspan.processor.store.embedded import EmbeddedEngine
from modelspan.semconv import attributes, columns, events
from tests.processor.otlp import MODEL, TIME, arrow, batch, log, logs, spans, stream

TABLES = ("ml_predictions", "otel_logs", "otel_traces", "ml_actuals", "ml_ingested")


class Completed:
    """A journal of which only the completed blocks matter."""

    def __init__(self) -> None:
        self.tokens: list[str] = []

    def next_block(self, *, max_bytes: int, max_records: int, wait: float, linger: float) -> Block | None:
        return None

    def complete(self, block: Block) -> None:
        self.tokens.append(block.token)


class Troubled(Store):
    """A store in which the inserts that `fault` names fail before they reach the real one."""

    fault: Callable[[str, pa.Table], Exception | None] = staticmethod(lambda table, rows: None)

    def insert(self, table: str, rows: pa.Table, token: str) -> None:
        error = self.fault(table, rows)
        if error is not None:
            raise error
        super().insert(table, rows, token)


@pytest.fixture
def troubled(store: Store, embedded_url: str) -> Iterator[Troubled]:
    opened = Troubled(embedded_url, database=store.database)
    yield opened
    opened.close()


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attempts follow one another at once."""
    for pauses in ("_PAUSES", "_PAUSES_OF_ROW"):
        monkeypatch.setattr(inserts, pauses, [0.0] * len(getattr(inserts, pauses)))


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def pipeline_of(tmp_path: Path, registry: CollectorRegistry) -> Callable[..., Pipeline]:
    def make(store: Store, journal: Any = None, **options: Any) -> Pipeline:
        given = {"quarantine": tmp_path / "quarantine", "registry": registry, **options}
        return Pipeline(journal or Completed(), store, **given)

    return make


def counts(store: Store) -> dict[str, int]:
    return {table: int(store.query(f"SELECT count() FROM {table}", {})[0][0]) for table in TABLES}


def mixed_block(token: str = "j:1-4") -> Block:
    """Batches, spans and other events."""
    actual = {**MODEL, attributes.ML_PREDICTION_ID: "p0", attributes.ML_ACTUAL_LABEL: "1"}
    return Block(
        token,
        (
            batch(arrow({"feature.a": [1.0, 2.0, 3.0]}), sequence=1),
            spans([{"attributes": MODEL}, {"attributes": MODEL}, {"name": "other"}], sequence=2),
            log(events.ML_PREDICTION_ACTUAL, actual, sequence=3),
            log("ordinary", {}, sequence=4),
        ),
    )


STORED = {"ml_predictions": 5, "otel_logs": 3, "otel_traces": 3, "ml_actuals": 1, "ml_ingested": 3}


def truths(sequence: int) -> tuple[Record, ...]:
    """Actuals and outcomes, many as columns and one by itself, as a producer repeats them after a lost answer."""
    who = {attributes.ML_MODEL_NAME: "fraud"}
    rows = {**who, attributes.ML_PREDICTION_BATCH_DATA: arrow({columns.LABEL: ["a", "b", "c"]})}
    values = {**who, attributes.ML_PREDICTION_BATCH_DATA: arrow({columns.VALUE: [1.0, 2.0]})}
    named = {attributes.ML_OUTCOME_NAME: "revenue"}
    one = {**who, attributes.ML_PREDICTION_ID: "p9"}
    return (
        log(events.ML_PREDICTION_ACTUAL, rows, sequence=sequence),
        log(events.ML_PREDICTION_OUTCOME, {**values, **named}, sequence=sequence + 1),
        log(events.ML_PREDICTION_ACTUAL, {**one, attributes.ML_ACTUAL_LABEL: "d"}, sequence=sequence + 2),
        log(events.ML_PREDICTION_OUTCOME, {**one, **named, attributes.ML_OUTCOME_VALUE: 3.0}, sequence=sequence + 3),
    )


def test_actuals_and_outcomes_that_are_sent_again_are_stored_once(
    store: Store, pipeline_of: Callable[..., Pipeline]
) -> None:
    pipeline = pipeline_of(store)
    pipeline.process(Block("j:1-4", truths(1)))
    pipeline.process(Block("j:5-8", truths(5)))
    pipeline.process(Block("j:5-8", truths(5)))  # a replay of the block itself
    labels = store.query("SELECT prediction_id, label FROM ml_actuals ORDER BY prediction_id", {})
    assert labels == [("p0", "a"), ("p1", "b"), ("p2", "c"), ("p9", "d")]
    values = store.query("SELECT prediction_id, value FROM ml_outcomes ORDER BY prediction_id", {})
    assert values == [("p0", 1.0), ("p1", 2.0), ("p9", 3.0)]


def test_a_block_is_stored_completed_counted_and_announced(
    store: Store, pipeline_of: Callable[..., Pipeline], registry: CollectorRegistry
) -> None:
    journal, announced = Completed(), list[Decoded]()
    pipeline_of(store, journal, on_block=announced.append).process(mixed_block())
    assert counts(store) == STORED
    assert journal.tokens == ["j:1-4"]
    assert [sorted(model.model_name for model in decoded.touched) for decoded in announced] == [["fraud"]]
    assert registry.get_sample_value("modelspan_store_rows_total", {"modelspan_table": "ml_predictions"}) == 5


@pytest.mark.parametrize("fresh_process", [True, False])
def test_a_block_processed_again_changes_nothing(
    store: Store, pipeline_of: Callable[..., Pipeline], fresh_process: bool, tmp_path: Path
) -> None:
    first = pipeline_of(store)
    first.process(mixed_block())
    again = Pipeline(Completed(), store, quarantine=tmp_path, registry=CollectorRegistry()) if fresh_process else first
    again.process(mixed_block())
    assert counts(store) == STORED


@pytest.mark.parametrize("survivors", [1, 2, 10, 11])
def test_a_crash_between_two_tables_is_healed_by_the_replay(
    store: Store, pipeline_of: Callable[..., Pipeline], survivors: int
) -> None:
    block = mixed_block()
    tables = decode(block.records, token=block.token, now=time.time_ns() // 10**6).tables
    for table in ORDER[:survivors]:
        if table in tables:
            store.insert(table, tables[table], block.token)
    pipeline_of(store).process(block)
    assert counts(store) == STORED


def test_a_crash_between_two_partitions_is_healed_by_the_replay(
    store: Store, pipeline_of: Callable[..., Pipeline]
) -> None:
    month = 31 * 86400 * 10**9
    far_apart = [{"attributes": MODEL}, {"attributes": MODEL, "start_time_unix_nano": TIME + month}]
    block = Block("j:1-1", (spans(far_apart),))
    rows = decode(block.records, token=block.token, now=time.time_ns() // 10**6).tables["ml_predictions"]
    store.insert("ml_predictions", rows.slice(0, 1), block.token)
    pipeline_of(store).process(block)
    assert counts(store)["ml_predictions"] == 2


def test_a_batch_delivered_again_in_another_block_is_stored_once(
    store: Store, pipeline_of: Callable[..., Pipeline]
) -> None:
    pipeline = pipeline_of(store)
    payload, other = arrow({"feature.a": [1.0]}), arrow({"feature.a": [2.0]})
    pipeline.process(Block("j:1-1", (batch(payload),)))
    pipeline.process(Block("j:2-3", (batch(payload, sequence=2), batch(other, sequence=3))))
    assert counts(store) == {**dict.fromkeys(TABLES, 0), "ml_predictions": 2, "otel_logs": 2, "ml_ingested": 2}


def test_a_batch_delivered_again_in_the_block_decoded_while_the_first_is_stored_is_stored_once(
    store: Store, troubled: Troubled, pipeline_of: Callable[..., Pipeline]
) -> None:
    payload = arrow({"feature.a": [1.0]})
    coming = [Block(f"j:{i}-{i}", (batch(payload, sequence=i),)) for i in (1, 2)]
    lookups = threading.Semaphore(0)
    query = troubled.query

    def lookup(sql: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
        rows = query(sql, parameters)
        if "ml_ingested" in sql and parameters["kind"] == "batch":
            lookups.release()
        return rows

    def wait_for_two_lookups(table: str, rows: pa.Table) -> None:
        if table == "ml_predictions":
            assert lookups.acquire(timeout=20)
            assert lookups.acquire(timeout=20)

    class Two(Completed):
        def next_block(self, **limits: float) -> Block | None:
            return coming.pop(0) if coming else None

    troubled.query, troubled.fault = lookup, wait_for_two_lookups  # type: ignore[method-assign]  # of this one store
    pipeline = pipeline_of(troubled, queue := Two())
    pipeline.start()
    assert pipeline.stop(timeout=20)
    assert queue.tokens == ["j:1-1", "j:2-2"]
    assert counts(store)["ml_predictions"] == 1


def test_a_span_delivered_again_is_one_prediction(store: Store, pipeline_of: Callable[..., Pipeline]) -> None:
    pipeline = pipeline_of(store)
    for block in range(3):
        pipeline.process(Block(f"j:{block}", (spans([{"attributes": MODEL}, {"attributes": MODEL}], sequence=block),)))
    assert counts(store)["ml_predictions"] == 2


def test_many_models_that_are_new_cost_a_few_questions(
    troubled: Troubled, pipeline_of: Callable[..., Pipeline]
) -> None:
    asked: list[str] = []
    query = troubled.query

    def note(sql: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
        asked.append(sql)
        return query(sql, parameters)

    troubled.query = note  # type: ignore[method-assign]  # of this one store
    models = [{**MODEL, attributes.ML_MODEL_NAME: f"m{i}"} for i in range(1200)]
    batches = [
        (events.ML_PREDICTION_BATCH, {**model, attributes.ML_PREDICTION_BATCH_DATA: arrow({"feature.a": [float(i)]})})
        for i, model in enumerate(models[:600])
    ]
    pipeline = pipeline_of(troubled)
    for sequence in (1, 2):
        of_spans = spans([{"attributes": model} for model in models[600:]], sequence=sequence)
        pipeline.process(Block(f"j:{sequence}", (logs(batches), of_spans)))
    assert counts(troubled)["ml_predictions"] == 1200
    assert len(asked) < 20


@pytest.mark.parametrize(
    "name", ["o'hare", "back\\slash\\", "two\nlines", "ends with \0", "n\0l", "Größe", "{x:String} %s"]
)
def test_a_span_delivered_again_is_one_prediction_whatever_its_model_is_called(
    store: Store, pipeline_of: Callable[..., Pipeline], name: str
) -> None:
    for block in range(2):
        span = {"attributes": {**MODEL, attributes.ML_MODEL_NAME: name}}
        pipeline_of(store, registry=CollectorRegistry()).process(Block(f"j:{block}", (spans([span]),)))
    assert counts(store)["ml_predictions"] == 1


def test_models_of_one_block_that_share_ids_do_not_hide_each_other(
    store: Store, pipeline_of: Callable[..., Pipeline]
) -> None:
    def span(version: str, seconds: int) -> dict[str, Any]:
        named = {**MODEL, attributes.ML_MODEL_VERSION: version, attributes.ML_PREDICTION_ID: "order-7"}
        return {"attributes": named, "start_time_unix_nano": TIME + seconds * 10**9}

    pipeline = pipeline_of(store)
    pipeline.process(Block("j:1", (spans([span("3", 0), span("4", 25)]),)))
    pipeline.process(Block("j:2", (spans([span("3", 25), span("4", 0), span("5", 12)], sequence=2),)))
    assert counts(store)["ml_predictions"] == 5


def one_id(prediction: str, offset: int = 0) -> bytes:
    times = pa.array([TIME + offset], pa.timestamp("ns", "UTC"))
    return stream(pa.table({"time": times, "prediction_id": [prediction], "feature.o": [float(offset)]}))


@pytest.mark.parametrize("order", [("batch", "span"), ("span", "batch"), ("span", "span"), ("together", "batch")])
def test_a_prediction_in_two_forms_is_stored_once(
    store: Store, pipeline_of: Callable[..., Pipeline], order: tuple[str, str], tmp_path: Path
) -> None:
    named = {**MODEL, attributes.ML_PREDICTION_ID: "order-7"}
    forms = {
        "batch": (batch(one_id("order-7", 2 * 10**9)),),
        "span": (spans([{"attributes": named}], sequence=2),),
        "together": (batch(one_id("order-7")), spans([{"attributes": named}], sequence=2)),
    }
    for i, form in enumerate(order):
        # A pipeline of its own for each block: what is known must come from the store.
        pipeline = Pipeline(Completed(), store, quarantine=tmp_path, registry=CollectorRegistry())
        pipeline.process(Block(f"j:{i}", forms[form]))
    assert counts(store)["ml_predictions"] == 1


def test_the_same_id_of_another_model_or_much_later_is_another_prediction(
    store: Store, pipeline_of: Callable[..., Pipeline]
) -> None:
    named = {**MODEL, attributes.ML_PREDICTION_ID: "order-7"}
    others = [
        {"attributes": {**named, attributes.ML_MODEL_VERSION: "4"}},
        {"attributes": named, "start_time_unix_nano": TIME + 3600 * 10**9},
    ]
    pipeline = pipeline_of(store)
    pipeline.process(Block("j:1", (spans([{"attributes": named}]),)))
    for i, other in enumerate(others):
        pipeline.process(Block(f"j:{i + 2}", (spans([other]),)))
    assert counts(store)["ml_predictions"] == 3


def poison(table: str, rows: pa.Table) -> Exception | None:
    if table == "otel_logs" and "poison" in rows.column("EventName").to_pylist():
        return StoreRejected("TYPE_MISMATCH")
    return None


def test_a_request_that_the_store_rejects_is_quarantined_and_the_others_are_stored(
    troubled: Troubled, pipeline_of: Callable[..., Pipeline], registry: CollectorRegistry, tmp_path: Path
) -> None:
    troubled.fault = poison
    records = tuple(log("poison" if sequence == 5 else "fine", {}, sequence=sequence) for sequence in range(1, 12))
    pipeline = pipeline_of(troubled)
    for _ in range(2):
        pipeline.process(Block("j:1-11", records))
    assert counts(troubled)["otel_logs"] == 10
    [file] = (tmp_path / "quarantine").glob("*.pb")
    assert file.name == "00000000000000000005.logs.pb"
    assert file.read_bytes() == records[4].payload
    sample = {"ml_data_quality_reason": "quarantined"}
    assert registry.get_sample_value("modelspan_decode_rejected_total", sample) == 2


def test_a_request_that_is_no_otlp_is_quarantined(
    store: Store, pipeline_of: Callable[..., Pipeline], tmp_path: Path
) -> None:
    records = (Record(1, Signal.METRICS, b"\xff\xff\xff"), log("fine", {}, sequence=2))
    pipeline_of(store).process(Block("j:1-2", records))
    assert counts(store)["otel_logs"] == 1
    assert (tmp_path / "quarantine" / "00000000000000000001.metrics.pb").read_bytes() == b"\xff\xff\xff"


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    opened = Journal.open(tmp_path / "journal")
    yield opened
    opened.close()


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "not within 20 s"
        time.sleep(0.02)


def test_stopping_drains_the_journal(store: Store, pipeline_of: Callable[..., Pipeline], journal: Journal) -> None:
    pipeline = pipeline_of(store, journal)
    pipeline.start()
    for i in range(20):
        journal.append(Signal.LOGS, log("ordinary", {"i": i}).payload).result()
    assert pipeline.stop(timeout=20)
    assert counts(store)["otel_logs"] == 20
    assert journal.backlog == (0, 0)


def test_what_arrives_while_the_last_block_is_stored_is_drained_too(
    troubled: Troubled, pipeline_of: Callable[..., Pipeline]
) -> None:
    first, second = (Block(f"j:{i}", (spans([{"attributes": MODEL}], sequence=i),)) for i in (1, 2))
    coming, found_nothing = [first], threading.Event()

    class Late(Completed):
        def next_block(self, **limits: float) -> Block | None:
            if coming:
                return coming.pop()
            found_nothing.set()
            return None

    pipeline = pipeline_of(troubled, queue := Late())
    drained: list[bool] = []
    stop = threading.Thread(target=lambda: drained.append(pipeline.stop(timeout=20)))

    def late(table: str, rows: pa.Table) -> None:
        if not stop.ident:
            assert found_nothing.wait(20)
            stop.start()
            time.sleep(0.2)
            coming.append(second)

    troubled.fault = late
    pipeline.start()
    wait_for(lambda: stop.ident is not None)
    stop.join()
    assert (drained, queue.tokens) == ([True], ["j:1", "j:2"])


def test_a_block_that_could_not_be_decoded_ahead_is_decoded_when_it_is_its_turn(
    store: Store, troubled: Troubled, pipeline_of: Callable[..., Pipeline]
) -> None:
    coming = [Block(f"j:{i}", (batch(arrow({"feature.a": [float(i)]}), sequence=i),)) for i in (1, 2)]
    query, troubles = troubled.query, [RuntimeError("ahead"), StoreUnavailable("ahead")]

    def fail_first(sql: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
        if troubles:
            raise troubles.pop()
        return query(sql, parameters)

    class Two(Completed):
        def next_block(self, **limits: float) -> Block | None:
            return coming.pop(0) if coming else None

    troubled.query = fail_first  # type: ignore[method-assign]  # of this one store
    pipeline = pipeline_of(troubled, queue := Two())
    pipeline.start()
    wait_for(lambda: len(queue.tokens) == 2)
    assert pipeline.stop(timeout=20)
    assert counts(store)["ml_predictions"] == 2


def test_an_unreachable_store_is_said_and_caught_up_with(
    troubled: Troubled, pipeline_of: Callable[..., Pipeline], journal: Journal
) -> None:
    troubled.fault = lambda table, rows: StoreUnavailable("connection refused")
    pipeline = pipeline_of(troubled, journal)
    pipeline.start()
    journal.append(Signal.LOGS, log("ordinary", {}).payload).result()
    wait_for(lambda: pipeline.state != OK)
    assert pipeline.state.startswith("store unreachable since ")
    assert pipeline.state.endswith("connection refused")
    assert journal.backlog[0] == 1
    troubled.fault = lambda table, rows: None
    wait_for(lambda: pipeline.state == OK)
    assert pipeline.stop(timeout=20)
    assert counts(troubled)["otel_logs"] == 1


def test_a_store_that_refuses_is_not_called_unreachable(
    store: Store, troubled: Troubled, pipeline_of: Callable[..., Pipeline], journal: Journal
) -> None:
    troubled.fault = lambda table, rows: StoreUnavailable("connection refused")
    store.client().command("RENAME TABLE otel_logs TO away")
    pipeline = pipeline_of(troubled, journal)
    pipeline.start()
    journal.append(Signal.LOGS, log("ordinary", {}).payload).result()
    wait_for(lambda: pipeline.state.startswith("store unreachable since "))
    troubled.fault = lambda table, rows: None
    wait_for(lambda: pipeline.state.startswith("store refuses since "))
    assert re.search(r"insert into otel_logs: Code: 60\. .*otel_logs.*; .*restore them", pipeline.state)
    store.client().command("RENAME TABLE away TO otel_logs")
    wait_for(lambda: pipeline.state == OK)
    assert pipeline.stop(timeout=20)
    assert counts(store)["otel_logs"] == 1


def test_a_stop_without_a_store_leaves_the_rows_in_the_journal(
    troubled: Troubled, pipeline_of: Callable[..., Pipeline], journal: Journal
) -> None:
    troubled.fault = lambda table, rows: StoreUnavailable("down")
    pipeline = pipeline_of(troubled, journal)
    pipeline.start()
    journal.append(Signal.LOGS, log("ordinary", {}).payload).result()
    wait_for(lambda: pipeline.state != OK)
    stopped = threading.Event()
    threading.Thread(target=lambda: (pipeline.stop(timeout=0.3), stopped.set())).start()
    assert stopped.wait(20)
    assert journal.backlog[0] == 1


def strained(largest: int) -> Callable[[str, pa.Table], Exception | None]:
    """An engine that has memory for so many predictions at once."""

    def fault(table: str, rows: pa.Table) -> Exception | None:
        return StoreStrained("too much") if table == "ml_predictions" and rows.num_rows > largest else None

    return fault


def test_a_request_that_is_too_much_at_once_is_stored_in_parts(
    troubled: Troubled, pipeline_of: Callable[..., Pipeline], tmp_path: Path
) -> None:
    troubled.fault = strained(3)
    block = Block("j:1-2", (batch(arrow({"feature.a": [float(i) for i in range(20)]})), log("fine", {}, sequence=2)))
    for _ in range(2):
        pipeline_of(troubled, registry=CollectorRegistry()).process(replace(block, again=True))
    rows = troubled.query("SELECT features_numeric['a'] AS a, count() FROM ml_predictions GROUP BY a ORDER BY a", {})
    assert rows == [(float(i), 1) for i in range(20)]
    assert counts(troubled)["otel_logs"] == 2
    assert not (tmp_path / "quarantine").exists()


@pytest.mark.parametrize("inserts", range(1, 9))
def test_parts_are_stored_once_when_the_process_ends_between_them_and_the_next_one_has_more_memory(
    troubled: Troubled, pipeline_of: Callable[..., Pipeline], inserts: int
) -> None:
    block = Block("j:1-1", (spans([{"attributes": MODEL}] * 2), batch(arrow({"feature.a": [1.0] * 16}), sequence=2)))
    left = iter(range(inserts))

    def fault(table: str, rows: pa.Table) -> Exception | None:
        error = strained(5)(table, rows)
        return error or (None if table != "ml_predictions" or next(left, None) is not None else SystemExit())

    troubled.fault = fault
    with contextlib.suppress(SystemExit):
        pipeline_of(troubled, registry=CollectorRegistry()).process(block)
    troubled.fault = strained(1000)
    pipeline_of(troubled, registry=CollectorRegistry()).process(replace(block, again=True))
    assert counts(troubled)["ml_predictions"] == 18


def failing(table: str, rows: pa.Table) -> Exception | None:
    """An error of this program, not of the store."""
    poisoned = table == "otel_logs" and "poison" in rows.column("EventName").to_pylist()
    return TypeError("'NoneType' object is not iterable") if poisoned else None


def poisoned_block() -> Block:
    several = logs([("first", {}), ("poison", {}), ("third", {})], sequence=2)
    return Block("j:1-3", (log("before", {}, sequence=1), several, log("after", {}, sequence=3)))


def test_a_request_on_which_the_program_fails_is_quarantined_and_the_others_are_stored(
    troubled: Troubled, pipeline_of: Callable[..., Pipeline], tmp_path: Path
) -> None:
    troubled.fault = failing
    for _ in range(2):
        journal = Completed()
        pipeline_of(troubled, journal, registry=CollectorRegistry()).process(poisoned_block())
        assert journal.tokens == ["j:1-3"]
    assert names_of_logs(troubled) == ["after", "before"]
    said = json.loads((tmp_path / "quarantine" / "00000000000000000002.logs.json").read_text())
    reason = "it cannot be stored: TypeError: 'NoneType' object is not iterable"
    assert (said["table"], said["rows_not_stored"], said["reason"]) == ("otel_logs", 3, reason)


def test_a_row_that_cannot_be_handed_to_the_engine_costs_no_row_beside_it(
    store: Store, pipeline_of: Callable[..., Pipeline], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert = EmbeddedEngine.insert

    def faulty(self: EmbeddedEngine, client: Any, table: str, rows: pa.Table, settings: dict[str, str]) -> None:
        if error := failing(table, rows):
            raise error
        insert(self, client, table, rows, settings)

    monkeypatch.setattr(EmbeddedEngine, "insert", faulty)
    pipeline_of(store).process(poisoned_block())
    assert names_of_logs(store) == ["after", "before", "first", "third"]
    said = json.loads((tmp_path / "quarantine" / "00000000000000000002.logs.json").read_text())
    assert (said["rows_not_stored"], said["reason"].partition(": ")[2]) == (
        1,
        "TypeError: 'NoneType' object is not iterable",
    )


def test_a_stored_block_that_cannot_be_announced_is_not_stored_again(
    store: Store, pipeline_of: Callable[..., Pipeline]
) -> None:
    def announce(decoded: Decoded) -> None:
        raise TypeError("no")

    pipeline_of(store, journal := Completed(), on_block=announce).process(mixed_block())
    assert journal.tokens == ["j:1-4"]
    assert counts(store) == STORED


def names_of_logs(store: Store) -> list[str]:
    return [name for (name,) in store.query("SELECT EventName FROM otel_logs ORDER BY EventName", {})]


def daily_block(days: int) -> Block:
    """Log records, of which each is on another day than the one before it, and some days come twice."""
    records = [
        log(f"day {i}", {}, time=TIME + (i * 7 % days) * 86_400 * 10**9, sequence=i + 1) for i in range(days + 3)
    ]
    return Block(f"j:1-{days + 3}", tuple(records))


def test_an_insert_that_fails_after_some_of_its_partitions_stores_no_row_twice(
    troubled: Troubled, pipeline_of: Callable[..., Pipeline]
) -> None:
    def fault(table: str, rows: pa.Table) -> Exception | None:
        if table != "otel_logs" or rows.num_rows <= 2:
            return None
        Store.insert(troubled, table, rows.slice(0, 5), token)  # what the engine had stored when its memory was used up
        return StoreStrained("memory limit exceeded")

    block = daily_block(10)
    token = block.token
    troubled.fault = fault
    for _ in range(2):
        pipeline_of(troubled, registry=CollectorRegistry()).process(replace(block, again=True))
    rows = troubled.query("SELECT EventName, count() FROM otel_logs GROUP BY EventName", {})
    assert sorted(rows) == sorted((f"day {i}", 1) for i in range(13))


def test_rows_of_many_days_are_stored_in_inserts_of_some_and_each_is_known_by_its_place(
    troubled: Troubled, pipeline_of: Callable[..., Pipeline], tmp_path: Path
) -> None:
    widest = 0

    def fault(table: str, rows: pa.Table) -> Exception | None:
        nonlocal widest
        if table != "otel_logs":
            return None
        widest = max(widest, len(set(rows.column("Timestamp").cast(pa.int64()).to_pylist())))
        return StoreRejected("bad") if "day 77" in rows.column("EventName").to_pylist() else None

    troubled.fault = fault
    pipeline_of(troubled).process(daily_block(250))
    rows = troubled.query("SELECT EventName, count() FROM otel_logs GROUP BY EventName", {})
    assert sorted(rows) == sorted((f"day {i}", 1) for i in range(253) if i != 77)
    assert [file.name for file in (tmp_path / "quarantine").glob("*.pb")] == ["00000000000000000078.logs.pb"]
    assert widest <= inserts.MAX_PARTITIONS


def test_a_row_that_no_memory_suffices_for_is_quarantined_with_its_reason_and_the_rows_beside_it_are_stored(
    troubled: Troubled, pipeline_of: Callable[..., Pipeline], tmp_path: Path
) -> None:
    def fault(table: str, rows: pa.Table) -> Exception | None:
        giant = table == "ml_predictions" and "p7" in rows.column("prediction_id").to_pylist()
        return StoreStrained("memory limit exceeded") if giant else None

    troubled.fault = fault
    giant = batch(arrow({"feature.a": [1.0] * 12}), sequence=2)
    other = arrow({"prediction_id": ["q1", "q2"], "feature.a": [2.0, 3.0]})
    block = Block("j:1-3", (log("fine", {}, sequence=1), giant, batch(other, sequence=3)))
    pipeline_of(troubled).process(block)
    assert counts(troubled)["ml_predictions"] == 13
    files = tmp_path / "quarantine" / "00000000000000000002.logs"
    assert files.with_suffix(".logs.pb").read_bytes() == giant.payload
    said = json.loads(files.with_suffix(".logs.json").read_text())
    assert (said["table"], said["rows_not_stored"], said["reason"]) == ("ml_predictions", 1, "memory limit exceeded")
    listed = troubled.query("SELECT file, sequence, `table`, rows, reason FROM ml_quarantined", {})
    assert listed == [("00000000000000000002.logs.pb", 2, "ml_predictions", 1, "memory limit exceeded")]


def test_rows_are_kept_in_the_journal_where_the_table_takes_none_at_all(
    troubled: Troubled, pipeline_of: Callable[..., Pipeline], tmp_path: Path
) -> None:
    troubled.fault = strained(0)
    troubled.client().command("RENAME TABLE ml_predictions TO away")
    pipeline = pipeline_of(troubled, journal := Completed())
    with pytest.raises(StoreUnavailable, match="restore them"):
        pipeline.process(Block("j:1-1", (batch(arrow({"feature.a": [1.0, 2.0]})),)))
    assert journal.tokens == []
    assert not (tmp_path / "quarantine").exists()


def test_a_log_record_that_cannot_be_decoded_costs_no_other(
    store: Store, pipeline_of: Callable[..., Pipeline], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    decode_metrics = metrics.decode_metrics

    def fail(request: Any, rows: Any) -> None:
        assert "bad" not in str(request)
        decode_metrics(request, rows)

    monkeypatch.setattr("modelspan.processor.decode.decode_metrics", fail)
    request = ExportMetricsServiceRequest()
    for scope in range(2):
        part = request.resource_metrics.add().scope_metrics.add()
        for name in ("one", "bad", "two"):
            part.metrics.add(name=f"{name} {scope}").gauge.data_points.add(as_int=1, time_unix_nano=TIME)
    pipeline_of(store).process(Block("j:1-1", (Record(1, Signal.METRICS, request.SerializeToString()),)))
    stored = store.query("SELECT MetricName FROM otel_metrics_gauge ORDER BY MetricName", {})
    assert stored == [("one 0",), ("one 1",), ("two 0",), ("two 1",)]
    assert len(list((tmp_path / "quarantine").glob("*.pb"))) == 2


def test_a_name_that_is_too_long_makes_no_model_and_stops_nothing(
    store: Store, pipeline_of: Callable[..., Pipeline], registry: CollectorRegistry
) -> None:
    named = {**MODEL, attributes.ML_MODEL_NAME: "m" * 17_000_000}
    block = Block("j:1", (spans([{"attributes": named}, {"attributes": MODEL}]), batch(arrow({}), named, sequence=2)))
    pipeline_of(store).process(block)
    assert store.query("SELECT model_name FROM ml_predictions", {}) == [("fraud",)]
    assert counts(store)["otel_traces"] == 2
    sample = {"ml_data_quality_reason": "name_too_long"}
    assert registry.get_sample_value("modelspan_decode_rejected_total", sample) == 2


def test_a_request_that_the_journal_does_not_give_back_as_it_was_is_quarantined(
    store: Store, pipeline_of: Callable[..., Pipeline], tmp_path: Path
) -> None:
    damaged = replace(log("fine", {}, sequence=1), intact=False)
    pipeline_of(store).process(Block("j:1-2", (damaged, log("fine", {}, sequence=2))))
    assert counts(store)["otel_logs"] == 1
    assert (tmp_path / "quarantine" / "00000000000000000001.logs.pb").read_bytes() == damaged.payload
    [(reason,)] = store.query("SELECT reason FROM ml_quarantined", {})
    assert reason.startswith("its bytes in the journal are not those that were written")
