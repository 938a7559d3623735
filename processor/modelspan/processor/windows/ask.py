"""One question to the store, answered as an Arrow table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa


def ask(client: Any, sql: str, parameters: Mapping[str, Any], settings: Mapping[str, str]) -> pa.Table:
    """Run a SELECT.

    The settings are made part of the statement: for those given beside it, the driver of the embedded engine reads, sets and
    resets each in a query of its own, which takes longer than many an answer.
    """
    clause = ", ".join(f"{name} = {value}" for name, value in settings.items())
    return client.query_arrow(f"{sql}\nSETTINGS {clause}", parameters=dict(parameters))
