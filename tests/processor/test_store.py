"""The store: connections, migrations, inserts that can be repeated, and errors of two classes."""

from __future__ import annotations

import socket
import threading
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError

from modelspan.processor.decode import decode
from modelspan.processor.store import (
    MAX_ROWS,
    Store,
    StoreRefused,
    StoreRejected,
    StoreTooNew,
    StoreUnavailable,
    migrate,
)
from modelspan.processor.store.migrate import migrations
from modelspan.semconv import attributes, events
from tests.processor.otlp import arrow, batch, log


def count(store: Store, table: str) -> int:
    return int(store.query(f"SELECT count() FROM {table}", {})[0][0])


def recorders(*ids: str) -> pa.Table:
    numbers = {
        name: pa.array([1] * len(ids), pa.uint64()) for name in ("sequence", "rows", "rows_recorded", "rows_dropped")
    }
    now = pa.repeat(pa.scalar(datetime.now(timezone.utc), pa.timestamp("ms", "UTC")), len(ids))
    return pa.table({"recorder_id": pa.array(ids, pa.string()), **numbers, "inserted_at": now})


def test_a_second_start_has_nothing_to_migrate(store: Store) -> None:
    assert store.migrate() == []
    assert count(store, "modelspan_migrations") == len(migrations())


def test_a_store_of_an_older_version_keeps_its_rows_and_gets_the_columns_that_came_since(
    engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as older:
        older.setattr(migrate, "migrations", lambda: migrations()[:3])
        store = Store.open(engine, database="older", memory=1_000_000_000)
    store.client().command("INSERT INTO ml_recorders (rows_recorded, inserted_at) VALUES (7, now())")
    store.client().command("INSERT INTO ml_models (model_name, lineage) VALUES ('fraud', map('a', 'b'))")
    store.client().command("INSERT INTO ml_references (model_name, source) VALUES ('fraud', 'fit')")
    assert store.migrate() == [migration.name for migration in migrations()[3:]]
    assert store.query("SELECT rows_recorded, rows_unsampled FROM ml_recorders", {}) == [(7, 0)]
    assert store.query("SELECT lineage, training_data, model_digest FROM ml_models FINAL", {}) == [
        ({"a": "b"}, [], None)
    ]
    assert store.query("SELECT source, model_digest FROM ml_references", {}) == [("fit", "")]
    comment = (
        "SELECT comment FROM system.columns WHERE database = 'older' AND table = 'ml_references' AND name = 'source'"
    )
    assert "fit" in store.query(comment, {})[0][0]
    store.client().command("DROP DATABASE older")
    store.close()


def test_every_migration_says_why_and_has_its_number() -> None:
    known = migrations()
    numbers = [migration.version for migration in known]
    assert numbers == sorted(set(numbers))
    assert all(migration.statements[0].startswith("--") for migration in known)


def test_processes_that_migrate_at_the_same_time_do_no_harm(embedded_url: str, store: Store) -> None:
    errors: list[Exception] = []

    def migrate() -> None:
        try:
            Store.open(embedded_url, database="raced").close()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=migrate) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    raced = Store.open(embedded_url, database="raced")
    assert raced.query("SELECT count(DISTINCT version) FROM modelspan_migrations", {}) == [(len(migrations()),)]
    raced.client().command("DROP DATABASE raced")
    raced.close()


def test_a_store_of_a_newer_version_is_refused_with_a_sentence(store: Store) -> None:
    store.client().insert("modelspan_migrations", [[9999, "9999_future"]], column_names=["version", "name"])
    with pytest.raises(StoreTooNew, match=r"9999_future.*upgrade modelspan"):
        store.migrate()


def test_the_same_token_inserts_once_also_into_the_target_of_a_view(store: Store) -> None:
    times = pa.array([1, 2], pa.timestamp("ns", "UTC"))
    rows = pa.table({"Timestamp": times, "TraceId": ["a", "b"]})
    for token in ("t1", "t1", "t2"):
        store.insert("otel_traces", rows, token)
    assert (count(store, "otel_traces"), count(store, "otel_traces_trace_id_ts")) == (4, 4)


def test_tokens_of_one_table_do_not_count_for_another(store: Store) -> None:
    for table in ("ml_recorders", "ml_recorders"):
        store.insert(table, recorders("a"), "same")
    store.insert("ml_outcomes", pa.table({"prediction_id": ["p"]}), "same")
    assert (count(store, "ml_recorders"), count(store, "ml_outcomes")) == (1, 1)


def test_a_token_counts_whatever_rows_come_with_it_and_in_how_many_pieces(store: Store) -> None:
    store.insert("ml_recorders", pa.concat_tables([recorders("a"), recorders("b")]), "t")
    store.insert("ml_recorders", recorders("a"), "t")
    store.insert("ml_recorders", pa.concat_tables([recorders("a"), recorders("b"), recorders("c")]), "t")
    assert count(store, "ml_recorders") == 2


def test_an_insert_over_several_partitions_is_repeated_without_harm(store: Store) -> None:
    times = pa.array([0, 4 * 10**15, 8 * 10**15], pa.timestamp("ns", "UTC"))
    rows = pa.table({"Timestamp": times, "Body": ["a", "b", "c"]})
    for _ in range(2):
        store.insert("otel_logs", rows, "t")
    assert count(store, "otel_logs") == 3


def test_a_large_insert_is_one_part(store: Store) -> None:
    rows = recorders(*map(str, range(300_000)))
    store.insert("ml_recorders", rows, "t")
    query = (
        "SELECT count() FROM system.parts WHERE database = currentDatabase() AND table = 'ml_recorders' AND level = 0"
    )
    assert store.query(query, {}) == [(1,)]
    with pytest.raises(ValueError, match="atomic"):
        store.insert("ml_recorders", pa.table({"recorder_id": pa.nulls(MAX_ROWS + 1, pa.string())}), "t2")


def test_rows_that_never_fit_are_rejected_and_other_faults_are_temporary(store: Store) -> None:
    with pytest.raises(StoreRejected, match="insert into ml_recorders"):
        store.insert("ml_recorders", pa.table({"sequence": ["not a number"]}), "t")
    with pytest.raises(StoreRefused, match=r"insert into no_such_table: Code: 60\. .*; someone has changed"):
        store.insert("no_such_table", pa.table({"a": [1]}), "t")
    store.insert("ml_recorders", recorders("still works"), "t")


def test_a_server_that_is_not_there_is_unavailable() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    with pytest.raises(StoreUnavailable, match="could not connect") as error:
        Store.open(f"http://user:password@127.0.0.1:{port}")
    assert not isinstance(error.value, StoreRefused)


@pytest.mark.parametrize("url", ["", "chdb://", "chdb://relative", "ftp://host", "http://"])
def test_what_is_no_store_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="store URL"):
        Store(url, database="x")


def test_the_password_is_not_in_the_error() -> None:
    with pytest.raises(StoreUnavailable) as error:
        Store.open("http://user:secret-word@127.0.0.1:9")
    assert "secret-word" not in str(error.value)


def test_each_thread_has_its_own_client(store: Store) -> None:
    clients: list[Any] = [store.client(), store.client()]
    thread = threading.Thread(target=lambda: clients.append(store.client()))
    thread.start()
    thread.join()
    assert clients[0] is clients[1]
    assert clients[2] is not clients[0]


def test_rows_of_a_failed_query_do_not_come_out_of_the_next(store: Store) -> None:
    client = store.client()
    for _ in range(3):
        with pytest.raises(DatabaseError, match="throwIf"):
            client.query("SELECT throwIf(number = 900000) AS x FROM numbers(1000000) SETTINGS max_threads = 1")
        assert client.query("SELECT 'mine' AS y").result_rows == [("mine",)]
        assert store.client() is client


def test_a_failed_query_of_the_store_leaves_nothing_either(store: Store) -> None:
    with pytest.raises(StoreRefused, match="throwIf"):
        store.query("SELECT throwIf(number = 900000) AS x FROM numbers(1000000) SETTINGS max_threads = 1", {})
    assert store.query("SELECT 'mine' AS y", {}) == [("mine",)]
    store.insert("ml_recorders", recorders("a"), "it's a token with \\ in it")
    assert count(store, "ml_recorders") == 1


def test_a_closed_store_is_not_opened_again_by_an_error(store: Store, embedded_url: str) -> None:
    other = Store.open(embedded_url, database=store.database)
    client = other.client()
    other.close()
    with pytest.raises(StoreUnavailable, match="closed"):
        client.query("SELECT 1")
    with pytest.raises(StoreUnavailable, match="closed"):
        other.client()


def test_files_of_a_killed_process_are_swept_and_none_are_left_behind(store: Store, embedded_url: str) -> None:
    work = Path(embedded_url.removeprefix("chdb://") + "-work")
    (work / "0123456789abcdef-1.arrow").write_bytes(b"predictions")
    store.migrate()
    store.insert("ml_recorders", recorders("a"), "t")
    assert [file.name for file in work.iterdir()] == ["engine.xml"]
    assert work.stat().st_mode & 0o077 == 0


def test_what_one_process_knows_of_the_training_data_outlives_what_others_do_not(store: Store) -> None:
    names = attributes.ML_TRAINING_DATASET_NAMES, attributes.ML_TRAINING_DATASET_DIGESTS
    said = [
        {attributes.ML_TRAINING_DATASET_DIGEST: "sha256:ab"},
        {attributes.ML_TRAINING_RUN_ID: "r1"},
        dict(zip(names, (["transactions"], ["7"]), strict=True)),
        {},
    ]
    for number, values in enumerate(said):
        record = log(events.ML_MODEL_LOADED, {attributes.ML_MODEL_NAME: "fraud", **values})
        store.insert("ml_models", decode([record], token="t", now=1).tables["ml_models"], f"t{number}")
    query = "SELECT arraySort(training_data) FROM ml_models FINAL"
    assert store.query(query, {}) == [(["sha256:ab", "transactions@7"],)]


def random_table(rng: np.random.Generator) -> tuple[dict[str, pa.Array], list[dict[str, Any]]]:
    """Feature columns of random types with missing values, and what must come back for each row."""
    rows = int(rng.integers(1, 40))
    special = [0.0, -0.0, 2.0**53, 1e-320, 1.7976931348623157e308, np.inf, -np.inf]
    words = ["", "ü", "日本", "\0", "a\nb", "'", "x" * 300]
    kinds: dict[str, tuple[pa.DataType, Any]] = {
        "double": (pa.float64(), lambda: float(rng.choice(special))),
        "float": (pa.float32(), lambda: float(np.float32(rng.normal()))),
        "long": (pa.int64(), lambda: int(rng.integers(-(2**53), 2**53))),
        "bool": (pa.bool_(), lambda: bool(rng.integers(2))),
        "text": (pa.string(), lambda: str(rng.choice(words))),
        "large": (pa.large_string(), lambda: str(rng.choice(words))),
    }
    columns: dict[str, pa.Array] = {}
    expected: list[dict[str, Any]] = [{} for _ in range(rows)]
    for name in rng.choice([*"abcdefgh", "", "é", "feature.x", "0"], int(rng.integers(0, 8)), replace=False):
        kind, draw = kinds[str(rng.choice(list(kinds)))]
        values = [None if rng.random() < 0.2 else draw() for _ in range(rows)]
        columns[f"feature.{name}"] = pa.array(values, kind)
        for row, value in zip(expected, values, strict=True):
            if value is not None:
                row[str(name)] = value if isinstance(value, str) else float(value)
    return columns or {"label": pa.nulls(rows, pa.string())}, expected


def test_random_tables_come_back_from_the_store_as_they_were(store: Store) -> None:
    rng = np.random.default_rng(7)
    tables = [random_table(rng) for _ in range(60)]
    records = [
        batch(arrow(columns), {"ml.model.version": str(i)}, sequence=i + 1) for i, (columns, _) in enumerate(tables)
    ]
    decoded = decode(records, token="t", now=1)
    assert not decoded.rejected
    for table, rows in decoded.tables.items():
        store.insert(table, rows, "t")
    for i, (_, expected) in enumerate(tables):
        query = (
            "SELECT features_numeric, features_text FROM ml_predictions WHERE model_version = {version:String}"
            " ORDER BY toUInt32(substring(prediction_id, 2))"
        )
        got = [{**numeric, **text} for numeric, text in store.query(query, {"version": str(i)})]
        assert got == expected
        assert str(got) == str([dict(sorted(row.items(), key=order)) for row in expected])


def order(item: tuple[str, Any]) -> tuple[bool, bytes]:
    """Numbers first, then texts; keys as bytes."""
    return isinstance(item[1], str), item[0].encode()
