"""What the HTTP port serves beside OTLP: is the process alive, is it ready, what does it count."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import prometheus_client

# A second series for each counter, with the time of its making: nobody asks for it.
prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]  # it has no annotations


@dataclass(frozen=True)
class Page:
    """Answer to a GET."""

    body: bytes
    status: int = 200
    media_type: str = "text/plain; charset=utf-8"


def alive() -> Page:
    return Page(b"alive\n")


def readiness(not_ready: Callable[[], str | None]) -> Callable[[], Page]:
    """A page that says 200, or 503 with the reason that `not_ready` gives."""

    def page() -> Page:
        reason = not_ready()
        return Page(b"ready\n") if reason is None else Page(f"{reason}\n".encode(), status=503)

    return page


def metrics() -> Page:
    """Everything in Prometheus' default registry, as text."""
    return Page(prometheus_client.generate_latest(), media_type=prometheus_client.CONTENT_TYPE_LATEST)
