"""One export request, and why it was refused, of any exporter of logs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

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


def request(exporter: Any, records: Sequence[Any]) -> str:
    """Export records, in one request; one of the constants above. Does not raise what the exporter raises."""
    with _on_our_terms(exporter) as watch:
        try:
            result = exporter.export(records)
        except Exception as error:
            failed("export events", error)
            return UNKNOWN
    # Of any version of the SDK; an exporter that says nothing did deliver.
    return DELIVERED if getattr(result, "name", None) != "FAILURE" else _reason(watch.result)


def _reason(result: Any) -> str:
    error, said = getattr(result, "error", None), getattr(result, "error_attrs", None) or {}
    status = next(iter(said.values()), None)
    if status == 413 or type(error).__name__ == "RequestPayloadTooLargeError":
        return TOO_LARGE
    if status in _SIZES and _OF_SIZE.search(str(getattr(error, "details", str)())):
        return TOO_LARGE
    return AWAY if status in _AWAY else UNKNOWN


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
