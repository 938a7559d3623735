"""Instrumentor of PyTorch: the calls of modules that are predictions.

Usage
-----

.. code-block:: python

    from modelspan.instrumentation.torch import TorchInstrumentor

    TorchInstrumentor().instrument()

or, with no change to the program, ``opentelemetry-instrument python server.py``.

What is recorded, and what is not
---------------------------------

One record for each outermost call of an ``nn.Module`` that is a prediction, eager, compiled, scripted, traced or exported. It is one

* under ``torch.inference_mode()``, if the module has parameters;
* under ``torch.no_grad()``, if the module is in evaluation mode (``model.eval()``);
* with gradients enabled, if the module is in evaluation mode, no input requires a gradient, and no optimizer that was made
  since instrumenting holds parameters of the module. So a server that forgot ``no_grad`` is seen, and fine-tuning, attacks and
  attributions in evaluation mode are not.

Frozen and exported modules count as in evaluation mode. Modules called within a module's call, within a compiled function
(``torch.compile(function)``), a transform of ``torch.func``, a ``TorchDispatchMode``, ``torch.export``, ``torch.jit.trace``,
``torch.onnx.export``, ``fx.symbolic_trace`` or the capture of a CUDA graph are not recorded, nor is anything under
``suppress_instrumentation()``. ``model.forward(x)`` is not seen.

The rows are the first dimension of the first tensor of the arguments. Of each row of each tensor, in arguments nested in lists,
tuples, mappings and dataclasses, a summary is recorded (``docs/wire.md`` has its features), or the values with
``OTEL_INSTRUMENTATION_ML_TENSORS=values``, or nothing with ``none``. The first output with at most 100 numbers in a row is the prediction;
of the others the values, or a summary of those that are longer. The caller copies at most 1 MiB of the inputs of a call, and of a larger one
a random sample of its rows, with their weight.

Tensors on a CUDA device are copied by the device into pinned memory, at most 64 KiB of each, and timed by events on the current
stream; nothing is waited for in the caller. Tensors of other devices, sparse and quantised ones and those of subclasses are
recorded by shape and type alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from modelspan.instrumentation.patching.instrumentor import Hook, ModelInstrumentor

if TYPE_CHECKING:
    from modelspan.instrumentation.patching.patches import Patches

__all__ = ["TorchInstrumentor"]

_GUARDED: Mapping[str, tuple[str, ...]] = {
    "torch.jit": ("_get_trace_graph",),  # where it is taken over from the module below, and called
    "torch.jit._trace": ("_check_trace", "_trace_impl", "_trace_module_impl"),
    "torch.export": ("export",),
    "torch.onnx": ("export",),
}
"""What calls modules in order to look at them, by module: nothing is recorded within it."""


class TorchInstrumentor(ModelInstrumentor):
    """Records the predictions of PyTorch modules. See the module's documentation."""

    requirements = ("torch >= 2.6",)
    """2.6 is the first in which Dynamo says whether it compiles, and knows whether `Module.__call__` is PyTorch's own."""

    def hooks(self) -> Mapping[str, Hook]:
        return {
            "torch": _replace_call,
            "torch._dynamo.trace_rules": _skip_frames,
            "torch._dynamo.utils": _keep_shortcut,
            "torch._dynamo.variables.nn_module": _keep_shortcut,
            **dict.fromkeys(_GUARDED, _guard),
        }


def _replace_call(patches: Patches, module: Any) -> None:
    from modelspan.instrumentation.patching.unseen import pass_over
    from modelspan.instrumentation.torch import call, cuda, patch
    from modelspan.instrumentation.torch.patch import replace_call

    pass_over(call, cuda, patch)

    replace_call(patches, module)


def _skip_frames(patches: Patches, module: Any) -> None:
    from modelspan.instrumentation.torch.dynamo import skip_frames

    skip_frames(patches, module)


def _keep_shortcut(patches: Patches, module: Any) -> None:
    from modelspan.instrumentation.torch.dynamo import keep_shortcut

    keep_shortcut(patches, module)


def _guard(patches: Patches, module: Any) -> None:
    for name in _GUARDED[module.__name__]:
        patches.guard(module, name)
