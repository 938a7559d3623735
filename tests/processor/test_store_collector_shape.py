"""Spans, logs and metrics lie in the store as the Collector's ClickHouse exporter writes them."""

from __future__ import annotations

from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from modelspan.processor.decode import decode
from modelspan.processor.journal import Record, Signal
from modelspan.processor.store import Store
from tests.processor.otlp import RESOURCE, TIME, any_value, log, pairs, spans


def stored(store: Store, *records: Record) -> None:
    for table, rows in decode(records, token="t", now=1).tables.items():
        store.insert(table, rows, "t")


def one(store: Store, query: str) -> dict[str, Any]:
    [row] = store.client().query(query).named_results()
    return dict(row)


def test_span(store: Store) -> None:
    span = {
        "kind": Span.SPAN_KIND_INTERNAL,
        "parent_span_id": bytes(8),
        "trace_state": "a=b",
        "status": Status(code=Status.STATUS_CODE_ERROR, message="broken"),
        "attributes": {"z": 1, "a": {"b": [1.0, "x"]}, "flag": True},
        "events": [Span.Event(name="exception", time_unix_nano=TIME + 7, attributes=pairs({"k": "v"}))],
        "links": [
            Span.Link(trace_id=bytes(15) + b"\x01", span_id=b"\x02" * 8, trace_state="s", attributes=pairs({"l": 2}))
        ],
    }
    stored(store, spans([span]))
    row = one(
        store,
        "SELECT *, toUnixTimestamp64Nano(Timestamp) AS ns, toUnixTimestamp64Nano(Events.Timestamp[1]) AS at FROM otel_traces",
    )
    assert (row["ns"], row["Duration"], row["at"]) == (TIME, 5000, TIME + 7)
    assert (row["TraceId"], row["SpanId"], row["ParentSpanId"]) == (
        "0af7651916cd43dd8448eb211c80319c",
        "0000000000000001",
        "",
    )
    assert (row["SpanKind"], row["StatusCode"], row["StatusMessage"]) == ("Internal", "Error", "broken")
    assert (row["ServiceName"], row["ResourceAttributes"]) == ("shop", RESOURCE)
    assert list(row["SpanAttributes"].items()) == [("a", '{"b":[1,"x"]}'), ("flag", "true"), ("z", "1")]
    assert (row["Events.Name"], row["Events.Attributes"]) == (["exception"], [{"k": "v"}])
    assert (row["Links.TraceId"], row["Links.SpanId"]) == (["0" * 30 + "01"], ["02" * 8])
    assert (row["Links.TraceState"], row["Links.Attributes"]) == (["s"], [{"l": "2"}])


def test_the_lookup_of_a_trace_has_its_first_and_last_second(store: Store) -> None:
    stored(store, spans([{}, {"start_time_unix_nano": TIME + 5 * 10**9}]))
    row = one(
        store,
        "SELECT TraceId, toUnixTimestamp(min(Start)) AS first, toUnixTimestamp(max(End)) AS last FROM otel_traces_trace_id_ts GROUP BY TraceId",
    )
    assert row == {"TraceId": "0af7651916cd43dd8448eb211c80319c", "first": TIME // 10**9, "last": TIME // 10**9 + 5}


def test_log(store: Store) -> None:
    record = log(
        "my.event",
        {"k": 1.5},
        severity_number=9,
        severity_text="INFO",
        flags=0x101,
        body=any_value({"b": 1, "a": None}),
    )
    stored(store, record)
    row = one(
        store,
        "SELECT *, toUnixTimestamp64Nano(Timestamp) AS ns, `__otel_materialized_deployment.environment.name` AS env FROM otel_logs",
    )
    assert (row["ns"], row["SeverityNumber"], row["SeverityText"], row["TraceFlags"]) == (TIME, 9, "INFO", 1)
    assert (row["Body"], row["LogAttributes"], row["EventName"]) == ('{"a":null,"b":1}', {"k": "1.5"}, "my.event")
    assert (row["TraceId"], row["SpanId"], row["env"]) == ("", "", "prod")


def test_times_beyond_what_can_be_stored_become_the_last_one(store: Store) -> None:
    stored(store, log("far", {}, time=2**64 - 1), spans([{"start_time_unix_nano": 2**64 - 1}]))
    assert one(store, "SELECT toYear(Timestamp) AS year FROM otel_logs") == {"year": 2262}
    assert one(store, "SELECT toYear(Timestamp) AS year, Duration FROM otel_traces") == {"year": 2262, "Duration": 0}


def test_metrics(store: Store) -> None:
    request = ExportMetricsServiceRequest()
    resource = request.resource_metrics.add(schema_url="https://schema")
    resource.resource.attributes.extend(pairs(RESOURCE))
    scope = resource.scope_metrics.add()
    scope.scope.name, scope.scope.version = "meter", "2"
    times = {"start_time_unix_nano": TIME - 10**9, "time_unix_nano": TIME, "attributes": pairs({"b": 1, "a": True})}
    gauge = scope.metrics.add(name="g", unit="1", description="a gauge").gauge.data_points.add(as_int=7, **times)
    gauge.exemplars.add(
        as_double=0.5,
        time_unix_nano=TIME,
        trace_id=b"\x01" * 16,
        span_id=b"\x02" * 8,
        filtered_attributes=pairs({"f": 1}),
    )
    total = scope.metrics.add(name="s").sum
    total.aggregation_temporality, total.is_monotonic = 2, True
    total.data_points.add(as_double=2.5, **times)
    histogram = scope.metrics.add(name="h").histogram
    histogram.data_points.add(count=3, sum=4.5, bucket_counts=[1, 2], explicit_bounds=[0.5], min=0.1, max=3.0, **times)
    exponential = scope.metrics.add(name="e").exponential_histogram.data_points.add(
        count=3, scale=2, zero_count=1, **times
    )
    exponential.positive.offset = -1
    exponential.positive.bucket_counts.extend([1, 1])
    scope.metrics.add(name="q").summary.data_points.add(count=1, sum=2, **times).quantile_values.add(
        quantile=0.5, value=2.0
    )
    scope.metrics.add(name="without data")
    stored(store, Record(1, Signal.METRICS, request.SerializeToString()))
    row = one(store, "SELECT *, toUnixTimestamp(TimeUnix) AS at FROM otel_metrics_gauge")
    assert (row["MetricName"], row["MetricUnit"], row["MetricDescription"], row["Value"]) == ("g", "1", "a gauge", 7.0)
    assert (row["ServiceName"], row["ScopeName"], row["ScopeVersion"], row["ResourceSchemaUrl"]) == (
        "shop",
        "meter",
        "2",
        "https://schema",
    )
    assert (row["at"], list(row["Attributes"].items())) == (TIME // 10**9, [("a", "true"), ("b", "1")])
    assert (row["Exemplars.Value"], row["Exemplars.FilteredAttributes"]) == ([0.5], [{"f": "1"}])
    assert (row["Exemplars.TraceId"], row["Exemplars.SpanId"]) == (["01" * 16], ["02" * 8])
    row = one(store, "SELECT Value, IsMonotonic, AggregationTemporality AS t FROM otel_metrics_sum")
    assert row == {"Value": 2.5, "IsMonotonic": True, "t": 2}
    row = one(store, "SELECT Count, Sum, BucketCounts, ExplicitBounds, Min, Max FROM otel_metrics_histogram")
    assert list(row.values()) == [3, 4.5, [1, 2], [0.5], 0.1, 3.0]
    row = one(
        store, "SELECT Scale, ZeroCount, PositiveOffset, PositiveBucketCounts FROM otel_metrics_exponential_histogram"
    )
    assert list(row.values()) == [2, 1, -1, [1, 1]]
    row = one(
        store,
        "SELECT Count, Sum, ValueAtQuantiles.Quantile AS q, ValueAtQuantiles.Value AS v FROM otel_metrics_summary",
    )
    assert list(row.values()) == [1, 2.0, [0.5], [2.0]]
