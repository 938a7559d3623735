"""Metrics count exactly, with few series, whichever way values reach the SDK."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader
from opentelemetry.sdk.metrics.view import DropAggregation, ExponentialBucketHistogramAggregation, View
from sklearn.linear_model import LogisticRegression

from modelspan.instrumentation.recorder import histograms
from modelspan.instrumentation.recorder.histograms import record_all
from modelspan.instrumentation.recorder.metrics import DURATION_BOUNDS, MAX_VERSIONS, SCORE_BOUNDS

RNG = np.random.default_rng(5)
X = RNG.normal(size=(300, 3))


def test_calls_rows_and_durations_are_counted(telemetry: Any) -> None:
    model = LogisticRegression().fit(X, X[:, 0] > 0)
    for rows in (1, 2, 3):
        model.predict(X[:rows])
    (predictions,), (duration,) = telemetry.points("ml.predictions"), telemetry.points("ml.operation.duration")
    table = telemetry.batch()
    assert predictions.value == 6
    assert (duration.count, duration.explicit_bounds) == (3, DURATION_BOUNDS)
    calls = np.array(table["duration"].to_pylist())[[0, 1, 3]] / 1e9
    assert duration.sum == pytest.approx(calls.sum(), rel=1e-12)
    assert {"ml.model.name", "ml.model.version", "ml.operation.name", "ml.framework.name"} == set(duration.attributes)


def test_probabilities_are_a_histogram(telemetry: Any) -> None:
    model = LogisticRegression().fit(X, X[:, 0] > 0)
    scores = model.predict_proba(X)[:, 1]
    (point,) = telemetry.points("ml.prediction.score")
    edges = np.searchsorted(SCORE_BOUNDS, scores, side="left")
    assert list(point.bucket_counts) == np.bincount(edges, minlength=20).tolist()
    assert (point.min, point.max) == (scores.min(), scores.max())


def test_rows_of_a_call_too_large_to_copy_count_for_those_they_stand_for(again: Callable[..., Any]) -> None:
    telemetry = again(call_bytes=24 * 100)
    many = np.repeat(X, 10, axis=0)[:2999]
    model = LogisticRegression().fit(X, X[:, 0] > 0)
    scores = model.predict_proba(many)[:, 1]
    model.predict_proba(many[:7])
    (point,) = telemetry.points("ml.prediction.score")
    predictions = sum(one.value for one in telemetry.points("ml.predictions"))
    assert telemetry.rows() < 200
    assert point.count == predictions == 3006
    # One row of each of 100 equal strata: the error is below five standard deviations of a plain sample.
    assert point.sum / point.count == pytest.approx(scores.mean(), abs=5 * scores.std() / 10)
    exact = np.bincount(np.searchsorted(SCORE_BOUNDS, scores, side="left"), minlength=20)
    assert np.abs(np.array(point.bucket_counts) - exact).sum() < 0.8 * exact.sum()


def test_values_that_count_several_times_are_recorded_as_often() -> None:
    values, counts = RNG.lognormal(-6, 2, size=50), RNG.integers(1, 9, size=50)
    values[[3, 7]] = np.nan, -1.0
    found = []
    for arguments in ((values, {}, counts), (np.repeat(values, counts), {})):
        reader = InMemoryMetricReader()
        meter = MeterProvider([reader], shutdown_on_exit=False).get_meter("test")
        record_all(meter.create_histogram("h", explicit_bucket_boundaries_advisory=DURATION_BOUNDS), *arguments)
        ((point,),) = (
            metric.data.data_points
            for resource in reader.get_metrics_data().resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        )
        found.append(point)
    weighted, repeated = found
    assert (weighted.count, weighted.bucket_counts) == (repeated.count, repeated.bucket_counts)
    assert (weighted.min, weighted.max) == (repeated.min, repeated.max)
    assert weighted.sum == pytest.approx(repeated.sum)


def test_many_models_do_not_make_many_series(telemetry: Any) -> None:
    for _ in range(MAX_VERSIONS + 20):
        model = LogisticRegression()
        model.classes_, model.coef_, model.intercept_ = np.array([0, 1]), RNG.normal(size=(1, 3)), np.zeros(1)
        model.predict(X[:1])
    points = telemetry.points("ml.predictions")
    assert len(points) == MAX_VERSIONS + 1
    assert sum(point.value for point in points) == MAX_VERSIONS + 20


VIEWS: list[list[View]] = [
    [],
    [View(instrument_name="h", attribute_keys={"a"})],
    [View(instrument_name="h", aggregation=ExponentialBucketHistogramAggregation())],
    [View(instrument_name="h"), View(instrument_name="h", name="second", aggregation=DropAggregation())],
]


@pytest.mark.parametrize("views", VIEWS)
@pytest.mark.parametrize("temporality", [AggregationTemporality.CUMULATIVE, AggregationTemporality.DELTA])
def test_many_values_at_once_give_the_same_points_as_one_by_one(
    monkeypatch: pytest.MonkeyPatch, views: list[View], temporality: AggregationTemporality
) -> None:
    values = np.concatenate([RNG.lognormal(-6, 2, size=500), [0.0, 0.05, 0.1, np.nan, np.inf, -1.0]])

    def points(record: Any) -> list[Any]:
        from opentelemetry.sdk.metrics import Histogram

        reader = InMemoryMetricReader(preferred_temporality={Histogram: temporality})
        meter = MeterProvider([reader], views=views, shutdown_on_exit=False).get_meter("test")
        histogram = meter.create_histogram("h", explicit_bucket_boundaries_advisory=DURATION_BOUNDS)
        found = []
        for part in np.array_split(values, 3):
            record(histogram, part, {"a": 1, "b": "x"})
            record(histogram, part[:5], {"a": 2, "b": "x"})
            data = reader.get_metrics_data()
            metrics = data.resource_metrics[0].scope_metrics[0].metrics if data else []
            found += [
                {k: v for k, v in vars(p).items() if k not in ("start_time_unix_nano", "time_unix_nano")}
                for m in metrics
                for p in m.data.data_points
            ]
        return found

    fast = points(record_all)
    monkeypatch.setattr(histograms, "_aggregations", lambda histogram, attributes: None)
    slow = points(record_all)
    assert fast == slow
    assert fast


def test_the_sdk_in_use_takes_many_values_at_once() -> None:
    meter = MeterProvider([InMemoryMetricReader()], shutdown_on_exit=False).get_meter("test")
    histogram = meter.create_histogram("h")
    histogram.record(1, {"a": 1})
    assert histograms._aggregations(histogram, {"a": 1}) is not None
