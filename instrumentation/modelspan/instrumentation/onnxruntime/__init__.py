"""Instrumentor of ONNX Runtime.

Usage
-----

.. code-block:: python

    from modelspan.instrumentation.onnxruntime import OnnxRuntimeInstrumentor

    OnnxRuntimeInstrumentor().instrument()

or, with no change to the program, ``opentelemetry-instrument python server.py``.

What is recorded, and what is not
---------------------------------

One record for each ``InferenceSession.run``, ``run_with_ort_values``, ``run_with_iobinding`` and ``run_async``, whose duration
lasts until the callback. Not recorded: ``run_with_ortvaluevector``, and calls within another recorded call or a fit.

Inputs of one column are features under the name of the input; the columns of a table that is the only input are ``x0``,
``x1``, ...; those of one among several inputs ``<input>.0``, ``<input>.1``, .... Of tensors of more than two dimensions, or more
than 4,096 columns, a summary of each row is recorded (``docs/wire.md`` has its features), or the values with
``OTEL_INSTRUMENTATION_ML_TENSORS=values``, or nothing with ``none``. Of what lies on another device than the CPU only the number of
rows is recorded: nothing is copied from a device for telemetry.

Outputs that hold no floating-point numbers are labels. Beside a label, and where their name has ``prob`` or ``score`` in it,
numbers are scores, also as the maps from class to score that converters of scikit-learn models write (ZipMap). Other numbers
are values.

A model is called by the ``name`` of its metadata (``metadata_props``), else by its file, else by its graph. Its version is the
``version`` of its metadata, else its ``model_version`` where that is above 0, else ``fit-`` and 12 digits of the SHA-256 of
the file, which includes the files of external data.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from modelspan.instrumentation.patching.instrumentor import Hook, ModelInstrumentor

if TYPE_CHECKING:
    from modelspan.instrumentation.patching.patches import Patches

__all__ = ["OnnxRuntimeInstrumentor"]


class OnnxRuntimeInstrumentor(ModelInstrumentor):
    """Records the predictions of ONNX Runtime sessions. See the module's documentation."""

    requirements = ("onnxruntime >= 1.16", "onnxruntime-gpu >= 1.16")

    def instrumentation_dependencies(self) -> Collection[str]:
        """None that OpenTelemetry could check: it would ask for every distribution, and each of them is enough."""
        return ()

    def hooks(self) -> Mapping[str, Hook]:
        return {"onnxruntime.capi.onnxruntime_inference_collection": _sessions}


def _sessions(patches: Patches, module: Any) -> None:
    from modelspan.instrumentation.onnxruntime import patch
    from modelspan.instrumentation.patching.unseen import pass_over

    pass_over(patch)
    patch.patch(patches, module)
