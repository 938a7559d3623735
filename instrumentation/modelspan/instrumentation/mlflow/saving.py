"""What MLflow predicts by itself, to save a model with an example of its input or to evaluate it, is no prediction of the program."""

from __future__ import annotations

import sys
from typing import Any

from modelspan.instrumentation.patching.patches import Patches
from modelspan.instrumentation.patching.wrappers import guarded

_SIGNATURES, _INFER = "mlflow.models.signature", "_infer_signature_from_input_example"


def signatures(patches: Patches, module: Any) -> None:
    """Record no predictions on examples of inputs."""
    patches.guard(module, _INFER)


def imported(patches: Patches, module: Any) -> None:
    """The same in a module that imported the function before it was replaced where it is defined."""
    ours = getattr(sys.modules.get(_SIGNATURES), _INFER, None)
    if _INFER in vars(module) and getattr(ours, "__wrapped__", None) is vars(module)[_INFER]:
        patches.replace(module, _INFER, ours)


def logged(patches: Patches, module: Any) -> None:
    """Record nothing while a model is logged."""
    patches.wrap(module, "Model.log", _class_method)


def evaluated(patches: Patches, module: Any) -> None:
    """Record nothing while a model is evaluated."""
    patches.guard(module, "_evaluate")


def _class_method(raw: Any) -> Any:
    return classmethod(guarded(raw.__func__))
