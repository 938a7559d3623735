"""What tests of every part share."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def embedded_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """URL of the one embedded engine that a process may have; use a database per test."""
    return f"chdb://{tmp_path_factory.mktemp('engine')}/db"
