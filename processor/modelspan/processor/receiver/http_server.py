"""The HTTP server: uvicorn, set up to serve one application in a thread that is not the main one."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import uvicorn

from modelspan.processor.hosts import SAFE_HEADERS
from modelspan.processor.http_protocol import limited
from modelspan.processor.receiver.http_app import HttpApp

_KEEP_ALIVE_SECONDS = 75
"""Longer than the export intervals of SDKs: a connection closed just before its next use costs them a retry."""


class HttpServer:
    """Serves on a listening socket until `stop`."""

    def __init__(self, app: HttpApp, listening: socket.socket, *, max_connections: int, here: str) -> None:
        """`here`: what this port speaks, for clients that speak something else."""
        application: Any = app
        config = uvicorn.Config(
            application,
            http=limited(here, max_connections=max_connections),
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            headers=SAFE_HEADERS,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        )
        self._server = uvicorn.Server(config)
        self._listening = listening
        self._serving: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._serving = asyncio.create_task(self._server.serve(sockets=[self._listening]))
        while not self._server.started:
            if self._serving.done():
                self._serving.result()
            await asyncio.sleep(0.005)

    async def stop(self, grace: float) -> None:
        """Accept nothing more, let requests finish within `grace` seconds, then cancel them."""
        if self._serving is None:
            return
        self._server.config.timeout_graceful_shutdown = max(1, round(grace))
        self._server.should_exit = True
        await self._serving
