"""The main job in one minute: train, serve, break one sensor, read the verdict. Run by `make demo`.

Everything is real: a model server without a line of telemetry runs under `opentelemetry-instrument`, a `modelspan serve` receives
what it emits, and the readings are those of the Shuttle data set that River ships. The one thing made up is the fault: from a known
row on, every fifth reading of one sensor arrives as 0.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path

from bench.service import BIN, Service, free_port
from demo.data import live_half

HERE = Path(__file__).parent
DATA = Path(".modelspan") / "demo"
SECONDS = 30
ROWS_PER_SECOND = 300
WINDOW = 5
BROKEN = "f7"
MODEL = "shuttle-anomaly"


def say(text: str) -> None:
    print(text, flush=True)


def telemetry(service: Service, name: str) -> dict[str, str]:
    """Return the environment that points a program's OpenTelemetry SDK at the service."""
    return {
        **os.environ,
        "OTEL_SERVICE_NAME": name,
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{service.grpc}",
        "OTEL_INSTRUMENTATION_ML_MODEL_NAME": MODEL,
        "PYTHONPATH": str(HERE.parent),
    }


def train(service: Service, model: Path) -> None:
    subprocess.run(
        [BIN / "opentelemetry-instrument", sys.executable, HERE / "train.py", model],
        env=telemetry(service, "shuttle-training"),
        check=True,
    )


@contextmanager
def model_server(service: Service, model: Path) -> Iterator[int]:
    """Run the unchanged model server under `opentelemetry-instrument`; yield its port."""
    port = free_port()
    program = (BIN / "opentelemetry-instrument", sys.executable, HERE / "server.py", model, port)
    command = [str(word) for word in program]
    server = subprocess.Popen(command, env=telemetry(service, "shuttle-server"))
    try:
        _wait_for_port(port)
        yield port
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(30)


def _wait_for_port(port: int) -> None:
    for _ in range(300):
        try:
            http.client.HTTPConnection("127.0.0.1", port, timeout=1).connect()
            return
        except OSError:
            time.sleep(0.1)
    raise TimeoutError(f"the model server did not open port {port} within 30 s")


def replay(port: int) -> tuple[int, datetime]:
    """Send one reading after the other at a steady rate; return the row and the time of the first broken reading."""
    features, _ = live_half()
    total = SECONDS * ROWS_PER_SECOND
    fault = total // 2
    broken_since = datetime.now(timezone.utc)
    connection = http.client.HTTPConnection("127.0.0.1", port)
    start = time.perf_counter()
    for row, reading in enumerate(features.head(total).to_dict("records")):
        if row == fault:
            broken_since = datetime.now(timezone.utc)
        if row >= fault and row % 5 == 0:
            reading[BROKEN] = 0.0
        connection.request("POST", "/", json.dumps(reading))
        connection.getresponse().read()
        if row % ROWS_PER_SECOND == 0:
            _progress(row, total, f"sensor {BROKEN} broken" if row >= fault else "healthy")
        time.sleep(max(0.0, start + (row + 1) / ROWS_PER_SECOND - time.perf_counter()))
    _progress(total, total, "done")
    print(file=sys.stderr)
    return fault, broken_since


def _progress(done: int, total: int, state: str) -> None:
    bar = "#" * (30 * done // total)
    print(f"\r  [{bar:<30}] {done:>6,} of {total:,} readings, {state:<20}", end="", file=sys.stderr, flush=True)


def wait_for_verdicts(service: Service, rows: int) -> None:
    for _ in range(200):
        judged = service.query(f"SELECT sum(rows) FROM ml_windows FINAL WHERE model_name = '{MODEL}'")[0][0]
        if judged >= rows:
            return
        time.sleep(0.1)
    raise TimeoutError(f"not every window was judged within 20 s; see {service.log}")


def _last_unchanged() -> str:
    """SQL: the last window in which nothing had drifted before the last in which something had. One unchanged window in twenty may
    be called drifted; that is no beginning.
    """
    windows = f"FROM ml_windows FINAL WHERE model_name = '{MODEL}' AND status"
    return f"(SELECT max(window_start) {windows} = 'ok' AND window_start < (SELECT max(window_start) {windows} = 'drifted'))"


def report(service: Service, fault: int, broken_since: datetime) -> None:
    say(
        f"\nThe fault began at row {fault:,}, at {broken_since:%H:%M:%S} UTC. What the service found, by window of {WINDOW} s:\n"
    )
    for start, status, rows, drifted, reason in service.query(
        "SELECT window_start, status, rows, drifted, reason FROM ml_windows FINAL "
        f"WHERE model_name = '{MODEL}' ORDER BY window_start"
    ):
        say(f"  {start:%H:%M:%S}  {status:<18} {rows:>5,} readings  {', '.join(drifted) or reason}")
    say("\nWhich series drifted, since when, and how sure:\n")
    for name, kind, since, windows, p_value, effect, psi, reason in service.query(
        "SELECT series_name, series_kind, min(window_start), count(), min(p_value), max(effect), max(psi), "
        "argMax(reason, effect) FROM ml_drift FINAL "
        f"WHERE model_name = '{MODEL}' AND status = 'drifted' AND window_start > {_last_unchanged()} "
        "GROUP BY series_name, series_kind ORDER BY max(effect) DESC"
    ):
        say(
            f"  {kind} {name}: since {since:%H:%M:%S}, in {windows} window{'s'[: windows != 1]}; p <= {p_value:.1e}, effect {effect:.2f}, PSI {psi:.2f}"
        )
        say(f"      {reason}")
    for trace_id, duration, label in service.query(
        "SELECT trace_id, duration, label FROM ml_predictions "
        f"WHERE model_name = '{MODEL}' AND feature_numbers['{BROKEN}'] = 0 AND span_id != '' ORDER BY duration DESC LIMIT 1"
    ):
        say(
            f"\nA trace to look at, the slowest prediction on a broken reading: {trace_id} ({duration / 1e6:.1f} ms, {label})"
        )
    made, stored, dropped = service.query(
        "SELECT max(rows_recorded), (SELECT count() FROM ml_predictions), max(rows_dropped) FROM ml_recorders "
        f"WHERE model_name = '{MODEL}'"
    )[0]
    say(f"Predictions made {made:,}, stored {stored:,}, dropped {dropped:,}.")


def main() -> None:
    """Run the demo and print what it found."""
    # What a script starts in its background ignores SIGINT, and so would the model server, which is ended by it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    shutil.rmtree(DATA, ignore_errors=True)
    settings = {
        "MODELSPAN_WINDOWS__LENGTH": f"{WINDOW}s",
        "MODELSPAN_WINDOWS__LATENESS": "1s",
        "MODELSPAN_WINDOWS__IDLE": "2s",
    }
    began = time.monotonic()
    say("1. modelspan serve: one process, embedded ClickHouse")
    with Service(DATA, **settings) as service:
        say("2. train a classifier, and set its training data as the reference")
        train(service, DATA / "model.joblib")
        say("3. serve it: opentelemetry-instrument python demo/server.py")
        with model_server(service, DATA / "model.joblib") as port:
            say(
                f"4. replay {SECONDS * ROWS_PER_SECOND:,} readings that the model has not seen; half-way, break sensor {BROKEN}"
            )
            fault, broken_since = replay(port)
        wait_for_verdicts(service, SECONDS * ROWS_PER_SECOND)
        report(service, fault, broken_since)
    say(f"\nDone in {time.monotonic() - began:.0f} s. The data stays in {DATA}; explore it:\n")
    command = f"{BIN / 'modelspan'}"
    for arguments in (
        "query",
        f"query drift_now --param model={MODEL}",
        f"query feature_distribution --param model={MODEL} --param feature={BROKEN}",
        "query slowest_predictions",
        "'sql \"SELECT label, count() FROM ml_predictions GROUP BY label\"'",
    ):
        say(f"  MODELSPAN_DATA_DIR={DATA} {os.path.relpath(command)} {arguments.strip(chr(39))}")


if __name__ == "__main__":
    main()
