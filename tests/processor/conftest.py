"""A store of its own for each test, all in the one embedded engine of the process."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from modelspan.processor.store import Store

_numbers = itertools.count()


@pytest.fixture
def store(embedded_url: str) -> Iterator[Store]:
    opened = Store.open(embedded_url, database=f"processor_{next(_numbers)}", memory=1_000_000_000)
    yield opened
    opened.client().command(f"DROP DATABASE {opened.database} SYNC")
    opened.close()
