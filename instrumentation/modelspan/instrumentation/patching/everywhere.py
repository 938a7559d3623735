"""Common hooks, set whichever library is instrumented: server shutdown, model explainers, thread pools, `inspect`."""

from __future__ import annotations

from typing import Any

from wrapt import when_imported

from modelspan.instrumentation.failure import failed
from modelspan.instrumentation.patching import explainers, parallel, servers, source_files
from modelspan.instrumentation.patching.patches import Patches


def follow_everywhere(patches: Patches) -> None:
    """Run the hooks of modules, whether these are imported already or later."""
    hooks = {**servers.HOOKS, **explainers.HOOKS, **parallel.HOOKS, **source_files.HOOKS}
    patches.on_undo(hooks.clear)

    def imported(module: Any) -> None:
        hook = hooks.get(module.__name__)
        if hook is None:
            return
        try:
            hook(patches, module)
        except Exception as error:
            failed(f"follow {module.__name__}", error)

    for name in tuple(hooks):
        when_imported(name)(imported)
