"""The HTTP side: who may ask, what the answer's headers are, streaming, and stopping a query whose client is gone."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from modelspan.processor.clickhouse_http.encoding import Encoder
from modelspan.processor.clickhouse_http.engine import ReadOnlyEngine, Running
from modelspan.processor.clickhouse_http.errors import TOO_MANY_SIMULTANEOUS_QUERIES, QueryError
from modelspan.processor.clickhouse_http.hello import NAME, hello_block, is_hello
from modelspan.processor.clickhouse_http.readers import Places, Reader, ReaderGone
from modelspan.processor.clickhouse_http.request import MAX_BODY_BYTES, Request, parse, too_large
from modelspan.processor.hosts import TrustedHosts
from modelspan.processor.http_protocol import ABORT

_log = logging.getLogger(__name__)

_OPEN_ANSWERS = 16
"""Answers that are read at a time: each holds a query in the engine, some 6 MB of the memory that inserts need, too."""
_IN_LINE = 112
_PIECE = 1024 * 1024
_PLAIN = "text/plain; charset=UTF-8"

OTLP_IS_ELSEWHERE: Final = "OTLP is at receiver.grpc_address (4317) and receiver.http_address (4318)"

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class App:
    """An ASGI application; at most `workers` queries work at a time. One whose answer is read slowly works for nobody else's."""

    def __init__(self, engine: ReadOnlyEngine, *, hosts: TrustedHosts, workers: int) -> None:
        self._engine = engine
        self._hosts = hosts
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="clickhouse-http")
        self._killer = ThreadPoolExecutor(1, thread_name_prefix="clickhouse-http-kill")
        self._open = Places(_OPEN_ANSWERS)
        self._whole = Places(workers)
        self._answering = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def abort(self) -> None:
        """End all queries and take no more."""
        self._open.cut_all()
        self._whole.cut_all()

    async def close(self) -> None:
        """End all queries, and wait for that."""
        self.abort()
        await self._idle.wait()
        self._pool.shutdown()
        self._killer.shutdown()

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        refusal = self._refusal(scope)
        if refusal is not None:
            await _plain(send, *refusal)
        elif scope["path"] == "/ping" or (scope["method"] != "POST" and not scope["query_string"]):
            await _plain(send, 200, "Ok.\n")
        else:
            await self._query(scope, headers, receive, send)

    def _refusal(self, scope: MutableMapping[str, Any]) -> tuple[int, str] | None:
        local = scope["server"][0] if scope["server"] else None
        foreign = self._hosts.refusal(scope["headers"], local)
        if foreign is not None:
            return 403, f"{foreign}\n"
        if scope["method"] not in ("GET", "POST", "HEAD"):
            return 405, f"Method {scope['method']} is not allowed: use GET or POST.\n"
        if scope["path"] not in ("", "/", "/ping"):
            if scope["path"].startswith("/v1"):
                _log.warning("a client sends OTLP to the port of ClickHouse's HTTP protocol; %s", OTLP_IS_ELSEWHERE)
            return 404, f"There is no handle {scope['path']}. Use / or /ping; {OTLP_IS_ELSEWHERE}.\n"
        return None

    async def _query(
        self, scope: MutableMapping[str, Any], headers: dict[str, str], receive: Receive, send: Send
    ) -> None:
        encoder: Encoder | None = None
        try:
            request = parse(scope["query_string"], headers, await _body(receive))
            encoder = request.encoder()
            await self._in_turn(request, encoder, Reader(_disconnected(receive)), send)
        except ReaderGone:
            # What is left in the connection's buffer would wait for its reader for good.
            scope["extensions"][ABORT]()
        except QueryError as error:
            await self._error(send, error, encoder)
        except Exception as error:
            _log.exception("a query over HTTP failed for a reason that is not the query's")
            await self._error(send, QueryError.of_engine(error), encoder)

    async def _in_turn(self, request: Request, encoder: Encoder, reader: Reader, send: Send) -> None:
        self._answering += 1
        self._idle.clear()
        try:
            async with self._open.of(reader, line=_IN_LINE) as has_place:
                if not has_place:
                    raise QueryError(
                        TOO_MANY_SIMULTANEOUS_QUERIES,
                        "Too many simultaneous queries: try again. (TOO_MANY_SIMULTANEOUS_QUERIES)",
                    )
                await self._opened(request, encoder, reader, send)
        finally:
            reader.close()
            self._answering -= 1
            if not self._answering:
                self._idle.set()

    async def _opened(self, request: Request, encoder: Encoder, reader: Reader, send: Send) -> None:
        loop = asyncio.get_running_loop()
        running = await loop.run_in_executor(self._pool, self._engine.open, request.query)
        try:
            if running.blockwise:
                await self._answer(running, request, encoder, reader, send)
            else:
                async with self._whole.of(reader, line=_OPEN_ANSWERS):
                    await self._answer(running, request, encoder, reader, send)
        finally:
            await loop.run_in_executor(self._pool, running.close)

    async def _answer(self, running: Running, request: Request, encoder: Encoder, reader: Reader, send: Send) -> None:
        chunks = self._chunks(running, request)
        piece = await self._next(chunks, running, reader)
        tag = secrets.token_hex(8)
        await send(self._start(request, running, encoder, tag, empty=piece is None))
        try:
            while piece is not None:
                await _send_all(send, reader, encoder.encode(piece))
                piece = await self._next(chunks, running, reader)
        except QueryError as error:
            # Too late for a status: the error goes behind the rows, and the answer has no end.
            await _send_all(send, reader, encoder.encode(self._trailer(error, tag)) + encoder.finish())
            return
        await send({"type": "http.response.body", "body": encoder.finish() if running.rows else b""})

    def _chunks(self, running: Running, request: Request) -> Iterator[bytes]:
        if running.format.name == "Native" and is_hello(running.statement, request.revision):
            engine = self._engine
            return iter([hello_block(request.revision, version=engine.version, timezone=engine.timezone)])
        return running.chunks()

    async def _next(self, chunks: Iterator[bytes], running: Running, reader: Reader) -> bytes | None:
        loop = asyncio.get_running_loop()

        def step() -> bytes | None:
            return None if reader.gone.done() else next(chunks, None)

        piece: asyncio.Future[bytes | None] = loop.run_in_executor(self._pool, step)
        waiting: set[asyncio.Future[Any]] = {piece, reader.gone}
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if reader.gone.done():
                raise ReaderGone
            return piece.result()
        finally:
            # Again and again, since the query may not have reached the engine yet.
            while not piece.done():
                await loop.run_in_executor(self._killer, self._engine.kill, running)
                await asyncio.wait({piece}, timeout=0.2)
            piece.exception()

    def _start(self, request: Request, running: Running, encoder: Encoder, tag: str, *, empty: bool) -> Message:
        headers = {
            "content-type": running.format.content_type or _PLAIN,
            "x-clickhouse-format": running.format.name,
            "x-clickhouse-query-id": request.query_id or running.tag,
            "x-clickhouse-server-display-name": NAME,
            "x-clickhouse-timezone": self._engine.timezone,
            "x-clickhouse-exception-tag": tag,
        }
        if empty:
            headers["content-length"] = "0"
        elif encoder.content_encoding:
            headers["content-encoding"] = encoder.content_encoding
        return _head(200, headers)

    def _trailer(self, error: QueryError, tag: str) -> bytes:
        text = self._text(error)
        return f"__exception__\r\n{tag}\r\n{text}{len(text)} {tag}\r\n__exception__\r\n".encode()

    async def _error(self, send: Send, error: QueryError, encoder: Encoder | None) -> None:
        body = self._text(error).encode()
        headers = {"content-type": _PLAIN, "x-clickhouse-exception-code": str(error.code)}
        if encoder is not None:
            body = encoder.encode(body) + encoder.finish()
            if encoder.content_encoding:
                headers["content-encoding"] = encoder.content_encoding
        await send(_head(error.status, headers | {"content-length": str(len(body))}))
        await send({"type": "http.response.body", "body": body})

    def _text(self, error: QueryError) -> str:
        return f"{error.text.rstrip()} (version {self._engine.version})\n"


async def _body(receive: Receive) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ReaderGone
        body += message.get("body", b"")
        if len(body) > MAX_BODY_BYTES:
            raise too_large()
        if not message.get("more_body", False):
            return bytes(body)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _send_all(send: Send, reader: Reader, data: bytes) -> None:
    for start in range(0, len(data), _PIECE):
        message: Message = {"type": "http.response.body", "body": data[start : start + _PIECE], "more_body": True}
        await reader.send(send(message))


async def _plain(send: Send, status: int, text: str) -> None:
    await send(_head(status, {"content-type": _PLAIN, "content-length": str(len(text.encode()))}))
    await send({"type": "http.response.body", "body": text.encode()})


def _head(status: int, headers: dict[str, str]) -> Message:
    raw = [(name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in headers.items()]
    return {"type": "http.response.start", "status": status, "headers": raw}
