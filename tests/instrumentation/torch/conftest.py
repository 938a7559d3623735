"""An instrumented PyTorch whose telemetry a test can read back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from modelspan.instrumentation.sklearn import SklearnInstrumentor
from modelspan.instrumentation.torch import TorchInstrumentor


@pytest.fixture
def instrument(telemetry: Any) -> Iterator[Callable[..., Any]]:
    """Instrument PyTorch alone, with these options."""
    SklearnInstrumentor().uninstrument()

    def start(**options: Any) -> Any:
        TorchInstrumentor().instrument(
            tracer_provider=telemetry.tracer_provider,
            logger_provider=telemetry.logger_provider,
            meter_provider=telemetry.meter_provider,
            **{"flush_interval": 1000.0, **options},
        )
        return telemetry

    yield start
    if TorchInstrumentor().is_instrumented_by_opentelemetry:
        TorchInstrumentor().uninstrument()


@pytest.fixture
def torch_telemetry(instrument: Callable[..., Any]) -> Any:
    return instrument()
