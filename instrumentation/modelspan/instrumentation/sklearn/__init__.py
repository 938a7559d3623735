"""Instrumentor of scikit-learn, and of every library whose models derive from its `BaseEstimator`, but for XGBoost and LightGBM,
which have their own.

Usage
-----

.. code-block:: python

    from modelspan.instrumentation.sklearn import SklearnInstrumentor

    SklearnInstrumentor().instrument()

or, with no change to the program, ``opentelemetry-instrument python server.py``.

What is recorded, and what is not
---------------------------------

One record for each call of ``predict``, ``predict_proba``, ``predict_log_proba``, ``decision_function`` and
``score_samples`` that the program makes, in whatever thread or instrumented process. Calls within such a call, within
``fit``, ``partial_fit``, ``fit_predict``, ``fit_transform`` and ``score``, within the steps of ``staged_predict`` and the like, within
the parallel jobs, scorers, partial dependence, imputers and stacking of scikit-learn, within explainers of SHAP and LIME, and under
``suppress_instrumentation()`` are not recorded.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from modelspan.instrumentation.patching.instrumentor import Hook, ModelInstrumentor

if TYPE_CHECKING:
    from modelspan.instrumentation.patching.patches import Patches

__all__ = ["SklearnInstrumentor"]

_GUARDED: Mapping[str, tuple[str, ...]] = {
    "sklearn.utils.parallel": ("_FuncWrapper.__call__",),
    "sklearn.metrics._scorer": ("_BaseScorer.__call__", "_MultimetricScorer.__call__"),
    "sklearn.model_selection._validation": ("_permutation_test_score",),
    "sklearn.inspection._partial_dependence": ("_partial_dependence_brute",),
    "sklearn.inspection._permutation_importance": ("_weights_scorer",),
    "sklearn.inspection._plot.decision_boundary": ("_get_response_values",),
    "sklearn.impute._iterative": ("IterativeImputer.transform",),
    "sklearn.ensemble._stacking": ("StackingClassifier.transform", "StackingRegressor.transform"),
    "sklearn.ensemble._voting": ("VotingClassifier.transform", "VotingRegressor.transform"),
}
"""What evaluates models, or has them transform, without being one of the methods that are recorded, by module: nothing is recorded
within it."""

_PICKLERS = tuple(
    f"{package}.{module}"
    for package in ("cloudpickle", "joblib.externals.cloudpickle")
    for module in ("cloudpickle", "cloudpickle_fast")  # before cloudpickle 3
)


class SklearnInstrumentor(ModelInstrumentor):
    """Records the predictions of scikit-learn models. See the module's documentation."""

    requirements = ("scikit-learn >= 1.3",)

    def hooks(self) -> Mapping[str, Hook]:
        return {
            "sklearn.base": _follow,
            **dict.fromkeys(_GUARDED, _guard),
            **dict.fromkeys(_PICKLERS, _follow_pickles),
        }


def _follow(patches: Patches, module: Any) -> None:
    from modelspan.instrumentation.sklearn.patch import Estimators

    Estimators(patches).follow(module.BaseEstimator)


def _follow_pickles(patches: Patches, module: Any) -> None:
    from modelspan.instrumentation.sklearn.patch import follow_pickles

    follow_pickles(patches, module)


def _guard(patches: Patches, module: Any) -> None:
    for path in _GUARDED[module.__name__]:
        patches.guard(module, path)
