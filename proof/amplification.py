"""Memory amplification: memory per byte on the wire of the worst requests that the limits admit, and of worse ones, in a service of 2 GB.

    python -m proof.amplification

Prints the table of `docs/limits.md`. Each request is sent compressed. Where control groups can be made, the service is in one of 2 GB; its memory is
measured in either case. Fails when the service dies, passes 2 GB, or no longer stores a good request.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import grpc
import httpx
import numpy as np
import psutil
import pyarrow as pa

from bench.load import span_template
from bench.service import Service
from tests.processor import otlp
from tests.processor.otlp import field, nested

LIMIT = 2_000_000_000
PATIENCE = 300.0
SERVICES = {
    "logs": "opentelemetry.proto.collector.logs.v1.LogsService",
    "traces": "opentelemetry.proto.collector.trace.v1.TraceService",
    "metrics": "opentelemetry.proto.collector.metrics.v1.MetricsService",
}
PROTOBUF, JSON = "application/x-protobuf", "application/json"


class Case(NamedTuple):
    """A request. `times`: how many at once, over both ports."""

    name: str
    signal: str
    encoding: str
    build: Callable[[], bytes]
    times: int = 1


def batches(count: int, rows: int, columns: int, kind: str) -> bytes:
    """Batches that differ, or they would be the same delivery."""
    one: Callable[[int], pa.Array] = {
        "equal floats": lambda i: pa.array(np.full(rows, float(i))),
        "nulls": lambda i: pa.nulls(rows),
        "bits": lambda i: pa.array(np.arange(rows) % (i + 2) == 0),
        "one long text": lambda i: pa.DictionaryArray.from_arrays(
            pa.array(np.zeros(rows, np.int8)), pa.array(["x" * 300])
        ),
    }[kind]
    return b"".join(
        otlp.batch(otlp.arrow({f"f.{i}": one(i + 1) for i in range(columns + n)}, compression="zstd")).payload
        for n in range(count)
    )


def named(count: int, value: bytes) -> bytes:
    """The attributes of a log record, each with its own name."""
    return b"".join(field(6, field(1, b"%x" % i) + field(2, value)) for i in range(count))


def texts(count: int) -> bytes:
    points = [{"body": {"stringValue": f"{i}"}} for i in range(count)]
    return json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": points}]}]}, separators=(",", ":")).encode()


ADMITTED = [
    Case("249,000 empty log records", "logs", PROTOBUF, lambda: nested(1, 2, content=b"\x12\x00" * 249_000)),
    Case(
        "one record of 990,000 named attributes", "logs", PROTOBUF, lambda: nested(1, 2, 2, content=named(990_000, b""))
    ),
    Case(
        "three arrays of 1,990,000 empty values",
        "logs",
        PROTOBUF,
        lambda: nested(1, 2, content=nested(2, 5, 5, content=b"\x0a\x00" * 1_990_000) * 3),
    ),
    Case("a batch of 80,000 rows x 98 equal floats", "logs", PROTOBUF, lambda: batches(1, 80_000, 98, "equal floats")),
    Case("a batch of 1,400,000 rows without features", "logs", PROTOBUF, lambda: batches(1, 1_400_000, 1, "nulls")),
    Case("2 batches of 80,000 rows x 98 bits", "logs", PROTOBUF, lambda: batches(2, 80_000, 98, "bits")),
    Case(
        "a text of 300 bytes in each of 190,000 rows", "logs", PROTOBUF, lambda: batches(1, 190_000, 1, "one long text")
    ),
    Case(
        "a resource of 4 KB and 120,000 log records",
        "logs",
        PROTOBUF,
        lambda: nested(1, content=nested(1, 1, 1, content=b"k" * 4_000) + field(2, b"\x12\x00" * 120_000)),
    ),
    Case("a text of 60 MB", "logs", PROTOBUF, lambda: nested(1, 2, 2, 5, 1, content=b"x" * 60_000_000)),
    Case("249,000 empty spans", "traces", PROTOBUF, lambda: nested(1, 2, content=b"\x12\x00" * 249_000)),
    Case("249,000 events of one span", "traces", PROTOBUF, lambda: nested(1, 2, 2, content=b"\x5a\x00" * 249_000)),
    Case(
        "100,000 spans of 20 features",
        "traces",
        PROTOBUF,
        lambda: span_template(model="m", rows=100_000, features=20).request(1),
    ),
    Case(
        "249,000 points of exponential histograms",
        "metrics",
        PROTOBUF,
        lambda: nested(1, 2, 2, 10, content=b"\x0a\x00" * 249_000),
    ),
    Case(
        "three histograms of 1,990,000 buckets",
        "metrics",
        PROTOBUF,
        lambda: nested(1, 2, content=nested(2, 10, 1, 8, 2, content=b"\x01" * 1_990_000) * 3),
    ),
    Case("249,000 log records", "logs", JSON, lambda: texts(249_000)),
    Case("1,990,000 values that are ignored", "logs", JSON, lambda: b'{"x":[' + b"{}," * 1_990_000 + b"{}]}"),
]
REFUSED = [
    Case("7,000,000 empty log records", "logs", PROTOBUF, lambda: nested(1, 2, content=b"\x12\x00" * 7_000_000)),
    Case("30,000,000 empty resources", "metrics", PROTOBUF, lambda: b"\x0a\x00" * 30_000_000),
    Case(
        "30,000,000 values in a map",
        "traces",
        PROTOBUF,
        lambda: nested(1, 2, 2, 9, 2, 6, content=b"\x0a\x00" * 30_000_000),
    ),
    Case("60,000,000 buckets", "metrics", PROTOBUF, lambda: nested(1, 2, 2, 10, 1, 8, 2, content=b"\x01" * 60_000_000)),
    Case("20 batches of 8,000,000 cells", "logs", PROTOBUF, lambda: batches(20, 80_000, 80, "equal floats")),
    Case("22,000,000 arrays", "logs", JSON, lambda: b'{"x":[' + b"[]," * 22_000_000 + b"[]]}"),
    Case("a GB of zeros", "logs", PROTOBUF, lambda: bytes(1_000_000_000)),
]
AT_ONCE = [
    Case(
        "64 MiB, uncompressed, 16 at once",
        "logs",
        "plain",
        lambda: nested(1, 2, 2, 5, 1, content=b"x" * 64_000_000),
        16,
    ),
    Case(
        "64 MiB of zeros, 40 at once",
        "traces",
        PROTOBUF,
        lambda: nested(1, 1, content=nested(1, 1, content=bytes(60_000_000))),
        40,
    ),
    Case("1,990,000 ignored values, 20 at once", "logs", JSON, lambda: b'{"x":[' + b"{}," * 1_990_000 + b"{}]}", 20),
    Case(
        "249,000 points, 4 at once",
        "metrics",
        PROTOBUF,
        lambda: nested(1, 2, 2, 10, content=b"\x0a\x00" * 249_000),
        4,
    ),
    Case(
        "80,000 rows x 98 equal floats, 12 at once",
        "logs",
        PROTOBUF,
        lambda: batches(1, 80_000, 98, "equal floats"),
        12,
    ),
]


class Peak(threading.Thread):
    """The highest memory of a process, without pages of files, which the system takes back when it needs them."""

    def __init__(self, process: psutil.Process) -> None:
        super().__init__(daemon=True)
        self._process, self.done, self.highest = process, threading.Event(), 0
        self.start()

    def run(self) -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            while not self.done.wait(0.02):
                self.highest = max(self.highest, own(self._process))


def own(process: psutil.Process) -> int:
    memory = process.memory_info()
    return int(memory.rss - memory.shared)


def send(service: Service, case: Case, body: bytes, over_grpc: bool) -> str:
    """Send a request and return its status in one word."""
    try:
        if over_grpc:
            return _over_grpc(service, case, body)
        plain = case.encoding == "plain"
        headers = {
            "content-type": PROTOBUF if plain else case.encoding,
            **({} if plain else {"content-encoding": "gzip"}),
        }
        url = f"http://127.0.0.1:{service.http}/v1/{case.signal}"
        return str(httpx.post(url, content=body, headers=headers, timeout=PATIENCE).status_code)
    except httpx.HTTPError as error:
        return type(error).__name__


def _over_grpc(service: Service, case: Case, body: bytes) -> str:
    plain = case.encoding == "plain"
    options = [("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(f"127.0.0.1:{service.grpc}", options=options) as channel:
        export = channel.unary_unary(
            f"/{SERVICES[case.signal]}/Export", request_serializer=None, response_deserializer=None
        )
        try:
            export(
                body if plain else gzip.decompress(body),
                timeout=PATIENCE,
                compression=grpc.Compression.NoCompression if plain else grpc.Compression.Gzip,
            )
        except grpc.RpcError as error:
            return str(error.code().name)
        return "OK"


def measure(service: Service, case: Case) -> str:
    """A line of the table."""
    request = case.build()
    body = request if case.encoding == "plain" else gzip.compress(request, 9)
    size = len(request)
    del request
    process = psutil.Process(service.process.pid)
    before, peak, start = own(process), Peak(process), time.monotonic()
    with ThreadPoolExecutor(case.times) as pool:
        ports = [case.encoding != JSON and i % 2 == 1 for i in range(case.times)]
        answers = list(pool.map(lambda over_grpc: send(service, case, body, over_grpc), ports))
    _drain(service)
    took = time.monotonic() - start
    peak.done.set()
    peak.join()
    if peak.highest > LIMIT:
        raise SystemExit(f"{case.name}: {peak.highest / 1e6:,.0f} MB")
    grown = peak.highest - before
    counted = ", ".join(f"{answers.count(one)} x {one}" if case.times > 1 else one for one in sorted(set(answers)))
    form = {PROTOBUF: "protobuf", JSON: "JSON", "plain": "protobuf, plain"}[case.encoding]
    wire = case.times * len(body)
    return (
        f"| {case.name} | {case.signal} | {form} | {wire:,} | {case.times * size:,} | {counted} "
        f"| {grown / 1e6:,.0f} | {grown / wire:,.1f} | {grown / size / case.times:,.2f} | {peak.highest / 1e6:,.0f} | {took:.0f} |"
    )


def _drain(service: Service) -> None:
    """Wait until all is stored."""
    end = time.monotonic() + PATIENCE
    while True:
        if service.process.poll() is not None:
            raise SystemExit(
                f"the service ended with {service.process.returncode}; its log:\n{service.log.read_text()[-3000:]}"
            )
        with contextlib.suppress(httpx.HTTPError):
            if (
                httpx.get(f"http://127.0.0.1:{service.http}/status", timeout=PATIENCE).json()["journal"]["requests"]
                == 0
            ):
                return
        if time.monotonic() > end:
            raise SystemExit(f"not stored after {PATIENCE:.0f} s")
        time.sleep(0.1)


HEAD = (
    "| request | signal | encoding | bytes on the wire | bytes decompressed | answer | memory, MB | for each byte on the wire "
    "| for each byte decompressed | highest of the service, MB | stored after, s |\n|---|---|---|---|---|---|---|---|---|---|---|"
)


@contextlib.contextmanager
def bounded() -> Iterator[str]:
    """Limit processes started within the block to 2 GB, where this user may create control groups."""
    roots = {"/sys/fs/cgroup": "memory.max", "/sys/fs/cgroup/memory": "memory.limit_in_bytes"}
    for root, limit in roots.items():
        group = Path(root) / f"modelspan-proof-{os.getpid()}"
        try:
            group.mkdir()
            (group / limit).write_text(str(LIMIT))
            (group / "cgroup.procs").write_text(str(os.getpid()))
        except OSError:
            with contextlib.suppress(OSError):
                group.rmdir()
            continue
        try:
            yield f"in a control group of {LIMIT:,} bytes"
        finally:
            (Path(root) / "cgroup.procs").write_text(str(os.getpid()))
        return
    yield "without a limit: no control group can be made here"


def good(service: Service, rows: int) -> None:
    """A good request is stored whatever came before."""
    post = otlp.logs([("good", {"i": i}) for i in range(rows)])
    answer = httpx.post(
        f"http://127.0.0.1:{service.http}/v1/logs",
        content=post.payload,
        headers={"content-type": PROTOBUF},
        timeout=PATIENCE,
    )
    answer.raise_for_status()
    _drain(service)
    if service.query("SELECT count() FROM otel_logs WHERE EventName = 'good'")[0][0] != rows:
        raise SystemExit("a good request was not stored")


def statements(service: Service, clients: int = 400) -> str:
    """Long statements of many clients of the SQL port at once, one letter of each outside of Latin-1."""
    form = {"query": (None, f"SELECT 1 /*{'y' * 900_000}*/"), "param_a": (None, "\U0001f600" + "x" * 1_100_000)}
    body = httpx.Request("POST", "http://localhost", files=form)
    content, headers = body.read(), {"content-type": body.headers["content-type"]}
    peak = Peak(psutil.Process(service.process.pid))

    def ask(_: int) -> int:
        url = f"http://127.0.0.1:{service.clickhouse}"
        return httpx.post(url, content=content, headers=headers, timeout=PATIENCE).status_code

    with ThreadPoolExecutor(clients) as pool:
        answers = list(pool.map(ask, range(clients)))
    peak.done.set()
    peak.join()
    if peak.highest > LIMIT or not set(answers) <= {200, 503}:
        raise SystemExit(f"long statements: {peak.highest / 1e6:,.0f} MB, {set(answers)}")
    return f"{clients} statements of {len(content):,} bytes at once: {answers.count(200)} x 200, {answers.count(503)} x 503, highest of the service {peak.highest / 1e6:,.0f} MB"


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        with bounded() as how:
            service = stack.enter_context(Service(Path(folder) / "data"))
        print(f"`modelspan serve` {how}\n\n{HEAD}", flush=True)
        for case in [*ADMITTED, *REFUSED, *AT_ONCE]:
            print(measure(service, case), flush=True)
        print(f"\n{statements(service)}", flush=True)
        good(service, 1000)


if __name__ == "__main__":
    main()
