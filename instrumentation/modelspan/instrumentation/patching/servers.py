"""What is followed for all instrumentors.

Servers and workers that end without the exit handlers of Python: what waits is exported when they shut down.

uvicorn ends its process by the signal that stopped it, Celery its prefork workers by `os._exit`. And explainers, and work in other
threads.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from wrapt import when_imported

from modelspan.instrumentation.failure import attempt, failed
from modelspan.instrumentation.patching import explainers, parallel
from modelspan.instrumentation.patching.patches import Patches


def follow_servers(patches: Patches) -> None:
    """Have what waits exported when such a server ends, whether it is imported already or later, and nothing recorded in explainers."""
    hooks = {"uvicorn.server": _uvicorn, "celery.signals": _celery, **explainers.HOOKS, **parallel.HOOKS}
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


def _uvicorn(patches: Patches, module: Any) -> None:
    def wrapper(original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        async def shutdown(*args: Any, **kwargs: Any) -> Any:
            try:
                return await original(*args, **kwargs)
            finally:
                attempt("export at the end", patches.recorder.end)

        return shutdown

    patches.wrap(module, "Server.shutdown", wrapper)


def _celery(patches: Patches, module: Any) -> None:
    def ended(**kwargs: Any) -> None:
        attempt("export at the end", patches.recorder.end)

    module.worker_process_shutdown.connect(ended, weak=False)
    patches.on_undo(lambda: module.worker_process_shutdown.disconnect(ended))
