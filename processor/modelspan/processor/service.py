"""The service put together: the only place that knows all the parts.

Receiver -> journal -> pipeline -> store -> windows. Started from the sink up, stopped from the source down, so that what was
acknowledged is never dropped on the way.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable
from urllib.parse import quote

import numpy as np
import structlog
from prometheus_client import Gauge

from modelspan.processor import quarantine
from modelspan.processor.clickhouse_http import ClickHouseHttp
from modelspan.processor.config import Config, without_password
from modelspan.processor.decode import Decoded
from modelspan.processor.descriptors import raise_limit
from modelspan.processor.journal import Journal
from modelspan.processor.pipeline import OK, Pipeline
from modelspan.processor.portioned import Portioned
from modelspan.processor.ports import parse_address
from modelspan.processor.private import tighten
from modelspan.processor.prometheus import prometheus_name
from modelspan.processor.receiver import Limits, Receiver
from modelspan.processor.receiver.pages import Page
from modelspan.processor.store import Operation, Store, StoreUnavailable
from modelspan.processor.windows import Evaluator, ModelKey, Settings
from modelspan.queries.announcement import Announcement
from modelspan.semconv import metrics

SECONDS_TO_DRAIN = 20.0
"""How long a stop waits for the journal to empty. What is left is stored after the next start."""
SWITCH_INTERVAL = 0.0005
"""Seconds for which a thread may keep the interpreter. Short, so that a commit of the journal does not wait for decoding."""
_FIRST_RETRY, _LONGEST_RETRY = 0.5, 15.0
"""Seconds between attempts to reach the store."""

_RESTART = "If its disk and memory are in order, restart modelspan: the journal keeps what was acknowledged."

_log = structlog.get_logger(__name__)


class Service:
    """Everything that `modelspan serve` runs, between `start` and `stop`."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._stopping = threading.Event()
        self._store_state = "not opened yet"
        self._journal: Journal | None = None
        self._store: Store | None = None
        self._pipeline: Pipeline | None = None
        self._evaluator: Evaluator | None = None
        self._clickhouse: ClickHouseHttp | None = None
        self._announcement: Announcement | None = None
        self._receiver: Receiver | None = None
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Return when requests are accepted. A server that does not answer is waited for in the background.

        Raises `PortTaken`, `JournalError` or `StoreError`; what was started before is stopped.
        """
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def _start(self) -> None:
        config = self._config
        sys.setswitchinterval(SWITCH_INTERVAL)
        raise_limit()
        tighten(config.data_dir)
        self._journal = Journal.open(config.journal_dir, max_bytes=config.journal.max_bytes)
        _export(self, self._journal)
        self._receiver = Receiver(
            self._journal,
            grpc_address=config.receiver.grpc_address,
            http_address=config.receiver.http_address,
            allowed_hosts=[host for host in config.receiver.allowed_hosts.split(",") if host],
            max_connections=config.receiver.max_connections,
            limits=Limits(
                config.receiver.max_request_bytes,
                config.receiver.max_request_records,
                config.receiver.max_request_values,
                config.receiver.max_request_cells,
                config.receiver.max_request_days,
            ),
            routes={"/status": self._status, "/readyz": self._readiness},
        )
        if config.embedded:
            self._open_store(self._journal)
        self._receiver.start()
        if not config.embedded:
            self._run("store", self._wait_for_store)
        _log.info(
            "modelspan serves",
            otlp_grpc=f"port {self._receiver.grpc_port}",
            otlp_http=f"port {self._receiver.http_port}",
            clickhouse_http=f"port {self._clickhouse.port}" if self._clickhouse else "off",
            store=without_password(config.store_url),
        )

    def stop(self) -> None:
        """Refuse new requests, store what was acknowledged, close. Safe after a start that failed."""
        self._stopping.set()
        until = time.monotonic() + SECONDS_TO_DRAIN
        if self._receiver:
            self._receiver.stop()
        if self._announcement:
            self._announcement.withdraw()
        if self._clickhouse:  # first, so that queries of readers do not slow down what is to be stored
            self._clickhouse.stop()
        if self._pipeline and not self._pipeline.stop(until - time.monotonic()):
            _log.warning("the journal still holds requests; they are stored after the next start")
        for thread in self._threads:
            thread.join(max(until - time.monotonic(), 1))
        if self.is_working:
            return  # whoever takes the engine away from a thread that uses it crashes the process
        if self._store:
            self._store.close()
        if self._journal:
            self._journal.close()

    @property
    def is_working(self) -> bool:
        """True where a thread of ours is still in the engine, which after `stop` means: end the process without cleaning up."""
        return any(thread.is_alive() for thread in self._threads) or bool(self._pipeline and self._pipeline.is_alive)

    @property
    def queries(self) -> dict[str, int]:
        """How many queries of readers are running, and how many were given up and cannot be ended."""
        return self._clickhouse.queries if self._clickhouse else {"running": 0, "abandoned": 0}

    @property
    def store_state(self) -> str:
        """`ok`, or since when and why the store does not take rows."""
        if self._stuck:
            return f"stuck: {_sentence(self._stuck)}"
        return self._pipeline.said if self._pipeline else self._store_state

    @property
    def _stuck(self) -> Operation | None:
        """An operation of the store that should have returned."""
        running = self._store.running.longest if self._store else None
        return running if running and running.seconds > self._config.store.stuck_after.total_seconds() else None

    @property
    def windows(self) -> dict[str, int]:
        """How many windows wait for a verdict, and how many since the start got one, were skipped, and found no place to wait."""
        counts = ("waiting", "evaluated", "skipped", "dropped")
        return {name: getattr(self._evaluator, name) if self._evaluator else 0 for name in counts}

    def _run(self, name: str, target: Callable[[], None]) -> None:
        thread = threading.Thread(target=target, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _wait_for_store(self) -> None:
        """Until the server answers, the journal holds what arrives. Each reason is logged once, not at every attempt."""
        assert self._journal
        pause = _FIRST_RETRY
        while not self._stopping.is_set():
            try:
                self._open_store(self._journal)
                return
            except Exception as error:
                problem = error.problem if isinstance(error, StoreUnavailable) else "store cannot be used"
                state = f"{problem}: {error}"
            if state != self._store_state:
                self._store_state = state
                _log.warning(f"{problem}; the journal holds what arrives", reason=state.removeprefix(f"{problem}: "))
            self._stopping.wait(pause)
            pause = min(2 * pause, _LONGEST_RETRY)

    def _open_store(self, journal: Journal) -> None:
        config = self._config
        self._store = store = Store.open(
            _with_credentials(config), database=config.store.database, memory=config.store.memory
        )
        self._evaluator = evaluator = Evaluator(store, Settings.of(config.windows, config.drift))
        pipeline = Pipeline(
            Portioned(journal),
            store,
            quarantine=config.quarantine_dir,
            on_block=lambda decoded: _touch(evaluator, decoded),
        )
        if config.embedded and config.clickhouse_http.enabled:
            self._clickhouse = ClickHouseHttp(
                store,
                address=config.clickhouse_http.address,
                allowed_hosts=[host for host in config.clickhouse_http.allowed_hosts.split(",") if host],
                max_connections=config.clickhouse_http.max_connections,
            )
            self._clickhouse.start()
            host = parse_address(config.clickhouse_http.address)[0].replace("0.0.0.0", "127.0.0.1")
            host = f"[{host}]" if ":" in host else host
            self._announcement = Announcement(config.data_dir, f"{host}:{self._clickhouse.port}")
        self._store_state = OK
        self._run("windows", lambda: evaluator.run(self._stopping))
        pipeline.start()
        self._pipeline = pipeline

    def _readiness(self) -> Page:
        """503 when requests are refused, or the store hangs. While the journal takes them the page says what is wrong with the store."""
        refusal = "stopping" if self._stopping.is_set() else self._journal.refusal if self._journal else "not started"
        if refusal:
            return Page(f"{refusal}\n".encode(), status=503)
        if self.store_state == OK:
            return Page(b"ready\n")
        requests, size = self._journal.backlog if self._journal else (0, 0)
        waits = f"{requests} requests, {size} bytes, wait in the journal"
        if self._stuck:
            said = f"requests are accepted, but the store hangs: {_sentence(self._stuck)}; {waits}. {_RESTART}\n"
            return Page(said.encode(), status=503)
        return Page(f"requests are accepted, but nothing is stored: {self.store_state}; {waits}\n".encode())

    def _status(self) -> Page:
        requests, size = self._journal.backlog if self._journal else (0, 0)
        refuses = self._journal.refusal if self._journal else None
        folder = self._config.quarantine_dir
        state = {
            "store": self.store_state,
            "running": _sentence(running) if (running := self._store and self._store.running.longest) else None,
            "journal": {"requests": requests, "bytes": size, "refuses": refuses},
            "quarantine": {"requests": quarantine.size_of(folder), "folder": str(folder)},
            "windows": self.windows,
            "queries": self.queries,
        }
        return Page(json.dumps(state).encode(), media_type="application/json")


def _sentence(running: Operation) -> str:
    since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(running.since))
    return f"{running.action} has not returned since {since}, for {running.seconds:.0f} s"


def _touch(evaluator: Evaluator, decoded: Decoded) -> None:
    now = time.time()
    for model, seconds in decoded.touched.items():
        times = np.fromiter(seconds, dtype=np.int64, count=len(seconds)) * 1_000_000_000
        evaluator.touch(ModelKey(*model), times, now)
    for model in decoded.references:
        evaluator.reference_changed(model.model_name, model.model_version)


def _export(service: Service, journal: Journal) -> None:
    """What `/metrics` says beside the counters of the parts."""
    _gauge(metrics.MODELSPAN_JOURNAL_REQUESTS, "Requests that are not in the store yet.", lambda: journal.backlog[0])
    _gauge(
        metrics.MODELSPAN_JOURNAL_BYTES, "Bytes of requests that are not in the store yet.", lambda: journal.backlog[1]
    )
    _gauge(metrics.MODELSPAN_STORE_UP, "1 when the store takes rows, else 0.", lambda: service.store_state == OK)
    _gauge(metrics.MODELSPAN_WINDOWS_WAITING, "Windows that wait for a verdict.", lambda: service.windows["waiting"])
    _gauge(metrics.MODELSPAN_WINDOWS_SKIPPED, "Windows without a verdict.", lambda: service.windows["skipped"])
    _gauge(
        metrics.MODELSPAN_WINDOWS_DROPPED,
        "Windows that found no place to wait for a verdict.",
        lambda: service.windows["dropped"],
    )


def _gauge(name: str, description: str, value: Callable[[], float]) -> None:
    Gauge(prometheus_name(name), description).set_function(value)


def _with_credentials(config: Config) -> str:
    """The URL of the store, with the configured user where the URL itself names none."""
    scheme, _, rest = config.store_url.partition("://")
    if config.embedded or "@" in rest:
        return config.store_url
    user, password = config.store.username, config.store.password.get_secret_value()
    return f"{scheme}://{quote(user, safe='')}:{quote(password, safe='')}@{rest}"
