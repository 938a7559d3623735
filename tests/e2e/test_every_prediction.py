"""Every prediction that an unchanged program makes is in the store, with its exact values, ids and trace id."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.e2e.conftest import Service, instrumented, wait_for

COLUMNS = "trace_id, prediction_id, features_numeric, features_text, label, outputs_numeric, model_name, model_version"


@pytest.fixture(params=["grpc", "http/protobuf"])
def protocol(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("form", ["batches", "rows"])
def test_what_was_predicted_is_what_is_stored(service: Service, protocol: str, form: str) -> None:
    port = service.grpc if protocol == "grpc" else service.http
    options = {"OTEL_INSTRUMENTATION_ML_FORM": form}
    made = [json.loads(line) for line in instrumented("fraud.py", "30", port=port, protocol=protocol, **options)]
    service.wait_rows(2 * len(made))

    predicted = service.rows(f"SELECT {COLUMNS} FROM ml_predictions WHERE operation = 'predict' ORDER BY prediction_id")
    scored = service.rows(
        f"SELECT {COLUMNS} FROM ml_predictions WHERE operation = 'predict_proba' ORDER BY prediction_id"
    )

    assert len(predicted) == len(scored) == len(made)
    assert len({row[1] for row in predicted + scored}) == 2 * len(made)
    assert sorted(map(as_made, predicted), key=str) == sorted(
        ({k: v for k, v in m.items() if k not in ("fraud", "legit")} for m in made), key=str
    )
    by_trace = {(row[0], row[2]["items"], row[2].get("amount")): row[5] for row in scored}
    for m in made:
        assert by_trace[m["trace_id"], m["items"], m["amount"]] == {"fraud": m["fraud"], "legit": m["legit"]}
    assert {row[6] for row in predicted} == {"LogisticRegression"}
    assert all(row[7] for row in predicted)


def as_made(row: tuple[Any, ...]) -> dict[str, Any]:
    trace_id, _, numeric, text, label = row[:5]
    return {
        "trace_id": trace_id,
        "amount": numeric.get("amount"),
        "items": numeric["items"],
        "country": text["country"],
        "returning": bool(numeric["returning"]),
        "label": label,
    }


def test_the_trace_of_a_prediction_is_in_the_trace_table(service: Service) -> None:
    instrumented("fraud.py", "3", port=service.grpc)
    service.wait_rows(14)
    unmatched = service.rows(
        "SELECT count() FROM ml_predictions AS p LEFT ANTI JOIN otel_traces AS t ON p.span_id = t.SpanId AND p.trace_id = t.TraceId"
    )
    wait_for(lambda: service.rows("SELECT count() FROM otel_traces")[0][0] >= 9, "three requests, six predictions")
    assert unmatched == [(0,)]
    assert service.rows(
        "SELECT countIf(SpanName = 'predict LogisticRegression'), countIf(SpanName = 'request') FROM otel_traces"
    ) == [(3, 3)]


def test_metrics_count_what_was_predicted(service: Service) -> None:
    made = instrumented("fraud.py", "9", port=service.grpc)
    counted = wait_for(
        lambda: service.rows(
            "SELECT Attributes['ml.operation.name'] AS op, max(Value) FROM otel_metrics_sum "
            "WHERE MetricName = 'ml.predictions' GROUP BY op ORDER BY op"
        ),
        "the counter of predictions",
    )
    assert counted == [("predict", len(made)), ("predict_proba", len(made))]
