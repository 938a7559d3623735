"""Every saved query on a store with known contents, over HTTP as a user would run it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import pytest

from modelspan.processor.stats.psi import psi
from modelspan.queries import catalog, find
from modelspan.queries.connect import connect
from modelspan.queries.result import run
from tests.gateway import Gateway
from tests.queries import sample


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with Gateway(tmp_path_factory.mktemp("queries")) as running:
        running.execute(*sample.ALL)
        yield running


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with Gateway(tmp_path_factory.mktemp("empty")) as running:
        yield running


def ask(gateway: Gateway, name: str, **parameters: str) -> list[dict[str, Any]]:
    saved = find(name)
    client = connect(gateway.url, {})
    try:
        with run(client, saved.sql, saved.bind(parameters)) as result:
            return [dict(zip(result.columns, row, strict=True)) for row in result.rows]
    finally:
        client.close()


REQUIRED = {
    "feature_distribution": {"model": "fraud"},
    "prediction": {"id": "p7"},
    "prediction_missing": {"id": "never came"},
}


@pytest.mark.parametrize("name", [name for name in catalog() if name != "prediction_missing"])
def test_every_query_runs_on_an_empty_store(empty: Gateway, name: str) -> None:
    assert ask(empty, name, **REQUIRED.get(name, {})) == []


def test_every_query_names_its_columns_where_it_finds_nothing(gateway: Gateway, empty: Gateway) -> None:
    for saved in catalog().values():
        heads = []
        for store in (gateway, empty):
            client = connect(store.url, {})
            with run(client, saved.sql, saved.bind(REQUIRED.get(saved.name, {}))) as result:
                heads.append(result.columns)
            client.close()
        assert heads[0] == heads[1] != ()


@pytest.mark.parametrize("name", list(catalog()))
def test_every_query_returns_rows_where_there_are_some(gateway: Gateway, name: str) -> None:
    given = {"model": "fraud", "feature": "amount"} if name == "feature_distribution" else REQUIRED.get(name, {})
    assert ask(gateway, name, **given) != []


def test_models_have_what_they_predicted_and_their_latest_verdict(gateway: Gateway) -> None:
    rows = {(row["model_name"], row["model_version"]): row for row in ask(gateway, "models")}
    fitted = [("LinearRegression", "fit-7"), ("LinearRegression", "fit-8")]
    assert list(rows) == [*fitted, ("fraud", "1"), ("fraud", "2"), ("price", "1")]
    assert rows["fraud", "2"]["predictions"] == 600 + 2 * 600
    assert rows["fraud", "2"]["latest_verdict"] == "drifted"
    assert rows["fraud", "2"]["model_type"] == "LogisticRegression"
    assert rows["fraud", "1"]["predictions"] == 0
    assert rows["price", "1"]["latest_verdict"] == "no_reference"


def test_models_have_the_data_of_their_fit_also_where_another_program_fitted_them(gateway: Gateway) -> None:
    data = {(row["model_name"], row["model_version"]): row["training_data"] for row in ask(gateway, "models")}
    assert data["price", "1"] == data["LinearRegression", "fit-7"] == ["prices@5", "sha256:cd"]
    assert data["LinearRegression", "fit-8"] == ["sha256:ef"]
    assert (data["fraud", "2"], data["fraud", "1"]) == (["sha256:ab"], [])


def test_predictions_per_minute_count_by_weight_and_give_latencies_and_errors(gateway: Gateway) -> None:
    first, second = ask(gateway, "predictions_per_minute", model="fraud")
    assert (first["start"].isoformat(), first["predictions"], first["errors"]) == ("2025-03-01T12:00:00", 600, 6)
    assert (second["predictions"], second["stored"], second["errors"]) == (1200, 600, 12)
    assert first["p50_ms"] == pytest.approx(300, rel=0.02)
    assert second["p99_ms"] == pytest.approx(1194, rel=0.02)


def test_a_model_without_durations_has_no_latency_rather_than_zero(gateway: Gateway) -> None:
    assert [row["p50_ms"] for row in ask(gateway, "predictions_per_minute", model="price")] == [None] or all(
        math.isnan(row["p50_ms"]) for row in ask(gateway, "predictions_per_minute", model="price")
    )


def test_the_period_ends_with_the_newest_prediction_or_where_it_is_told(gateway: Gateway) -> None:
    assert ask(gateway, "predictions_per_minute", last="30s", model="fraud")[0]["stored"] < 400
    early = ask(gateway, "predictions_per_minute", until="2025-03-01T12:00:10Z", model="fraud")
    assert [row["stored"] for row in early] == [101]


def test_drift_now_is_the_newest_verdict_of_the_latest_window_and_the_worst_comes_first(gateway: Gateway) -> None:
    rows = ask(gateway, "drift_now", model="fraud")
    found = [(row["series_kind"], row["series_name"], row["status"], row["effect"]) for row in rows]
    assert found[0] == ("feature", "amount", "drifted", 0.4)
    assert [row[:3] for row in found[1:]] == [("label", "", "insufficient_data"), ("feature", "country", "ok")]
    assert (rows[0]["p_value"], rows[0]["psi"], rows[0]["severity"]) == (1e-9, 0.8, "major")
    assert rows[0]["reason"] == "amount moved"


def test_drift_now_tells_of_a_model_without_a_reference(gateway: Gateway) -> None:
    assert [(row["status"], row["reason"]) for row in ask(gateway, "drift_now", model="price")] == [
        ("no_reference", "none yet")
    ]


def test_drift_now_can_be_asked_for_a_status_and_for_an_earlier_time(gateway: Gateway) -> None:
    assert [row["series_name"] for row in ask(gateway, "drift_now", status="drifted")] == ["amount"]
    assert [row["status"] for row in ask(gateway, "drift_now", at="2025-03-01T11:59:00Z")] == ["ok"]


def test_drift_now_leaves_out_what_has_not_been_seen_for_long(gateway: Gateway) -> None:
    gateway.execute(
        "INSERT INTO ml_windows (service_name, environment, model_name, model_version, window_start, window_end, rows, status,"
        " reason, computed_at) SELECT service_name, environment, 'retired', 'replaced', window_start - toIntervalDay(8),"
        " window_end - toIntervalDay(8), rows, status, reason, computed_at FROM ml_windows FINAL WHERE model_name = 'price'"
    )
    versions = [{row["model_version"] for row in ask(gateway, "drift_now", **of)} for of in ({}, {"last": "9d"})]
    assert [("replaced" in found, "1" in found) for found in versions] == [(False, True), (True, True)]
    assert {row["model_version"] for row in ask(gateway, "drift_now", version="replaced")} == {"replaced"}


def test_what_is_in_quarantine_is_said_in_words(gateway: Gateway) -> None:
    rows = ask(gateway, "quarantined")
    assert [(row["request"], row["not_stored"], row["reason"], row["advice"].partition(":")[0]) for row in rows] == [
        ("8.traces.pb", "1 row of otel_traces", "memory limit exceeded", "its other rows are stored"),
        ("7.logs.pb", "all of it", "it is no OTLP request", "send it again once the cause is gone"),
    ]


def test_drift_over_time_is_one_row_for_each_series_and_window(gateway: Gateway) -> None:
    rows = ask(gateway, "drift_over_time", model="fraud", feature="amount")
    assert [(row["status"], row["effect"]) for row in rows] == [("ok", 0.01), ("drifted", 0.4)]


def test_windows_are_listed_once_with_what_drifted(gateway: Gateway) -> None:
    rows = ask(gateway, "windows", model="fraud")
    assert [(row["status"], row["rows"], list(row["drifted"])) for row in rows] == [
        ("ok", 10, []),
        ("drifted", 1200, ["feature amount"]),
    ]


def test_a_numeric_distribution_stands_beside_its_reference_bin_by_bin(gateway: Gateway) -> None:
    rows = ask(gateway, "feature_distribution", model="fraud", feature="amount")
    assert [row["label"] for row in rows] == ["< 1.5", "1.5 to 20", ">= 20", "(missing)"]
    assert [row["reference_share"] for row in rows] == pytest.approx([0.3, 0.4, 0.2, 0.1])
    assert [row["window_share"] for row in rows] == pytest.approx([0.05, 0.25, 0.6, 0.1])
    reference, window = [30, 40, 20, 10], [2, 10, 24, 4]
    assert sum(row["psi_part"] for row in rows) == pytest.approx(psi(reference, window))
    assert rows[2]["psi_part"] == pytest.approx((24.5 / 42 - 20.5 / 102) * math.log(24.5 / 42 / (20.5 / 102)))


def test_a_categorical_distribution_has_a_bin_for_unseen_categories(gateway: Gateway) -> None:
    rows = ask(gateway, "feature_distribution", model="fraud", feature="country")
    assert [(row["label"], row["reference_share"], row["window_share"]) for row in rows] == [
        ("DE", 0.6, 0.25),
        ("FR", 0.4, 0.5),
        ("(unseen)", 0.0, 0.25),
    ]


def test_the_slowest_predictions_come_with_their_traces(gateway: Gateway) -> None:
    rows = ask(gateway, "slowest_predictions", limit="3")
    assert [(row["duration_ms"], row["trace"], row["trace_id"]) for row in rows] == [
        (1200, "stored", "04af"),
        (1199, "unsampled", ""),
        (1198, "not here", "04ad"),
    ]


def test_a_call_of_many_rows_is_one_of_the_slowest(gateway: Gateway) -> None:
    gateway.execute(
        "INSERT INTO ml_predictions (time, model_name, operation, prediction_id, span_id, trace_id, duration)"
        " SELECT toDateTime64('2025-01-01 00:00:00', 9, 'UTC') + intDiv(number, 500), 'batch', 'predict', toString(number),"
        " if(number < 500, 'of the first', ''), '', 1000000 * (9 - intDiv(number, 500)) FROM numbers(2500)"
    )
    rows = ask(gateway, "slowest_predictions", model="batch", until="2025-01-02T00:00:00Z", last="7d", limit="3")
    assert [(row["duration_ms"], row["rows_stored"], row["span_id"]) for row in rows] == [
        (9, 500, "of the first"),
        (8, 500, ""),
        (7, 500, ""),
    ]


def test_a_day_is_one_row_where_the_step_is_a_day_and_counts_are_whole(gateway: Gateway) -> None:
    gateway.execute(
        "INSERT INTO ml_predictions (time, model_name, prediction_id, weight)"
        " SELECT toDateTime64('2025-01-05 12:00:00', 9, 'UTC') + number, 'sampled', toString(number), 1.1 FROM numbers(10192)"
    )
    (row,) = ask(gateway, "predictions_per_minute", model="sampled", until="2025-01-06T00:00:00Z", last="1d", step="1d")
    assert (row["start"].isoformat(), row["predictions"], row["stored"]) == ("2025-01-05T00:00:00", 11211, 10192)
    assert "minute" not in row


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (
            {"id": "x", "model": "fraud"},
            "it may have been left out by sampling: 1200 rows stand for 1800 predictions",
        ),
        (
            {"id": "x", "model": "fraud"},
            "programs report 135 rows left out by sampling, 0 dropped before they were sent and 0 lost",
        ),
        (
            {"id": "x", "model": "price"},
            "10 others are; programs report 0 rows left",
        ),
        ({"id": "x", "model": "price"}, "7 dropped before they were sent and 20 lost on the way"),
        (
            {"id": "x", "model": "nosuch"},
            "of model nosuch with the id x is stored, nor is any other; no program has reported",
        ),
    ],
)
def test_of_a_prediction_that_is_not_stored_it_is_said_what_is_known(
    gateway: Gateway, given: dict[str, str], says: str
) -> None:
    (row,) = ask(gateway, "prediction_missing", **given)
    assert says in row["reason"]
    assert ask(gateway, "prediction_missing", id="p7") == []


def test_telemetry_loss_tells_what_each_recorder_lost_and_where(gateway: Gateway) -> None:
    rows = {row["recorder_id"]: row for row in ask(gateway, "telemetry_loss")}
    assert set(rows) == {"whole", "holed"}
    names = ["rows_recorded", "rows_received", "rows_lost_on_the_way", "rows_dropped_by_recorder", "batches_missing"]
    assert [rows["whole"][name] for name in names] == [15, 15, 0, 0, 0]
    assert [rows["holed"][name] for name in names] == [40, 20, 20, 7, 2]
    assert [rows[recorder]["rows_left_out_by_sampling"] for recorder in ("whole", "holed")] == [135, 0]


def test_a_prediction_is_found_with_its_latest_actual_and_its_outcomes(gateway: Gateway) -> None:
    (row,) = ask(gateway, "prediction", id="p7")
    assert (row["features_numeric"], row["features_text"], row["label"]) == ({"amount": 0.7}, {"country": "FR"}, "1")
    assert (row["actual_label"], row["actual_source"], row["outcomes"]) == ("1", "final", {"loss": "12.5 EUR"})
    assert row["time"] == "2025-03-01T12:00:00.700000000Z"


def test_a_missing_value_is_null_and_not_zero_or_empty(gateway: Gateway) -> None:
    gateway.execute(
        "INSERT INTO ml_predictions (time, model_name, prediction_id, features_numeric, features_text, outputs_numeric)"
        " VALUES (1, 'half', 'a', map('amount', 8, 'zero', 0), map('country', ''), map('yes', 0.5)), (2, 'half', 'b', map(), map(), map())"
    )
    client = connect(gateway.url, {})
    (row,) = client.query(
        "SELECT avg(feature_numbers['amount']), countIf(feature_numbers['zero'] = 0), countIf(feature_texts['country'] = ''),"
        " avg(output_numbers['yes']), countIf(feature_numbers['nosuch'] IS NULL), countIf(output_texts['x'] IS NULL)"
        " FROM ml_predictions WHERE model_name = 'half'"
    ).result_rows
    client.close()
    assert row == (8, 1, 1, 0.5, 2, 2)


def test_a_prediction_without_an_actual_has_none(gateway: Gateway) -> None:
    (row,) = ask(gateway, "prediction", id="p8", model="fraud")
    assert (row["actual_label"], row["actual_time"], row["outcomes"]) == (None, None, {})


def test_an_actual_label_is_shown_in_the_spelling_of_the_predicted_one(gateway: Gateway) -> None:
    spelled = {"true": ("1", "1.0", "True"), "1": ("true", "01"), "False": ("0.0", "false"), "b": ("b", "a", "1")}
    pairs = [(label, actual) for label, actuals in spelled.items() for actual in actuals]
    for place, (label, actual) in enumerate(pairs):
        gateway.execute(
            f"INSERT INTO ml_predictions (time, model_name, prediction_id, label) VALUES (1, 'spelled', 's{place}', '{label}')"
        )
        gateway.execute(
            f"INSERT INTO ml_actuals (time, model_name, prediction_id, label) VALUES (2, 'spelled', 's{place}', '{actual}')"
        )
    found = [ask(gateway, "prediction", id=f"s{place}")[0]["actual_label"] for place in range(len(pairs))]
    assert found == ["true"] * 3 + ["1"] * 2 + ["False"] * 2 + ["b", "a", "1"]


def test_actuals_and_withdrawals_that_belong_to_nothing_are_counted_by_the_name_that_they_gave(
    gateway: Gateway,
) -> None:
    gateway.execute(
        "INSERT INTO ml_predictions (time, model_name, prediction_id) VALUES (1, 'matched', 'known')",
        "INSERT INTO ml_actuals (time, model_name, prediction_id, inserted_at) VALUES"
        " (2, 'matched', 'known', now()), (2, 'matched', 'other', now()), (2, 'macthed', 'known', now()), (2, 'macthed', 'k', now())",
        "INSERT INTO ml_outcomes (time, model_name, prediction_id, name, inserted_at) VALUES (2, 'macthed', 'known', 'profit', now())",
        "INSERT INTO ml_references (model_name, reference_id) VALUES ('matched', 'february')",
        "INSERT INTO ml_withdrawn_references (model_name, reference_id, withdrawn_at) VALUES"
        " ('matched', 'february', now()), ('matched', 'febuary', now())",
    )
    found = [row for model in ("matched", "macthed") for row in ask(gateway, "unmatched", model=model)]
    assert sorted((row["model_name"], row["kind"], row["name"], row["rows"], row["reason"]) for row in found) == [
        ("macthed", "actual", "", 2, "nothing is stored of a model of this name"),
        ("macthed", "outcome", "profit", 1, "nothing is stored of a model of this name"),
        ("matched", "actual", "", 1, "no prediction of this model has these identifiers"),
        ("matched", "withdrawn reference", "febuary", 1, "no reference of this model has this identifier"),
    ]
    assert ask(gateway, "unmatched", model="macthed", until="2020-01-01") == []


def test_the_reference_in_force_is_the_given_one_of_this_version_then_the_general_then_the_first_predictions(
    gateway: Gateway,
) -> None:
    rows = {(row["model_version"], row["series_kind"]): row for row in ask(gateway, "references", model="fraud")}
    assert {key: row["reference_id"] for key, row in rows.items()} == {
        ("1", "feature"): "general",
        ("2", "feature"): "train2",
        ("2", "label"): "first2",
    }
    assert (rows["2", "feature"]["reference_rows"], rows["2", "feature"]["series"]) == (100, 2)


def test_a_model_without_a_reference_under_its_name_has_that_of_its_fit(gateway: Gateway) -> None:
    (row,) = ask(gateway, "references", model="price")
    assert (row["model_name"], row["series_kind"], row["source"], row["reference_id"]) == (
        *("price", "feature", "fit", "fit7"),
    )
    bins = ask(gateway, "feature_distribution", model="price", feature="size")
    assert [(one["reference_share"], one["window_share"]) for one in bins] == [(0.25, 0.5), (0.75, 0.5)]


def test_a_value_never_becomes_part_of_the_statement(gateway: Gateway) -> None:
    assert ask(gateway, "windows", model="x' OR 1 = 1 --") == []


@pytest.mark.parametrize("name", ["predictions_per_minute", "slowest_predictions"])
def test_a_query_on_predictions_reads_only_its_model_and_period(gateway: Gateway, name: str) -> None:
    gateway.execute(
        "INSERT INTO ml_predictions (time, service_name, environment, model_name, model_version, prediction_id, duration)"
        " SELECT toDateTime64('2025-02-01 00:00:00', 9, 'UTC') + number, 'shop', 'prod', 'big', '1', toString(number), 1"
        " FROM numbers(500000)"
    )
    saved = find(name)
    values = saved.bind({"model": "big", "last": "1h", "until": "2025-02-03T00:00:00Z"})
    client = connect(gateway.url, {})
    plan = client.query(f"EXPLAIN indexes = 1, json = 1 {saved.sql}", parameters=values).result_rows
    client.close()
    read = _granules(json.loads("".join(row[0] for row in plan)))
    assert read[-1][0] <= 6
    assert read[-1][1] >= 60


def _granules(plan: Any) -> list[tuple[int, int]]:
    """Granules selected and granules there are, for every index that has a say over ml_predictions."""
    if isinstance(plan, list):
        return [found for part in plan for found in _granules(part)]
    if isinstance(plan, dict):
        own = []
        if str(plan.get("Description", "")).endswith("ml_predictions"):
            keys = [index for index in plan.get("Indexes", []) if index["Type"] == "PrimaryKey"]
            own = [(int(key["Selected Granules"]), int(key["Initial Granules"])) for key in keys]
        return own + [found for part in plan.values() for found in _granules(part)]
    return []


def test_the_history_of_a_window_has_the_verdict_that_was_replaced_and_why(gateway: Gateway) -> None:
    by_moment = ask(gateway, "verdict_history", model="fraud", window="2025-03-01T12:04:59Z")
    assert [(row["status"], row["rows"], row["reference_id"], row["replaced_because"]) for row in by_moment] == [
        ("ok", 9, "train2", "Predictions came late: 9 were there, now 1,200 are."),
        ("drifted", 1200, "train2", ""),
    ]
    assert [row["replaced_at"] is None for row in by_moment] == [False, True]
    assert ask(gateway, "verdict_history") == by_moment
    (alone,) = ask(gateway, "verdict_history", window="2025-03-01T11:55:00Z")
    assert (alone["reason"], alone["replaced_at"]) == ("old", None)


def test_latencies_have_no_digits_that_were_not_measured(gateway: Gateway) -> None:
    gateway.execute(
        "INSERT INTO ml_predictions (time, model_name, prediction_id, duration) VALUES ('2025-03-01 12:00:00', 'quick', 'a', 1000)"
    )
    (row,) = ask(gateway, "predictions_per_minute", model="quick")
    assert (row["p50_ms"], row["p95_ms"], row["p99_ms"]) == (0.001, 0.001, 0.001)
