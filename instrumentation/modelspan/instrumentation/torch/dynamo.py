"""What makes torch.compile see a program as it is without instrumentation.

It traces the original of `nn.Module.__call__` (see `patch`), runs the frames of this package as it runs those of PyTorch, without
compiling them, and takes the same short way to `forward`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from modelspan.instrumentation.patching.patches import Patches
from modelspan.instrumentation.torch.patch import ORIGINAL

_PACKAGE = str(Path(__file__).parents[1])


def skip_frames(patches: Patches, trace_rules: Any) -> None:
    """Have frames of the instrumentation skipped where a compiled program comes upon them; what they call is looked at."""
    trace_rules.add("modelspan.instrumentation")
    patches.on_undo(lambda: _forget(trace_rules))


def _forget(trace_rules: Any) -> None:
    trace_rules.SKIP_DIRS[:] = [one for one in trace_rules.SKIP_DIRS if not str(one).startswith(_PACKAGE)]
    trace_rules._recompile_re()


def keep_shortcut(patches: Patches, variables: Any) -> None:
    """Tell Dynamo, which goes straight to `forward` where `__call__` is PyTorch's own, that it is."""
    known = vars(nn.Module)["__call__"]
    original = getattr(known, ORIGINAL, known)
    variables.unpatched_nn_module_call = known
    patches.on_undo(lambda: setattr(variables, "unpatched_nn_module_call", original))
