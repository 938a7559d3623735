"""Starts and stops the HTTP server in a thread of its own."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterable

import uvicorn

from modelspan.processor.clickhouse_http.app import OTLP_IS_ELSEWHERE, App
from modelspan.processor.clickhouse_http.engine import EmbeddedStore, Limits, ReadOnlyEngine
from modelspan.processor.hosts import SAFE_HEADERS, TrustedHosts
from modelspan.processor.http_protocol import limited
from modelspan.processor.ports import bind_socket

_SECONDS_TO_STOP = 3


class ClickHouseHttp:
    """Answers ClickHouse's HTTP protocol from the embedded engine of `store`, read-only, between `start` and `stop`.

    It asks for no password: whoever reaches `address` reads everything. Requests that a web page could send are refused: those
    under a host other than loopback, `address` or one of `allowed_hosts`, and those from another origin.
    """

    def __init__(
        self,
        store: EmbeddedStore,
        *,
        address: str = "127.0.0.1:8123",
        allowed_hosts: Iterable[str] = (),
        limits: Limits | None = None,
        workers: int = 4,
        max_connections: int = 512,
    ) -> None:
        self._store = store
        self._address = address
        self._allowed_hosts = tuple(allowed_hosts)
        self._limits = limits or Limits()
        self._workers = workers
        self._max_connections = max_connections
        self._thread: threading.Thread | None = None
        self._started = threading.Event()
        self._stop_serving: Callable[[], None] = lambda: None
        self.port = 0
        """The port that it listens on, once started; it differs from that of `address` where that is 0."""
        self._app: App | None = None

    @property
    def queries(self) -> dict[str, int]:
        """How many queries are running, and how many were given up and still keep a thread."""
        workers = self._app.workers if self._app else None
        return {"running": workers.running if workers else 0, "abandoned": workers.abandoned if workers else 0}

    def start(self) -> None:
        """Listen. Raises PortTaken where another process does, and ValueError for an address that is none."""
        if self._thread is not None:
            raise RuntimeError("ClickHouseHttp is already started")
        bound = bind_socket(self._address)
        try:
            engine = ReadOnlyEngine(self._store, self._limits)
        except BaseException:
            bound.close()
            raise
        self.port = bound.getsockname()[1]
        self._thread = threading.Thread(target=self._run, args=(engine, bound), name="clickhouse-http", daemon=True)
        self._thread.start()
        self._started.wait()

    def stop(self) -> None:
        """Stop listening, end running queries, and let go of the engine. Does nothing where it is not started."""
        if self._thread is None:
            return
        self._stop_serving()
        self._thread.join()
        self._thread = None
        self._started.clear()

    def _run(self, engine: ReadOnlyEngine, bound: socket.socket) -> None:
        asyncio.run(self._serve(engine, bound))

    async def _serve(self, engine: ReadOnlyEngine, bound: socket.socket) -> None:
        hosts = TrustedHosts(self._address, self._allowed_hosts, key="clickhouse_http.allowed_hosts")
        self._app = app = App(engine, hosts=hosts, workers=self._workers)
        server = uvicorn.Server(
            uvicorn.Config(
                app,
                http=limited(
                    f"port {self.port} is ClickHouse's HTTP protocol, without TLS; {OTLP_IS_ELSEWHERE}",
                    max_connections=self._max_connections,
                ),
                ws="none",
                lifespan="off",
                log_config=None,
                log_level="critical",
                access_log=False,
                server_header=False,
                headers=SAFE_HEADERS,
                timeout_keep_alive=30,
                timeout_graceful_shutdown=_SECONDS_TO_STOP,
            )
        )
        loop = asyncio.get_running_loop()

        def stop() -> None:
            server.should_exit = True
            loop.call_soon_threadsafe(app.abort)

        self._stop_serving = stop
        # The socket listens already: who connects before the server takes over waits in its queue.
        self._started.set()
        try:
            await server.serve(sockets=[bound])
        finally:
            await app.close()
            engine.close()
