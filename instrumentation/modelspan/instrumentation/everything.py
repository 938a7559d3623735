"""All instrumentors at once, in code: what `opentelemetry-instrument` does with no change to the program."""

from __future__ import annotations

from importlib import import_module
from os import environ
from typing import Any

from modelspan.instrumentation.failure import attempt, warn_once

INSTRUMENTORS = {
    "sklearn": "SklearnInstrumentor",
    "xgboost": "XGBoostInstrumentor",
    "lightgbm": "LightGBMInstrumentor",
    "catboost": "CatBoostInstrumentor",
    "torch": "TorchInstrumentor",
    "onnxruntime": "OnnxRuntimeInstrumentor",
    "mlflow": "MLflowInstrumentor",
    "loading": "LoadingInstrumentor",
}
"""Class of each library's instrumentor, by the name of its package."""


def instrument(**options: Any) -> None:
    """Record the predictions of every supported library, whether it is imported already or later. A second call does nothing.

    `options` are those of the environment (`capture="none"`), and `tracer_provider`, `logger_provider` and `meter_provider`. Never raises.
    Instrumentors that are in use already, and those that `OTEL_PYTHON_DISABLED_INSTRUMENTATIONS` names, are left as they are.
    """
    for library in INSTRUMENTORS:
        attempt(f"instrument {library}", _instrument, library, options)


def uninstrument() -> None:
    """Put back what `instrument`, or an instrumentor, has replaced. Never raises."""
    for library in reversed(INSTRUMENTORS):
        attempt(f"uninstrument {library}", _uninstrument, library)


def _instrument(library: str, options: dict[str, Any]) -> None:
    instrumentor = _instrumentor(library)
    if instrumentor.is_instrumented_by_opentelemetry:
        if options:
            warn_once(
                "instrumented", "instrument() was called before: its options hold, and not those of a later call."
            )
        return
    if not _is_disabled(library):
        # Libraries that are not installed, or not in a supported version, are left out when they are imported.
        instrumentor.instrument(skip_dep_check=True, **options)


def _uninstrument(library: str) -> None:
    instrumentor = _instrumentor(library)
    if instrumentor.is_instrumented_by_opentelemetry:
        instrumentor.uninstrument()


def _instrumentor(library: str) -> Any:
    return getattr(import_module(f"modelspan.instrumentation.{library}"), INSTRUMENTORS[library])()


def _is_disabled(library: str) -> bool:
    named = {name.strip() for name in environ.get("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "").split(",")}
    return bool(named & {"*", f"modelspan-{library}"})
