"""Instrumentor of MLflow: predictions of pyfunc models, and who the models are that MLflow loads.

Usage
-----

.. code-block:: python

    from modelspan.instrumentation.mlflow import MLflowInstrumentor

    MLflowInstrumentor().instrument()

or, with no change to the program, ``opentelemetry-instrument python server.py``.

What is recorded, and what is not
---------------------------------

One record for each outermost ``PyFuncModel.predict``. What it calls, such as the scikit-learn model within, is not recorded
again. Inputs are recorded as they are given, before MLflow enforces the signature. A model that was logged with ``pyfunc_predict_fn="predict_proba"`` gives scores. Of a frame
with several columns each column is an output. ``predict_stream`` is not recorded, nor is what
autologging predicts after a fit for its metrics and signatures, what MLflow predicts on the example of an input that a model is saved
with, and what it evaluates.

A model that ``mlflow.pyfunc.load_model``, or ``load_model`` of a flavor (scikit-learn, XGBoost, LightGBM, CatBoost, PyTorch)
gives has the name and version of the registry, also where the URI has an alias or stage. Without a registry its name is the last
part of a ``runs:/`` URI, unless that is ``model``, and its version a digest of what it has learnt. Run, experiment, URI and the data
sets of the run are its lineage. Of these only the run is asked for, for its experiment and data sets, in the background: once, of a local
store that is there, or of the server that MLflow asked for the model.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from modelspan.instrumentation.patching.instrumentor import Hook, ModelInstrumentor

if TYPE_CHECKING:
    from modelspan.instrumentation.patching.patches import Patches

__all__ = ["MLflowInstrumentor"]

_FLAVORS = ("sklearn", "xgboost", "lightgbm", "catboost", "pytorch")


class MLflowInstrumentor(ModelInstrumentor):
    """Records the predictions of MLflow models. See the module's documentation."""

    requirements = ("mlflow-skinny >= 2.14", "mlflow >= 2.14")

    def instrumentation_dependencies(self) -> Collection[str]:
        """None that OpenTelemetry could check: it would ask for every distribution, and each of them is enough."""
        return ()

    def hooks(self) -> Mapping[str, Hook]:
        return {
            "mlflow.pyfunc": _predictions,
            "mlflow.models.model": _metadata,
            "mlflow.models.signature": _signatures,
            "mlflow.models.evaluation.base": _evaluated,
            "mlflow.store.artifact.models_artifact_repo": _registry,
            "mlflow.store.artifact.runs_artifact_repo": _registry,
            **{f"mlflow.{flavor}": _load for flavor in _FLAVORS},
        }


def _predictions(patches: Patches, module: Any) -> None:
    from modelspan.instrumentation.mlflow.patch import predictions

    predictions(patches, module)
    _load(patches, module)


def _load(patches: Patches, module: Any) -> None:
    from modelspan.instrumentation.mlflow import autologging, loads, saving
    from modelspan.instrumentation.patching.unseen import pass_over

    pass_over(autologging, loads)
    loads.loads(patches, module)
    autologging.autologging(patches, module)
    saving.imported(patches, module)


def _metadata(patches: Patches, module: Any) -> None:
    from modelspan.instrumentation.mlflow.loads import metadata
    from modelspan.instrumentation.mlflow.saving import logged

    metadata(patches, module)
    logged(patches, module)


def _signatures(patches: Patches, module: Any) -> None:
    from modelspan.instrumentation.mlflow.saving import signatures

    signatures(patches, module)


def _evaluated(patches: Patches, module: Any) -> None:
    from modelspan.instrumentation.mlflow.saving import evaluated

    evaluated(patches, module)


def _registry(patches: Patches, module: Any) -> None:
    from modelspan.instrumentation.mlflow.loads import registry

    registry(patches, module)
