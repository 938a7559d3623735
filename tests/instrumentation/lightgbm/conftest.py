"""LightGBM, instrumented beside scikit-learn as `opentelemetry-instrument` does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from modelspan.instrumentation.lightgbm import LightGBMInstrumentor


@pytest.fixture
def recorded(telemetry: Any) -> Iterator[Any]:
    LightGBMInstrumentor().instrument()
    yield telemetry
    if LightGBMInstrumentor().is_instrumented_by_opentelemetry:
        LightGBMInstrumentor().uninstrument()


@pytest.fixture
def recorded_with(recorded: Any, again: Callable[..., Any]) -> Callable[..., Any]:
    """Instrument both again with other options."""

    def instrument(**options: Any) -> Any:
        LightGBMInstrumentor().uninstrument()
        again(**options)
        LightGBMInstrumentor().instrument()
        return recorded

    return instrument
