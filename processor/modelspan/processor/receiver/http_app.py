"""OTLP/HTTP and the pages beside it, as an ASGI application."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from io import BytesIO
from typing import Any

from modelspan.processor.hosts import TrustedHosts
from modelspan.processor.journal import Signal
from modelspan.processor.receiver.encoding import ENCODINGS, JSON, Encoding
from modelspan.processor.receiver.inflate import CODINGS
from modelspan.processor.receiver.intake import Hold, Intake
from modelspan.processor.receiver.pages import Page
from modelspan.processor.receiver.refusal import (
    Refusal,
    forbidden,
    too_large,
    unavailable,
    unknown_path,
    unsupported_coding,
    unsupported_media_type,
    wrong_method,
)

_Message = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[_Message]]
_Send = Callable[[_Message], Awaitable[None]]

_SIGNALS = {"/v1/traces": Signal.TRACES, "/v1/metrics": Signal.METRICS, "/v1/logs": Signal.LOGS}

_INLINE_BYTES = 8 << 10
"""Compressed bodies up to this size are inflated in the event loop; a thread would cost more."""


class _ClientGone(Exception):
    """The connection ended before the body did."""


class HttpApp:
    """`pages` are what a GET of a path answers; they are called in a thread. `hosts`: under which it may be asked."""

    def __init__(self, intake: Intake, pages: Mapping[str, Callable[[], Page]], hosts: TrustedHosts) -> None:
        self._intake = intake
        self._hosts = hosts
        self._pages = dict(pages)

    async def __call__(self, scope: _Message, receive: _Receive, send: _Send) -> None:
        headers = _joined(scope["headers"])
        encoding = ENCODINGS.get(_media_type(headers))
        try:
            if signal := _SIGNALS.get(scope["path"]):
                answer = await self._export(signal, scope, headers, encoding, receive)
            else:
                answer = await self._page(scope)
        except _ClientGone:
            return
        except asyncio.CancelledError:
            # The grace of a shutdown is over; a 500, which uvicorn would send, means "never send this again".
            answer = _refused(unavailable("the service is shutting down"), encoding or JSON)
        except Refusal as refusal:
            answer = _refused(refusal, encoding or JSON)
        await answer(send)

    async def _export(
        self,
        signal: Signal,
        scope: _Message,
        headers: Mapping[bytes, bytes],
        encoding: Encoding | None,
        receive: _Receive,
    ) -> _Answer:
        with self._intake.counting(signal) as accepted, self._intake.holding() as hold:
            self._check_host(scope)
            if scope["method"] != "POST":
                raise wrong_method(scope["method"], "POST")
            if encoding is None:
                raise unsupported_media_type(_media_type(headers))
            coding = _coding(headers)
            body = await self._body(headers, receive, hold)
            content = await self._inflated(body, coding, hold)
            payload = await self._intake.in_turn(
                lambda: encoding.to_protobuf(signal, content, self._intake.limits), len(content)
            )
            await self._intake.take(signal, payload)
            accepted(len(payload))
        return _Answer(200, encoding.media_type, encoding.success)

    async def _inflated(self, body: bytes, coding: str, hold: Hold) -> bytes:
        if len(body) <= _INLINE_BYTES:
            return self._intake.inflated(body, coding, hold)
        return await asyncio.to_thread(self._intake.inflated, body, coding, hold)

    async def _body(self, headers: Mapping[bytes, bytes], receive: _Receive, hold: Hold) -> bytes:
        limit = self._intake.limits.size
        if int(headers.get(b"content-length", b"0")) > limit:
            raise too_large(limit)
        body = BytesIO()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise _ClientGone
            chunk = message["body"]
            hold(len(chunk))
            body.write(chunk)
            if body.tell() > limit:
                raise too_large(limit)
            if not message["more_body"]:
                return body.getvalue()

    def _check_host(self, scope: _Message) -> None:
        local, _ = scope["server"]
        if reason := self._hosts.refusal(scope["headers"], local):
            raise forbidden(reason)

    async def _page(self, scope: _Message) -> _Answer:
        self._check_host(scope)
        page = self._pages.get(scope["path"])
        if page is None:
            raise unknown_path(scope["path"])
        if scope["method"] != "GET":
            raise wrong_method(scope["method"], "GET")
        answer = await asyncio.to_thread(page)
        return _Answer(answer.status, answer.media_type, answer.body)


class _Answer:
    def __init__(self, status: int, media_type: str, body: bytes, headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
        self._body = body
        self._start = {
            "type": "http.response.start",
            "status": status,
            "headers": [
                (b"content-type", media_type.encode("latin-1")),
                (b"content-length", b"%d" % len(body)),
                *headers,
            ],
        }

    async def __call__(self, send: _Send) -> None:
        await send(self._start)
        await send({"type": "http.response.body", "body": self._body})


def _refused(refusal: Refusal, encoding: Encoding) -> _Answer:
    return _Answer(
        refusal.http_status, encoding.media_type, encoding.failure(refusal.status()), headers=refusal.headers
    )


def _joined(headers: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """A header that is there twice says both, separated by a comma (RFC 9110, section 5.3)."""
    joined: dict[bytes, bytes] = {}
    for name, value in headers:
        joined[name] = joined[name] + b", " + value if name in joined else value
    return joined


def _coding(headers: Mapping[bytes, bytes]) -> str:
    """The one coding of a body. Raises `Refusal` for several, and for one that is not known."""
    named = headers.get(b"content-encoding", b"").decode("latin-1")
    codings = [coding for one in named.split(",") if (coding := one.strip().lower()) not in ("", "identity")]
    coding = codings[0].removeprefix("x-") if len(codings) == 1 else "identity"
    if len(codings) > 1 or coding not in CODINGS:
        raise unsupported_coding(named, CODINGS)
    return coding


def _media_type(headers: Mapping[bytes, bytes]) -> str:
    return headers.get(b"content-type", b"").decode("latin-1").partition(";")[0].strip().lower()
