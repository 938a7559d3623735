"""Instrumentor of XGBoost: its native `Booster` and its models of scikit-learn's kind.

Usage
-----

.. code-block:: python

    from modelspan.instrumentation.xgboost import XGBoostInstrumentor

    XGBoostInstrumentor().instrument()

or, with no change to the program, ``opentelemetry-instrument python server.py``.

What is recorded, and what is not
---------------------------------

One record for each outermost call of ``predict`` and ``predict_proba`` of ``XGBClassifier``, ``XGBRegressor``, ``XGBRanker``,
their random forests and ``XGBModel``, and of ``Booster.predict`` and ``Booster.inplace_predict``, whatever trees
``iteration_range`` chooses. The objective says what a Booster returns: scores (``binary:logistic``, ``multi:softprob``,
``rank:*``), labels (``multi:softmax``, ``binary:hinge``), or numbers.

Margins, leaves, contributions and interactions are no predictions, and neither is anything within ``train``, ``cv``, ``fit``,
``update``, ``boost``, ``eval`` and ``eval_set``.

Features are read from a ``DMatrix`` in the background: what is missing in it is null, and a category is its name where XGBoost
(3.1 or later, with pyarrow) knows it, else its code. A ``QuantileDMatrix`` holds no values, only their bins, and one that is
made from an iterator may lie on a disk: the features of both are not recorded, their predictions are.

The version of a model is a digest of its Booster, so it is the same for a Booster and the ``XGBClassifier`` around it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from modelspan.instrumentation.patching.instrumentor import Hook, ModelInstrumentor

if TYPE_CHECKING:
    from modelspan.instrumentation.patching.patches import Patches

__all__ = ["XGBoostInstrumentor"]


class XGBoostInstrumentor(ModelInstrumentor):
    """Records the predictions of XGBoost models. See the module's documentation."""

    requirements = ("xgboost >= 2.0",)

    def hooks(self) -> Mapping[str, Hook]:
        return {"xgboost": _patch}


def _patch(patches: Patches, module: Any) -> None:
    from modelspan.instrumentation.xgboost.patch import patch

    patch(patches, module)
