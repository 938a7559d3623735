"""Instrumentor of LightGBM: its native `Booster` and its models of scikit-learn's kind.

Usage
-----

.. code-block:: python

    from modelspan.instrumentation.lightgbm import LightGBMInstrumentor

    LightGBMInstrumentor().instrument()

or, with no change to the program, ``opentelemetry-instrument python server.py``.

What is recorded, and what is not
---------------------------------

One record for each outermost call of ``predict``, ``predict_proba`` and ``decision_function`` of ``LGBMClassifier``,
``LGBMRegressor``, ``LGBMRanker`` and ``LGBMModel``, and of ``Booster.predict``. The objective says what a Booster returns:
scores (``binary``, ``multiclass``, ``lambdarank``), or numbers. What a model of an objective of your own returns are raw scores,
which are recorded as scores of a classifier and else as numbers. A ``CVBooster`` is one record for each of its Boosters.

Raw scores, leaves and contributions are no predictions, and neither is anything within ``train``, ``cv``, ``fit``, ``update``,
``refit`` and ``eval``. Features of a file that is predicted by its path are not recorded, its predictions are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from modelspan.instrumentation.patching.instrumentor import Hook, ModelInstrumentor

if TYPE_CHECKING:
    from modelspan.instrumentation.patching.patches import Patches

__all__ = ["LightGBMInstrumentor"]


class LightGBMInstrumentor(ModelInstrumentor):
    """Records the predictions of LightGBM models. See the module's documentation."""

    requirements = ("lightgbm >= 4.0",)

    def hooks(self) -> Mapping[str, Hook]:
        return {"lightgbm": _patch}


def _patch(patches: Patches, module: Any) -> None:
    from modelspan.instrumentation.lightgbm.patch import patch

    patch(patches, module)
