"""Tells predictions from training."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from typing import Any

import torch

REPLICA = "_is_replica"
"""Attribute of what runs for DataParallel."""

_optimizers: weakref.WeakSet[Any] = weakref.WeakSet()
"""Those of the program that were made since instrumenting."""


def follow(optimizer: Any) -> None:
    """Remember an optimizer as long as the program has it."""
    _optimizers.add(optimizer)


def is_prediction(module: Any, tensors: Iterable[torch.Tensor]) -> bool:
    """Whether a call of `module` with these tensors is one; see the documentation of the package."""
    if REPLICA in module.__dict__:  # runs for DataParallel, in a thread that does not know of it
        return False
    if not torch.is_grad_enabled():
        training = _is_training(module)
        return not training or (torch.is_inference_mode_enabled() and _has_parameters(module))
    return not _is_training(module) and not any(one.requires_grad for one in tensors) and not _is_optimised(module)


def _is_training(module: Any) -> bool:
    # A frozen script has no such attribute; an exported program has it, and refuses to change it.
    return bool(getattr(module, "training", False)) and type(module).__mro__[1].__name__ != "_StatefulGraphModule"


def _has_parameters(module: Any) -> bool:
    """Whether it is a model, rather than a loss, an activation or a transform, which nobody sets to evaluation mode."""
    return next(module.parameters(), None) is not None


def _is_optimised(module: Any) -> bool:
    optimizers = list(_optimizers)
    if not optimizers:
        return False
    trained = {id(one) for optimizer in optimizers for group in optimizer.param_groups for one in group["params"]}
    return any(id(one) in trained for one in module.parameters())
