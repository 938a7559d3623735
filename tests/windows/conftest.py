"""Empty tables in the embedded engine for each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from windows.lab import Lab

from modelspan.processor.store import Store
from modelspan.processor.windows import Settings

TABLES = (
    "ml_predictions",
    "ml_models",
    "ml_references",
    "ml_reference_arrivals",
    "ml_reference_history",
    "ml_settings",
    "ml_withdrawn_references",
    "ml_feature_windows",
    "ml_drift",
    "ml_windows",
    "ml_replaced_verdicts",
)


@pytest.fixture(scope="session")
def database(embedded_url: str) -> Iterator[Store]:
    opened = Store.open(embedded_url, database="windows", memory=1_000_000_000)
    yield opened
    opened.close()


@pytest.fixture
def store(database: Store) -> Store:
    for table in TABLES:
        database.client().command(f"TRUNCATE TABLE {table}")
    return database


@pytest.fixture
def lab(store: Store) -> Lab:
    return Lab(store, Settings(first_predictions=0))


@pytest.fixture
def lab_with(store: Store) -> Callable[..., Lab]:
    return lambda **settings: Lab(store, Settings(**settings))
