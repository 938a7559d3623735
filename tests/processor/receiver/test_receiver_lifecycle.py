"""Starting says which port is taken; stopping finishes what is in flight and appends nothing afterwards."""

from __future__ import annotations

import socket
import threading
from concurrent.futures import Future, ThreadPoolExecutor

import grpc
import httpx
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from prometheus_client.parser import text_string_to_metric_families

from modelspan.processor.journal import Signal
from modelspan.processor.receiver import Page, PortTaken, Receiver
from modelspan.semconv import attributes, metrics

LOGS = "/opentelemetry.proto.collector.logs.v1.LogsService/Export"
REQUEST = ExportLogsServiceRequest(resource_logs=[{"schema_url": "s"}]).SerializeToString()


class Waiting:
    """A sink whose requests become durable when the test says so."""

    def __init__(self) -> None:
        self.futures: list[Future[int]] = []
        self.arrived = threading.Semaphore(0)

    def append(self, signal: Signal, payload: bytes) -> Future[int]:
        self.futures.append(Future())
        self.arrived.release()
        return self.futures[-1]


def receiver(sink: object, **options: object) -> Receiver:
    return Receiver(sink, **{"grpc_address": "127.0.0.1:0", "http_address": "127.0.0.1:0", **options})


def post(port: int) -> httpx.Response:
    return httpx.post(
        f"http://127.0.0.1:{port}/v1/logs", content=REQUEST, headers={"content-type": "application/x-protobuf"}
    )


def export(port: int) -> bytes:
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        return channel.unary_unary(LOGS)(REQUEST, timeout=30)


@pytest.mark.parametrize("protocol", ["grpc", "http"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0"])
def test_a_taken_port_is_named_and_nothing_is_left_running(protocol: str, host: str):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"{host}:{taken.getsockname()[1]}"
        refused = receiver(Waiting(), **{f"{protocol}_address": address})
        with pytest.raises(PortTaken, match=f"another process already listens on {address}"):
            refused.start()
        refused.stop()
    again = receiver(Waiting(), **{f"{protocol}_address": address})
    again.start()
    again.stop()


def test_two_receivers_cannot_share_a_port():
    first = receiver(Waiting())
    first.start()
    for options in ({"grpc_address": f"127.0.0.1:{first.grpc_port}"}, {"http_address": f"127.0.0.1:{first.http_port}"}):
        with pytest.raises(PortTaken):
            receiver(Waiting(), **options).start()
    first.stop()


def test_each_transport_can_be_left_out():
    only_http = receiver(Waiting(), grpc_address=None)
    only_http.start()
    assert httpx.get(f"http://127.0.0.1:{only_http.http_port}/healthz").status_code == 200
    assert only_http.grpc_port is None
    only_http.stop()
    only_grpc = receiver(Waiting(), http_address=None)
    only_grpc.start()
    with grpc.insecure_channel(f"127.0.0.1:{only_grpc.grpc_port}") as channel:
        assert channel.unary_unary(LOGS)(b"", timeout=30) == b""
    only_grpc.stop()


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_nothing_is_acknowledged_before_the_sink_has_it(protocol: str):
    sink = Waiting()
    started = receiver(sink)
    started.start()
    acknowledged = {
        "grpc": lambda: export(started.grpc_port) == b"",
        "http": lambda: post(started.http_port).status_code == 200,
    }
    with ThreadPoolExecutor() as pool:
        answer = pool.submit(acknowledged[protocol])
        sink.arrived.acquire()
        assert not answer.done()
        sink.futures[0].set_result(1)
        assert answer.result()
    started.stop()


def test_stopping_lets_requests_in_flight_finish():
    sink = Waiting()
    started = receiver(sink)
    started.start()
    with ThreadPoolExecutor() as pool:
        answers = pool.submit(export, started.grpc_port), pool.submit(post, started.http_port)
        for _ in answers:
            sink.arrived.acquire()
        stopped = pool.submit(started.stop, 30)
        for future in sink.futures:
            future.set_result(1)
        stopped.result()
        assert answers[0].result() == b""
        assert answers[1].result().status_code == 200


def test_a_request_that_outlasts_the_grace_is_not_acknowledged_but_may_be_sent_again():
    sink = Waiting()
    started = receiver(sink)
    started.start()
    with ThreadPoolExecutor() as pool:
        answers = pool.submit(export, started.grpc_port), pool.submit(post, started.http_port)
        for _ in answers:
            sink.arrived.acquire()
        started.stop(grace=0)
        assert answers[0].exception().code() in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}
        assert answers[1].result().status_code == 503


def test_nothing_is_appended_after_stop_returns():
    sink = Waiting()
    started = receiver(sink)
    started.start()
    stop = threading.Event()

    def send(request, port: int) -> None:
        while not stop.is_set():
            try:
                request(port)
            except (httpx.HTTPError, grpc.RpcError):
                return

    def acknowledge() -> None:
        done = 0
        while not stop.is_set():
            if sink.arrived.acquire(timeout=0.05):
                sink.futures[done].set_result(done)
                done += 1

    with ThreadPoolExecutor() as pool:
        pool.submit(acknowledge)
        for request, port in ((export, started.grpc_port), (post, started.http_port)) * 2:
            pool.submit(send, request, port)
        while len(sink.futures) < 20:
            stop.wait(0.01)
        started.stop(grace=5)
        appended = len(sink.futures)
        stop.set()
    assert len(sink.futures) == appended


@pytest.mark.parametrize("failure", ["the call", "the future"])
def test_a_sink_that_fails_is_not_the_fault_of_the_request(failure: str):
    class Broken:
        def append(self, signal: Signal, payload: bytes) -> Future[int]:
            if failure == "the call":
                raise OSError("no such disk")
            future: Future[int] = Future()
            future.set_exception(OSError("no such disk"))
            return future

    started = receiver(Broken())
    started.start()
    response = post(started.http_port)
    assert (response.status_code, b"no such disk" in response.content) == (503, True)
    with pytest.raises(grpc.RpcError) as caught:
        export(started.grpc_port)
    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
    started.stop()


def test_readiness_is_what_the_service_says_and_further_pages_are_served():
    reasons = ["the store is not reachable"]
    started = receiver(
        Waiting(),
        not_ready=lambda: reasons[0] if reasons else None,
        routes={"/about": lambda: Page(b"{}", media_type="application/json")},
    )
    started.start()
    with httpx.Client(base_url=f"http://127.0.0.1:{started.http_port}") as client:
        waiting = client.get("/readyz")
        assert (waiting.status_code, waiting.text) == (503, "the store is not reachable\n")
        assert client.get("/healthz").status_code == 200
        reasons.clear()
        assert client.get("/readyz").status_code == 200
        assert client.get("/about").headers["content-type"] == "application/json"
        assert client.post("/readyz").status_code == 405
    started.stop()


def counted(service) -> dict[tuple[str, ...], float]:
    """Values of the receiver's counters for logs, by name and outcome."""
    text = service.http.get("/metrics").text
    return {
        (sample.name, sample.labels.get(attributes.MODELSPAN_OUTCOME.replace(".", "_"), "")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.labels.get(attributes.MODELSPAN_SIGNAL.replace(".", "_")) == "logs"
    }


def test_requests_are_counted_by_outcome_and_accepted_bytes_by_size(run):
    service = run(max_bytes=2 * len(REQUEST))
    before = counted(service)
    service.post("logs", REQUEST)
    service.export("logs", REQUEST)
    assert service.post("logs", REQUEST).status_code == 503
    assert service.post("logs", b"\xff").status_code == 400
    assert service.post("logs", REQUEST, "text/plain").status_code == 415
    after = counted(service)
    requests = metrics.MODELSPAN_RECEIVER_REQUESTS.replace(".", "_") + "_total"
    size = metrics.MODELSPAN_RECEIVER_BYTES.replace(".", "_") + "_total"
    assert {
        outcome: after[requests, outcome] - before[requests, outcome] for outcome in ("accepted", "retry", "rejected")
    } == {"accepted": 2, "retry": 1, "rejected": 2}
    assert after[size, ""] - before[size, ""] == 2 * len(REQUEST)
