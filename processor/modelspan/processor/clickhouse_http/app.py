"""The HTTP side: who may ask, what the answer's headers are, streaming, and stopping a query whose client is gone."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from typing import Any, Final, TypeVar

from modelspan.processor.clickhouse_http.bodies import Bodies, Body
from modelspan.processor.clickhouse_http.encoding import Encoder
from modelspan.processor.clickhouse_http.engine import ReadOnlyEngine, Running
from modelspan.processor.clickhouse_http.errors import TOO_MANY_SIMULTANEOUS_QUERIES, QueryError
from modelspan.processor.clickhouse_http.hello import NAME, hello_block, is_hello
from modelspan.processor.clickhouse_http.readers import Places, Reader, ReaderGone
from modelspan.processor.clickhouse_http.request import Head, Request, parse, parse_head
from modelspan.processor.clickhouse_http.workers import Workers
from modelspan.processor.hosts import TrustedHosts
from modelspan.processor.http_protocol import ABORT

_log = logging.getLogger(__name__)

_OPEN_ANSWERS = 16
"""Answers that are read at a time: each holds a query in the engine, some 6 MB of the memory that inserts need, too."""
_IN_LINE = 112
_RETRY_SECONDS = "1"
_PIECE = 1024 * 1024
_PLAIN = "text/plain; charset=UTF-8"

OTLP_IS_ELSEWHERE: Final = "OTLP is at receiver.grpc_address (4317) and receiver.http_address (4318)"

T = TypeVar("T")
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class App:
    """An ASGI application; at most `workers` short queries work at a time. One whose answer is read slowly holds up nobody else's."""

    def __init__(self, engine: ReadOnlyEngine, *, hosts: TrustedHosts, workers: int) -> None:
        self._engine = engine
        self._hosts = hosts
        self._bodies = Bodies()
        self.workers = Workers(workers)
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
        """End all queries, and wait for that; one that nothing ends is left behind."""
        self.abort()
        await self._idle.wait()

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
        body = self._bodies.new()
        try:
            head = parse_head(scope["query_string"], headers)
            encoder = head.encoder()
            await body.receive(receive)
            await self._in_turn(head, body, Reader(_disconnected(receive)), send)
        except ReaderGone:
            # What is left in the connection's buffer would wait for its reader for good.
            scope["extensions"][ABORT]()
        except QueryError as error:
            await self._error(send, error, encoder)
        except Exception as error:
            _log.exception("a query over HTTP failed for a reason that is not the query's")
            await self._error(send, QueryError.of_engine(error), encoder)
        finally:
            body.drop()

    async def _in_turn(self, head: Head, body: Body, reader: Reader, send: Send) -> None:
        self._answering += 1
        self._idle.clear()
        try:
            async with self._open.of(reader, line=_IN_LINE) as has_place:
                if not has_place:
                    raise QueryError(
                        TOO_MANY_SIMULTANEOUS_QUERIES,
                        "Too many simultaneous queries: try again. (TOO_MANY_SIMULTANEOUS_QUERIES)",
                    )
                await self._opened(head, body, reader, send)
        finally:
            reader.close()
            self._answering -= 1
            if not self._answering:
                self._idle.set()

    async def _opened(self, head: Head, body: Body, reader: Reader, send: Send) -> None:
        tag = secrets.token_hex(16)
        opened: list[Running] = []

        def open_query() -> Request:
            request = parse(head, body.data)
            opened.append(self._engine.open(request.query, tag))
            return request.without_query()

        def close() -> None:
            for running in opened:
                running.close()

        try:
            request = await self._call(open_query, tag, self._engine.seconds, reader)
            body.drop()
            if opened[0].blockwise:
                await self._answer(opened[0], request, reader, send)
            else:
                async with self._whole.of(reader, line=_OPEN_ANSWERS):
                    await self._answer(opened[0], request, reader, send)
        finally:
            await self.workers.close(close, reader)

    async def _call(self, work: Callable[[], T], tag: str, seconds: float, reader: Reader) -> T:
        return await self.workers.call(work, reader, seconds=seconds, end=lambda: self._engine.kill(tag))

    async def _answer(self, running: Running, request: Request, reader: Reader, send: Send) -> None:
        encoder = request.encoder
        chunks = self._chunks(running, request)
        piece = await self._next(chunks, running, reader)
        tag = secrets.token_hex(8)
        await send(self._start(request, running, tag, empty=piece is None))
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
        def step() -> bytes | None:
            return None if reader.gone.done() else next(chunks, None)

        return await self._call(step, running.tag, running.seconds, reader)

    def _start(self, request: Request, running: Running, tag: str, *, empty: bool) -> Message:
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
        elif request.encoder.content_encoding:
            headers["content-encoding"] = request.encoder.content_encoding
        return _head(200, headers)

    def _trailer(self, error: QueryError, tag: str) -> bytes:
        text = self._text(error)
        return f"__exception__\r\n{tag}\r\n{text}{len(text)} {tag}\r\n__exception__\r\n".encode()

    async def _error(self, send: Send, error: QueryError, encoder: Encoder | None) -> None:
        body = self._text(error).encode()
        headers = {"content-type": _PLAIN, "x-clickhouse-exception-code": str(error.code)}
        if error.code == TOO_MANY_SIMULTANEOUS_QUERIES:
            headers["retry-after"] = _RETRY_SECONDS
        if encoder is not None:
            body = encoder.encode(body) + encoder.finish()
            if encoder.content_encoding:
                headers["content-encoding"] = encoder.content_encoding
        await send(_head(error.status, headers | {"content-length": str(len(body))}))
        await send({"type": "http.response.body", "body": body})

    def _text(self, error: QueryError) -> str:
        return f"{error.text.rstrip()} (version {self._engine.version})\n"


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
