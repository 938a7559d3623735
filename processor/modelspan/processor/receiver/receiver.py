"""The receiver: both transports in one event loop in one thread."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future

import grpc

from modelspan.processor.hosts import TrustedHosts
from modelspan.processor.ports import PortTaken, bind_socket, parse_address
from modelspan.processor.receiver import pages
from modelspan.processor.receiver.grpc_server import make_server
from modelspan.processor.receiver.http_app import HttpApp
from modelspan.processor.receiver.http_server import HttpServer
from modelspan.processor.receiver.intake import Intake
from modelspan.processor.receiver.limits import DEFAULT_LIMITS, Limits
from modelspan.processor.receiver.pages import Page
from modelspan.processor.receiver.sink import Sink


def _always_ready() -> str | None:
    return None


class Receiver:
    """Takes OTLP over gRPC and HTTP for a sink, and acknowledges a request once the sink says that it is durable.

    Args:
        sink: takes the protobuf bytes of accepted requests.
        grpc_address: `host:port` of OTLP/gRPC; None: not served. Port 0 takes a free one.
        http_address: `host:port` of OTLP/HTTP, of `/healthz`, `/readyz`, `/metrics` and of `routes`; None: not served.
        allowed_hosts: under which clients may call OTLP/HTTP beside loopback and the address that they reach.
        limits: on one request.
        max_connections: of each port. Those that wait longest for a request make room over HTTP; over gRPC further ones wait.
        max_held_bytes: memory for requests that are being read or not durable yet; more are told to come again.
        not_ready: the reason why `/readyz` answers 503, None when the service is ready. Called in a thread.
        routes: further pages by path.

    """

    def __init__(
        self,
        sink: Sink,
        *,
        grpc_address: str | None = "127.0.0.1:4317",
        http_address: str | None = "127.0.0.1:4318",
        allowed_hosts: Iterable[str] = (),
        limits: Limits = DEFAULT_LIMITS,
        max_connections: int = 512,
        max_held_bytes: int = 192 << 20,
        not_ready: Callable[[], str | None] = _always_ready,
        routes: Mapping[str, Callable[[], Page]] | None = None,
    ) -> None:
        self._intake = Intake(sink, limits=limits, max_held_bytes=max_held_bytes)
        self._grpc_address = grpc_address
        self._http_address = http_address
        self._max_connections = max_connections
        self._app = HttpApp(
            self._intake,
            {
                "/healthz": pages.alive,
                "/readyz": pages.readiness(not_ready),
                "/metrics": pages.metrics,
                **(routes or {}),
            },
            TrustedHosts(http_address or "127.0.0.1:0", allowed_hosts, key="receiver.allowed_hosts"),
        )
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Future[float] | None = None
        self.grpc_port: int | None = None
        """The port that OTLP/gRPC listens on, after `start`."""
        self.http_port: int | None = None
        """The port that OTLP/HTTP listens on, after `start`."""

    def start(self) -> None:
        """Returns when both ports accept requests.

        Raises:
            PortTaken: another process listens on one of them.
            OSError: an address cannot be listened on for another reason.

        """
        listening = bind_socket(self._http_address) if self._http_address else None
        try:
            target = self._free_grpc_target() if self._grpc_address else None
        except OSError:
            if listening:
                listening.close()
            raise
        self.http_port = listening.getsockname()[1] if listening else None
        started: Future[None] = Future()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._serve(target, listening, started)), name="receiver", daemon=True
        )
        self._thread.start()
        started.result()

    def stop(self, grace: float = 5.0) -> None:
        """Accept nothing more, let requests finish for `grace` seconds, drop the rest without an acknowledgement.

        Nothing is appended to the sink after this returns.
        """
        if self._thread is None or self._loop is None:
            return
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._request_stop, grace)
        self._thread.join()

    def _request_stop(self, grace: float) -> None:
        if self._stop is not None and not self._stop.done():
            self._stop.set_result(grace)

    def _free_grpc_target(self) -> str:
        """Numeric address for gRPC, which would be content with one free address of several that a name stands for."""
        assert self._grpc_address is not None
        with bind_socket(self._grpc_address) as probe:
            host, port = probe.getsockname()[:2]
            if parse_address(self._grpc_address)[1] == 0:
                port = 0
            return f"[{host}]:{port}" if probe.family == socket.AF_INET6 else f"{host}:{port}"

    async def _serve(self, target: str | None, listening: socket.socket | None, started: Future[None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = self._loop.create_future()
        running: list[grpc.aio.Server | HttpServer] = []
        try:
            if target:
                running.append(server := make_server(self._intake, self._max_connections))
                self.grpc_port = await self._start_grpc(server, target)
            if listening:
                running.append(http := self._http_server(listening))
                await http.start()
        except BaseException as error:
            await asyncio.gather(*[part.stop(0) for part in running])
            if listening:
                listening.close()
            started.set_exception(error)
            return
        started.set_result(None)
        grace = await self._stop
        self._intake.closing = True
        await asyncio.gather(*[part.stop(grace) for part in running])

    def _http_server(self, listening: socket.socket) -> HttpServer:
        elsewhere = f"; OTLP/gRPC is on port {self.grpc_port}" if self.grpc_port else ""
        here = f"port {self.http_port} is OTLP/HTTP, without TLS{elsewhere}"
        return HttpServer(self._app, listening, max_connections=self._max_connections, here=here)

    async def _start_grpc(self, server: grpc.aio.Server, target: str) -> int:
        try:
            port = server.add_insecure_port(target)
        except RuntimeError as error:
            raise PortTaken(
                f"another process already listens on {self._grpc_address}: stop it or configure another address"
            ) from error
        await server.start()
        return port
