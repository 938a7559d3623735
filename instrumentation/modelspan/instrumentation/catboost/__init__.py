"""Instrumentor of CatBoost.

Usage
-----

.. code-block:: python

    from modelspan.instrumentation.catboost import CatBoostInstrumentor

    CatBoostInstrumentor().instrument()

or, with no change to the program, ``opentelemetry-instrument python server.py``.

What is recorded, and what is not
---------------------------------

One record for each call of ``predict``, ``predict_proba`` and ``predict_log_proba`` of ``CatBoost``, ``CatBoostClassifier``,
``CatBoostRegressor`` and ``CatBoostRanker``; of one object instead of many, too. The prediction type says what is recorded: labels
(``Class``), scores (``Probability``, ``MultiProbability``, ``LogProbability``), or numbers. ``RawFormulaVal`` is the prediction of a
regressor, the score of a ranker, and of a classifier what ``decision_function`` is elsewhere.

Staged and virtual predictions, leaf indexes, and anything within ``fit``, ``score``, ``eval_metrics``, ``calc_feature_statistics``,
``compare``, ``select_features``, ``train``, ``cv`` and the searches are no predictions.

Features of a ``Pool`` are recorded where they are all numbers: CatBoost gives back no others. Categories, texts and embeddings of a
Pool are not recorded, nor what is quantised; pass the DataFrame or array itself to have them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from modelspan.instrumentation.patching.instrumentor import Hook, ModelInstrumentor

if TYPE_CHECKING:
    from modelspan.instrumentation.patching.patches import Patches

__all__ = ["CatBoostInstrumentor"]


class CatBoostInstrumentor(ModelInstrumentor):
    """Records the predictions of CatBoost models. See the module's documentation."""

    requirements = ("catboost >= 1.2",)

    def hooks(self) -> Mapping[str, Hook]:
        return {"catboost": _patch}


def _patch(patches: Patches, module: Any) -> None:
    from modelspan.instrumentation.catboost.patch import patch

    patch(patches, module)
