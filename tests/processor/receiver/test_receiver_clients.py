"""The OpenTelemetry SDK's own exporters deliver through the receiver, over both transports."""

from __future__ import annotations

import threading

import pytest
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter as GrpcLogs
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as GrpcMetrics
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcSpans
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter as HttpLogs
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as HttpMetrics
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpSpans
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor

from modelspan.processor.journal import Signal
from modelspan.processor.receiver import refusal


def grpc_options(service) -> dict:
    return {"endpoint": f"http://127.0.0.1:{service.receiver.grpc_port}", "insecure": True}


def http_options(service, signal: str, compression: Compression = Compression.NoCompression) -> dict:
    return {"endpoint": f"http://127.0.0.1:{service.receiver.http_port}/v1/{signal}", "compression": compression}


@pytest.mark.parametrize("transport", ["grpc", "http", "http gzip"])
def test_spans_of_the_sdk_arrive(service, transport: str):
    exporter = {
        "grpc": lambda: GrpcSpans(**grpc_options(service)),
        "http": lambda: HttpSpans(**http_options(service, "traces")),
        "http gzip": lambda: HttpSpans(**http_options(service, "traces", Compression.Gzip)),
    }[transport]()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with provider.get_tracer("test").start_as_current_span("predict", attributes={"n": 7}) as span:
        pass
    provider.shutdown()
    [record] = service.stored()
    [sent] = ExportTraceServiceRequest.FromString(record.payload).resource_spans[0].scope_spans[0].spans
    assert record.signal == Signal.TRACES
    assert (sent.name, sent.trace_id.hex()) == ("predict", f"{span.get_span_context().trace_id:032x}")


@pytest.mark.parametrize("transport", ["grpc", "http"])
def test_log_records_of_the_sdk_arrive(service, transport: str):
    exporter = GrpcLogs(**grpc_options(service)) if transport == "grpc" else HttpLogs(**http_options(service, "logs"))
    provider = LoggerProvider()
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    provider.get_logger("test").emit(event_name="something", attributes={"data": b"\0\xff", "nested": {"a": [1, "b"]}})
    provider.shutdown()
    [record] = service.stored()
    [sent] = ExportLogsServiceRequest.FromString(record.payload).resource_logs[0].scope_logs[0].log_records
    assert record.signal == Signal.LOGS
    assert sent.event_name == "something"
    assert {item.key: item.value.bytes_value for item in sent.attributes}["data"] == b"\0\xff"


@pytest.mark.parametrize("transport", ["grpc", "http"])
def test_metrics_of_the_sdk_arrive(service, transport: str):
    exporter = (
        GrpcMetrics(**grpc_options(service)) if transport == "grpc" else HttpMetrics(**http_options(service, "metrics"))
    )
    provider = MeterProvider([PeriodicExportingMetricReader(exporter, export_interval_millis=3_600_000)])
    provider.get_meter("test").create_histogram("duration").record(0.25)
    provider.shutdown()
    [record] = service.stored()
    [sent] = ExportMetricsServiceRequest.FromString(record.payload).resource_metrics[0].scope_metrics[0].metrics
    assert record.signal == Signal.METRICS
    assert (sent.name, sent.histogram.data_points[0].sum) == ("duration", 0.25)


@pytest.mark.parametrize("transport", ["grpc", "http"])
def test_the_sdk_waits_and_delivers_once_a_full_journal_has_room(run, monkeypatch, transport: str):
    monkeypatch.setattr(refusal, "RETRY_SECONDS", 0.3)
    service = run(max_bytes=1000)
    service.journal.append(Signal.LOGS, bytes(1000)).result()
    exporter = (
        GrpcSpans(**grpc_options(service)) if transport == "grpc" else HttpSpans(**http_options(service, "traces"))
    )
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=1))
    provider.get_tracer("test").start_span("delayed").end()
    drained = threading.Timer(0.5, service.stored)
    drained.start()
    assert provider.force_flush(10_000)
    drained.join()
    [record] = service.stored()
    assert b"delayed" in record.payload
    provider.shutdown()


def test_concurrent_clients_lose_and_repeat_nothing(service):
    def send(client: int):
        exporter = GrpcSpans(**grpc_options(service)) if client % 2 else HttpSpans(**http_options(service, "traces"))
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        for i in range(40):
            provider.get_tracer("test").start_span(f"{client}/{i}").end()
        provider.shutdown()

    clients = [threading.Thread(target=send, args=(client,)) for client in range(8)]
    for thread in clients:
        thread.start()
    for thread in clients:
        thread.join()
    requests = [ExportTraceServiceRequest.FromString(record.payload) for record in service.stored()]
    names = [span.name for request in requests for span in request.resource_spans[0].scope_spans[0].spans]
    assert sorted(names) == sorted(f"{client}/{i}" for client in range(8) for i in range(40))
