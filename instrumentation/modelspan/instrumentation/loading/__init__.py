"""Instrumentor of what loads models: it notes which file a model came from, and records no prediction.

Usage
-----

.. code-block:: python

    from modelspan.instrumentation.loading import LoadingInstrumentor

    LoadingInstrumentor().instrument()

or, with no change to the program, ``opentelemetry-instrument python server.py``.

What is noted
-------------

The ``ml.model.loaded`` event of a model that was loaded by

* ``joblib.load``, ``pickle.load``, ``cloudpickle.load``, ``skops.io.load``,
* XGBoost's ``Booster.load_model`` and ``XGBModel.load_model``, LightGBM's ``Booster(model_file=...)``, CatBoost's
  ``load_model``,
* ``torch.load`` and ``torch.jit.load``, also of weights that are given to ``load_state_dict`` afterwards,

has the file (``ml.model.source.uri``), what loaded it, and its SHA-256 (``artifact.hash``), of files up to 512 MiB. It may be given by
its path or open for reading, also by what decompresses it. The digest is
made in the background, once for each file. A model that nobody named is
named after its file (``fraud.joblib``: ``fraud``), or the folder of a file whose name says nothing; its version is what it was when it was fitted. ONNX Runtime and MLflow say more; their instrumentors do that.

Of a model that the program itself fits, the event has the time at which the fit ended, the run (``MLFLOW_RUN_ID``, or the
active run of MLflow), and the revision of the program: that of the environment of common CI systems, else of the Git repository
of the working directory. Of a model that is loaded nobody knows these: where it runs is not where it was trained.

``pickle.load`` is replaced in the module ``pickle`` alone, by an object that is no descriptor, as the built-in function is none, so
that classes may go on to keep it as an attribute. ``pickle.loads`` is left alone: it knows no file, and programs that pass messages
call it millions of times.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from modelspan.instrumentation.patching.instrumentor import Hook, ModelInstrumentor

if TYPE_CHECKING:
    from modelspan.instrumentation.patching.patches import Patches

__all__ = ["LoadingInstrumentor"]


class LoadingInstrumentor(ModelInstrumentor):
    """Notes what models are loaded from. See the module's documentation."""

    def hooks(self) -> Mapping[str, Hook]:
        # pickle itself is there from the start, and models are not: without NumPy there is none that is recorded.
        return dict.fromkeys(
            ("joblib", "numpy", "cloudpickle", "skops.io", "xgboost", "lightgbm", "catboost", "torch"),
            _hook,
        )


def _hook(patches: Patches, module: Any) -> None:
    from modelspan.instrumentation.loading import function, loaders
    from modelspan.instrumentation.patching.unseen import pass_over

    pass_over(function, loaders)
    loaders.HOOKS[module.__name__](patches, module)
