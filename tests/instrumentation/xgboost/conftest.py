"""XGBoost, instrumented beside scikit-learn as `opentelemetry-instrument` does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from modelspan.instrumentation.xgboost import XGBoostInstrumentor


@pytest.fixture
def recorded(telemetry: Any) -> Iterator[Any]:
    XGBoostInstrumentor().instrument()
    yield telemetry
    if XGBoostInstrumentor().is_instrumented_by_opentelemetry:
        XGBoostInstrumentor().uninstrument()


@pytest.fixture
def recorded_with(recorded: Any, again: Callable[..., Any]) -> Callable[..., Any]:
    """Instrument both again with other options."""

    def instrument(**options: Any) -> Any:
        XGBoostInstrumentor().uninstrument()
        again(**options)
        XGBoostInstrumentor().instrument()
        return recorded

    return instrument
