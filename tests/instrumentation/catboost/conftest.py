"""CatBoost, instrumented beside scikit-learn as `opentelemetry-instrument` does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from modelspan.instrumentation.catboost import CatBoostInstrumentor


@pytest.fixture
def recorded(telemetry: Any) -> Iterator[Any]:
    CatBoostInstrumentor().instrument()
    yield telemetry
    if CatBoostInstrumentor().is_instrumented_by_opentelemetry:
        CatBoostInstrumentor().uninstrument()


@pytest.fixture
def recorded_with(recorded: Any, again: Callable[..., Any]) -> Callable[..., Any]:
    """Instrument both again with other options."""

    def instrument(**options: Any) -> Any:
        CatBoostInstrumentor().uninstrument()
        again(**options)
        CatBoostInstrumentor().instrument()
        return recorded

    return instrument
