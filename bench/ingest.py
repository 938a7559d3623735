"""How many predictions a second the service takes, durable, stored and rolled into windows, on this machine.

    python -m bench.ingest [--seconds 60]

The sender runs beside the service on the same cores. A rate counts as sustained when every row is in the store soon after the last
request was acknowledged. Windows of ten seconds are judged meanwhile.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path

import grpc
import psutil

from bench.load import Template, batch_template, span_template
from bench.service import Service

LOGS = "/opentelemetry.proto.collector.logs.v1.LogsService/Export"
TRACES = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
IN_FLIGHT = 8


@dataclass(frozen=True)
class Result:
    """What one run measured; rates in rows per second, CPU in microseconds per row, memory in MB."""

    form: str
    offered: int
    rows: int
    acknowledged: float
    stored: float
    behind: float
    judged: int
    service_cpu: float
    sender_cpu: float
    own: tuple[float, float]
    total: float

    def line(self) -> str:
        early, late = self.own
        return (
            f"| {self.form} | {self.offered:,} | {self.acknowledged:,.0f} | {self.stored:,.0f} | {self.behind:.1f} s "
            f"| {self.judged / self.rows:.0%} | {self.service_cpu:.1f} | {self.sender_cpu:.1f} "
            f"| {early:.0f} / {late:.0f} | {self.total:.0f} |"
        )


HEAD = (
    "| form | offered/s | acknowledged/s | stored/s | stored after | rows judged | CPU us/row, service | CPU us/row, sender "
    "| MB of its own, highest in first / last third | MB with mapped files, highest |\n|---|---|---|---|---|---|---|---|---|---|"
)


class Memory(threading.Thread):
    """Samples the resident memory of the service four times a second.

    Pages of mapped files, the engine's code and the journal among them, are shared with the system's cache.
    """

    def __init__(self, process: psutil.Process) -> None:
        super().__init__(daemon=True)
        self.process, self.own, self.total, self.done = process, list[float](), list[float](), threading.Event()

    def run(self) -> None:
        while not self.done.wait(0.25):
            memory = self.process.memory_info()
            self.total.append(memory.rss / 1e6)
            self.own.append((memory.rss - memory.shared) / 1e6)

    def thirds(self) -> tuple[float, float]:
        third = max(1, len(self.own) // 3)
        return max(self.own[:third]), max(self.own[-third:])


def send(method: str, port: int, templates: list[Template], rate: int, seconds: float) -> tuple[int, float]:
    """Send requests at `rate` rows per second; return the rows acknowledged and the seconds that it took.

    Raises `grpc.RpcError` when a request is refused.
    """
    options = [("grpc.max_send_message_length", -1)]
    sent, sequence = 0, 0
    with grpc.insecure_channel(f"127.0.0.1:{port}", options=options) as channel:
        export = channel.unary_unary(method, request_serializer=None, response_deserializer=None)
        waiting: deque[grpc.Future[bytes]] = deque()
        start = time.perf_counter()
        while time.perf_counter() - start < seconds:
            template = templates[sequence % len(templates)]
            waiting.append(export.future(template.request(sequence), timeout=30))
            sent, sequence = sent + template.rows, sequence + 1
            while len(waiting) >= IN_FLIGHT:
                waiting.popleft().result()
            ahead = sent / rate - (time.perf_counter() - start)
            if ahead > 0:
                time.sleep(ahead)
        for future in waiting:
            future.result()
        return sent, time.perf_counter() - start


def measure(form: str, method: str, templates: list[Template], rate: int, seconds: float) -> Result:
    """Run one service and one sender; every row must arrive."""
    settings = {"MODELSPAN_WINDOWS__LENGTH": "10s", "MODELSPAN_WINDOWS__LATENESS": "1s"}
    with tempfile.TemporaryDirectory() as folder, Service(Path(folder) / "data", **settings) as service:
        process = psutil.Process(service.process.pid)
        memory = Memory(process)
        memory.start()
        before = _cpu(process), time.process_time()
        rows, took = send(method, service.grpc, templates, rate, seconds)
        behind = _wait(service, rows)
        judged = _wait_for_windows(service, rows)
        after = _cpu(process), time.process_time()
        memory.done.set()
        return Result(
            form,
            rate,
            rows,
            rows / took,
            rows / (took + behind),
            behind,
            judged,
            (after[0] - before[0]) / rows * 1e6,
            (after[1] - before[1]) / rows * 1e6,
            memory.thirds(),
            max(memory.total),
        )


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _wait(service: Service, rows: int) -> float:
    start = time.perf_counter()
    while (stored := service.query("SELECT count() FROM ml_predictions")[0][0]) < rows:
        if time.perf_counter() - start > 300:
            raise RuntimeError(f"only {stored} of {rows} rows were stored five minutes after the last one was sent")
        time.sleep(0.2)
    return time.perf_counter() - start


def _wait_for_windows(service: Service, rows: int) -> int:
    """Rows in windows that have a verdict, when it is all of them or half a minute has passed."""
    start, judged = time.perf_counter(), 0
    while judged < rows and time.perf_counter() - start < 30:
        time.sleep(0.5)
        judged = int(service.query("SELECT sum(rows) FROM ml_windows FINAL WHERE segment = ''")[0][0])
    return judged


def table(seconds: float) -> str:
    """Measure both forms and return a Markdown table."""
    batches = [batch_template(model="bench", rows=2000, features=20)]
    small = [batch_template(model="bench", rows=500, features=20)]
    spans = [span_template(model="bench", rows=500, features=20)]
    runs = [
        measure("batch events of 2,000 rows", LOGS, batches, 100_000, seconds),
        measure("batch events of 500 rows", LOGS, small, 100_000, seconds),
        measure("row form: spans with a map attribute", TRACES, spans, 15_000, seconds),
    ]
    return "\n".join([HEAD, *(run.line() for run in runs)])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    print(table(parser.parse_args().seconds))


if __name__ == "__main__":
    main()
