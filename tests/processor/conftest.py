"""A store of its own for each test, all in the one embedded engine of the process."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from modelspan.processor.store import Store

_numbers = itertools.count()


@pytest.fixture(scope="session")
def engine(embedded_url: str) -> Iterator[str]:
    """URL of the engine, which is kept running: it would stop with its last client, and starting it takes half a second."""
    anchor = Store.open(embedded_url, database="anchor", memory=1_000_000_000)
    yield embedded_url
    anchor.close()


@pytest.fixture
def store(engine: str) -> Iterator[Store]:
    opened = Store.open(engine, database=f"processor_{next(_numbers)}", memory=1_000_000_000)
    yield opened
    opened.client().command(f"DROP DATABASE {opened.database}")
    opened.close()
