"""Instrumentor of scikit-learn, and of every library whose models derive from its `BaseEstimator`.

Usage
-----

.. code-block:: python

    from modelspan.instrumentation.sklearn import SklearnInstrumentor

    SklearnInstrumentor().instrument()

or, with no change to the program, ``opentelemetry-instrument python server.py``.

``instrument`` takes ``tracer_provider``, ``logger_provider`` and ``meter_provider``, by default the global ones, and
every option of :class:`modelspan.instrumentation.config.Config` as a keyword, before its environment variable.

What is recorded, and what is not
---------------------------------

One record for each call of ``predict``, ``predict_proba``, ``predict_log_proba``, ``decision_function`` and
``score_samples`` that the program makes, in whatever thread or instrumented process. Calls within such a call, within
``fit``, ``partial_fit``, ``fit_predict``, ``fit_transform`` and ``score``, within the parallel jobs, scorers and partial
dependence of scikit-learn, and under ``suppress_instrumentation()`` are not recorded.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined]  # mypy does not see into it
from wrapt import when_imported

from modelspan.instrumentation.config import Config, load
from modelspan.instrumentation.failure import warn_once

if TYPE_CHECKING:
    from modelspan.instrumentation.sklearn.patch import Patches

__all__ = ["SklearnInstrumentor"]


_GUARDED = {
    "sklearn.utils.parallel": "_FuncWrapper.__call__",
    "sklearn.metrics._scorer": "_BaseScorer.__call__",
    "sklearn.inspection._partial_dependence": "_partial_dependence_brute",
    "sklearn.inspection._plot.decision_boundary": "_get_response_values",
}
"""What evaluates models without being one of their methods, by module: nothing is recorded within it."""


class SklearnInstrumentor(BaseInstrumentor):  # type: ignore[misc]  # as above
    """Records the predictions of scikit-learn models. See the module's documentation."""

    _patches: Patches | None = None
    _options: dict[str, Any] | None = None
    """What `instrument` was called with; None while not instrumented."""
    _hooked = False

    def instrumentation_dependencies(self) -> Collection[str]:
        return ("scikit-learn >= 1.3",)

    def _instrument(self, **kwargs: Any) -> None:
        self._options = kwargs
        if self._hooked:
            self._patch_imported()
        else:
            SklearnInstrumentor._hooked = True
            when_imported("sklearn.base")(lambda module: self._patch_estimators(module))
            for name in _GUARDED:
                when_imported(name)(lambda module: self._guard(module))

    def _uninstrument(self, **kwargs: Any) -> None:
        self._options = None
        if self._patches is not None:
            from modelspan.instrumentation.recorder import current

            self._patches.undo()
            self._patches = None
            current.stop()

    def _patch_imported(self) -> None:
        import sys

        for name, patch in (("sklearn.base", self._patch_estimators), *((name, self._guard) for name in _GUARDED)):
            if name in sys.modules:
                patch(sys.modules[name])

    def _patch_estimators(self, module: Any) -> None:
        if self._options is not None:
            self._make_patches(self._options).follow(module.BaseEstimator)

    def _guard(self, module: Any) -> None:
        if self._options is not None:
            self._make_patches(self._options).guard(module, _GUARDED[module.__name__])

    def _make_patches(self, options: dict[str, Any]) -> Patches:
        if self._patches is None:
            # Only now, because this imports NumPy, which scikit-learn has imported.
            from modelspan.instrumentation.recorder import current
            from modelspan.instrumentation.recorder.signals import Providers
            from modelspan.instrumentation.sklearn.patch import Patches

            providers = Providers(*(options.get(f"{signal}_provider") for signal in ("tracer", "logger", "meter")))
            self._patches = Patches(current.start(load(**_config(options)), providers))
        return self._patches


def _config(options: dict[str, Any]) -> dict[str, Any]:
    known = {option.name for option in fields(Config)}
    providers = {"tracer_provider", "logger_provider", "meter_provider"}
    for name in options.keys() - known - providers:
        warn_once(f"option:{name}", f"SklearnInstrumentor has no option {name!r}; it is ignored.")
    return {name: value for name, value in options.items() if name in known}
