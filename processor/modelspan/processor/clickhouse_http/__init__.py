"""The embedded store behind ClickHouse's HTTP protocol, read-only: for clickhouse-connect, curl, JDBC and Grafana."""

from __future__ import annotations

from modelspan.processor.clickhouse_http.engine import EmbeddedStore, Limits
from modelspan.processor.clickhouse_http.server import ClickHouseHttp

__all__ = ["ClickHouseHttp", "EmbeddedStore", "Limits"]
