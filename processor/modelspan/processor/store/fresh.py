"""A client of the embedded engine that no failed query can spoil."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class FreshClient:
    """A `clickhouse_connect` client, with all its methods, that is replaced by a new one after every error.

    After a query that failed half-way, the engine returns the rows that it had produced as the result of the next query on the
    same handle. Results must not be streamed: the errors of a stream come after the call.
    """

    def __init__(self, connect: Callable[[], Any]) -> None:
        self._connect = connect
        self._client = connect()

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._client, name)
        if not callable(value):
            return value

        def call(*arguments: Any, **named: Any) -> Any:
            try:
                return getattr(self._client, name)(*arguments, **named)
            except BaseException:
                self._renew()
                raise

        return call

    def _renew(self) -> None:
        old = self._client
        try:
            # Before the old one is closed: the engine stops with its last client.
            self._client = self._connect()
        finally:
            old.close()
