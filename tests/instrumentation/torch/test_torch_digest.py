"""The digest of a module is of its numbers, and is made without a trace in the program."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils import _python_dispatch

from modelspan.instrumentation.torch.kind import ModuleKind

X = torch.randn(5, 60, generator=torch.Generator().manual_seed(0))


def frozen(module: nn.Module) -> Any:
    return torch.jit.freeze(torch.jit.script(module.eval()))


def test_frozen_scripts_differ_in_any_of_their_numbers() -> None:
    module = nn.Linear(60, 60)
    other = copy.deepcopy(module)
    with torch.no_grad():
        other.weight[30, 30] += 1  # where a large tensor is not printed
    digests = [ModuleKind().digest(frozen(one)) for one in (module, other, module)]
    assert digests[0] == digests[2] != digests[1]


def test_the_digest_takes_no_mode_away_from_other_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    def taken() -> None:
        raise AssertionError("modes of PyTorch before the dispatcher are those of all threads")

    model = frozen(nn.Linear(60, 60))
    monkeypatch.setattr(_python_dispatch, "_disable_current_modes", taken)
    with pytest.raises(AssertionError):
        str(X)
    assert ModuleKind().digest(model)
