"""Explainers of models, which predict on rows that they make up: nothing is recorded within them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from modelspan.instrumentation.patching.patches import Patches

_SHAP = ("__init__", "__call__", "shap_values", "shap_interaction_values", "explain_row")


def _shap(patches: Patches, module: Any) -> None:
    for name, cls in list(vars(module.explainers).items()):
        if inspect.isclass(cls) and cls.__name__ == name:  # some have a second name
            for method in _SHAP:
                patches.guard(module.explainers, f"{name}.{method}")
    for method in _SHAP:
        patches.guard(module, f"Explainer.{method}")


def _lime(patches: Patches, module: Any) -> None:
    for name, cls in list(vars(module).items()):
        if inspect.isclass(cls) and cls.__module__ == module.__name__:
            patches.guard(module, f"{name}.explain_instance")


HOOKS: Mapping[str, Callable[[Patches, Any], None]] = {
    "shap": _shap,
    "lime.lime_tabular": _lime,
    "lime.lime_text": _lime,
    "lime.lime_image": _lime,
}
"""What to do when a module is imported, by its name."""
