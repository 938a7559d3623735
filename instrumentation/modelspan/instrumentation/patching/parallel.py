"""Work that a prediction, a fit or a scoring gives to other threads or processes is part of it, and is not recorded either."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from modelspan.instrumentation.failure import failed
from modelspan.instrumentation.patching.patches import Patches
from modelspan.instrumentation.patching.signatures import wraps
from modelspan.instrumentation.recorder.scope import INSIDE, around

_OWN_BACKENDS = "joblib."
"""Modules of the backends that run on this machine, with what is installed here."""
_GUARDED = "sklearn."
"""What scikit-learn's own class runs is guarded there."""


def within(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """Call a function as a part of what it was given by. Known by its name in worker processes."""
    state = around.get()
    try:
        around.set(INSIDE)
        return function(*args, **kwargs)
    finally:
        around.set(state)


def _executor(patches: Patches, module: Any) -> None:
    def wrapper(original: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(original)
        def submit(self: Any, *args: Any, **kwargs: Any) -> Any:
            # Bound, since OpenTelemetry's instrumentation of threads, if it was there first, is no plain function.
            bound = original.__get__(self, type(self))
            return bound(within, *args, **kwargs) if args and around.get() is INSIDE else bound(*args, **kwargs)

        return submit

    patches.wrap(module, "ThreadPoolExecutor.submit", wrapper)


def _joblib(patches: Patches, module: Any) -> None:
    def wrapper(original: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(original)
        def call(self: Any, iterable: Iterable[Any]) -> Any:
            try:
                if (
                    around.get() is INSIDE
                    and type(self._backend).__module__.startswith(_OWN_BACKENDS)
                    and not type(self).__module__.startswith(_GUARDED)
                ):
                    tasks = ((within, (function, *args), kwargs) for function, args, kwargs in iterable)
                    iterable = list(tasks) if isinstance(iterable, list) else tasks
            except Exception as problem:
                failed("follow a prediction into other threads", problem)
            return original(self, iterable)

        return call

    patches.wrap(module, "Parallel.__call__", wrapper)


HOOKS = {"concurrent.futures.thread": _executor, "joblib.parallel": _joblib}
"""What to do when a module is imported, by its name."""
