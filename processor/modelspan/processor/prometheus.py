"""How a name of the registry is written for Prometheus."""

from __future__ import annotations


def prometheus_name(name: str) -> str:
    """`modelspan.store.rows` is `modelspan_store_rows`; so are attributes as labels."""
    return name.replace(".", "_")
