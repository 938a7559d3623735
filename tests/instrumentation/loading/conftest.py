"""Loaders that are followed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from modelspan.instrumentation.loading import LoadingInstrumentor
from modelspan.instrumentation.recorder.identity import identities


@pytest.fixture
def loads(telemetry: Any) -> Iterator[Any]:
    """Telemetry of a program whose loads are followed."""
    LoadingInstrumentor().instrument()
    yield telemetry
    LoadingInstrumentor().uninstrument()


def lineage(model: Any) -> dict[str, Any]:
    """What is known of where a model comes from."""
    found: dict[str, Any] = {}
    for tell in identities.get(model).tells:
        found |= tell().known()
    return found


def of_file(path: Path, loader: str) -> dict[str, Any]:
    """What is to be known of a model from this file."""
    return {
        "ml.model.source.uri": str(path),
        "ml.model.source.loader": loader,
        "artifact.filename": path.name,
        "artifact.hash": f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}",
    }
