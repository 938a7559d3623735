"""One export request, and why it was refused, of any exporter of logs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from modelspan.instrumentation.failure import failed

DELIVERED: Final = "delivered"
TOO_LARGE: Final = "too_large"
"""A smaller request may be taken."""
AWAY: Final = "away"
"""The same request may be taken later."""
UNKNOWN: Final = "unknown"
"""The exporter does not say why it failed."""

MOST_RESPONSE = 4 * 1024 * 1024
"""Bytes that are read of a response over HTTP, as the OTLP specification recommends. gRPC has this limit by itself."""

_AWAY: Final = frozenset(
    {
        "UNAVAILABLE",
        "CANCELLED",
        "UNAUTHENTICATED",
        "PERMISSION_DENIED",
        "UNIMPLEMENTED",
        401,
        403,
        404,
        429,
        502,
        503,
        504,
    }
)
_SIZES: Final = frozenset({"RESOURCE_EXHAUSTED", "OUT_OF_RANGE"})
"""Codes by which servers refuse the size of a request, which the SDK would repeat as it is."""
_OF_SIZE: Final = re.compile("larg|exceed|size|too big|limit", re.IGNORECASE)
_OF_LOAD: Final = re.compile(r"\b(rate|quota|throttl|too many|per second|concurren)", re.IGNORECASE)
"""By which they say that they have had enough for now, with the same codes."""
_UNREACHED: Final = re.compile(
    "NewConnectionError|NameResolutionError|ConnectTimeout|SSLError|BadStatusLine|MissingSchema|InvalidSchema|InvalidURL"
)
"""Errors of HTTP after which no smaller request would be taken, as it might be where a connection breaks within one."""
_MOST_TEXT: Final = 300
_GRPC_PORT: Final = "that is a port of gRPC; use that of OTLP/HTTP, usually 4318, or OTEL_EXPORTER_OTLP_PROTOCOL=grpc"
_HTTP_PORT: Final = (
    "that is no port of gRPC; use that of OTLP/gRPC, usually 4317, or OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf"
)
_NO_TLS: Final = "it speaks no TLS there; use an endpoint of http://, for gRPC also OTEL_EXPORTER_OTLP_INSECURE=true"
_TLS: Final = "it speaks TLS there; use an endpoint of https://"
_NO_SCHEME: Final = (
    "the endpoint is no URL; write it with http:// or https:// before the host, as in http://127.0.0.1:4318"
)
_MISTAKES: Final = (
    (re.compile("MissingSchema|InvalidSchema|InvalidURL"), _NO_SCHEME),
    (re.compile(r"BadStatusLine\('\\x00\\x00"), _GRPC_PORT),  # a frame of HTTP/2
    (re.compile(r"BadStatusLine\('\\x15\\x03"), _TLS),  # an alert of TLS
    (re.compile("WRONG_VERSION_NUMBER"), _NO_TLS),
    (re.compile("Failed parsing HTTP/2"), _HTTP_PORT),
    (re.compile("Connection aborted.* at .*:4317"), _GRPC_PORT),
    (re.compile("(UNAVAILABLE|UNIMPLEMENTED): (?!.*OTLP/gRPC is on).* at .*:4318"), _HTTP_PORT),
)
"""Words of failures of a client that is set up for another port or protocol, and what to do."""


class Outcome(NamedTuple):
    """The outcome of a request: one of the constants above, and where it failed why, for people."""

    status: str
    why: str = ""


def request(exporter: Any, records: Sequence[Any]) -> Outcome:
    """Export records, in one request. Does not raise what the exporter raises."""
    with _on_our_terms(exporter) as watch:
        try:
            result = exporter.export(records)
        except Exception as error:
            failed("export events", error)
            return Outcome(UNKNOWN, f"the exporter raised {type(error).__name__}")
    # Of any version of the SDK; an exporter that says nothing did deliver.
    if getattr(result, "name", None) != "FAILURE":
        return Outcome(DELIVERED)
    return Outcome(_status(watch.result), _explained(watch.result, endpoint(exporter)))


def endpoint(exporter: Any) -> str:
    """Where an exporter sends to, as far as it says so, without a password."""
    return re.sub("//[^/@]*@", "//", str(getattr(exporter, "_endpoint", "") or type(exporter).__name__))


def _status(result: Any) -> str:
    error, said = getattr(result, "error", None), getattr(result, "error_attrs", None) or {}
    status = next(iter(said.values()), None)
    if status == 413 or type(error).__name__ == "RequestPayloadTooLargeError":
        return TOO_LARGE
    if status in _SIZES:
        told = str(getattr(error, "details", str)())
        if _OF_LOAD.search(told):
            return AWAY
        if _OF_SIZE.search(told):
            return TOO_LARGE
    return AWAY if status in _AWAY or _UNREACHED.search(repr(error)) else UNKNOWN


def _explained(result: Any, where: str) -> str:
    """Why a request failed, in a sentence that names the mistake where it is a usual one."""
    error, said = getattr(result, "error", None), getattr(result, "error_attrs", None) or {}
    details = getattr(error, "details", None)
    text = str((details() if callable(details) else error) or "")
    status = next(iter(said.values()), "it does not say why" if error is None else type(error).__name__)
    told = ": ".join(filter(None, (str(status), text)))
    mistake = next((sentence for sign, sentence in _MISTAKES if sign.search(f"{told} at {where}")), None)
    return mistake or told[:_MOST_TEXT]


class _Watch:
    """An exporter's metrics, which it tells why an export failed."""

    def __init__(self, metrics: Any) -> None:
        self._metrics = metrics
        self.result: Any = None

    @contextmanager
    def export_operation(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        with self._metrics.export_operation(*args, **kwargs) as result:
            self.result = result
            yield result


@contextmanager
def _on_our_terms(exporter: Any) -> Iterator[_Watch]:
    """For one request of ours: see why it fails, do not repeat what is too large, read no endless response."""
    watch = _Watch(getattr(exporter, "_metrics", None))
    terms: dict[str, Any] = {}
    if hasattr(watch._metrics, "export_operation"):
        terms["_metrics"] = watch
    codes = getattr(exporter, "_retryable_error_codes", None)
    if isinstance(codes, frozenset):
        terms["_retryable_error_codes"] = frozenset(code for code in codes if code.name not in _SIZES)
    before = {name: getattr(exporter, name) for name in terms}
    hooks = _response_hooks(exporter)
    try:
        for name, value in terms.items():
            setattr(exporter, name, value)
        hooks.append(_bounded)
        yield watch
    finally:
        hooks.remove(_bounded)
        for name, value in before.items():
            setattr(exporter, name, value)


def _response_hooks(exporter: Any) -> list[Any]:
    """Return the response hooks of the exporter's `requests` session, which run before a response is read."""
    transport = getattr(getattr(exporter, "_client", None), "_transport", None)
    session = getattr(exporter, "_session", None) or getattr(transport, "_session", None)
    hooks = getattr(session, "hooks", None)
    found = hooks.get("response") if isinstance(hooks, dict) else None
    return found if isinstance(found, list) else []


def _bounded(response: Any, *args: Any, **kwargs: Any) -> None:
    """Read a response up to the limit, and give up its connection if it is longer."""
    body = response.raw.read(MOST_RESPONSE + 1, decode_content=False)
    response._content = body[:MOST_RESPONSE]
    response._content_consumed = True
    if len(body) > MOST_RESPONSE:
        response.close()
