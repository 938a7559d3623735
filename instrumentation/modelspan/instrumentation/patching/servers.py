"""Servers and workers that end without the exit handlers of Python: what waits is exported when they shut down.

uvicorn ends its process by the signal that stopped it, Celery its prefork workers by `os._exit`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from modelspan.instrumentation.failure import attempt
from modelspan.instrumentation.patching.patches import Patches
from modelspan.instrumentation.patching.signatures import wraps


def _uvicorn(patches: Patches, module: Any) -> None:
    def wrapper(original: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(original)
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


HOOKS = {"uvicorn.server": _uvicorn, "celery.signals": _celery}
"""What to do when a module is imported, by its name."""
