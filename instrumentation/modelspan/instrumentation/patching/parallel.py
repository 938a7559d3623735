"""Work that a prediction, a fit or a scoring gives to other threads or processes is part of it, and is not recorded either."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

from modelspan.instrumentation.failure import failed
from modelspan.instrumentation.patching.patches import Patches
from modelspan.instrumentation.recorder.scope import INSIDE, around

_OWN_BACKENDS = "joblib."
"""Modules of the backends that run on this machine, with what is installed here."""


def within(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """Call a function as a part of what it was given by. Known by its name in worker processes."""
    token = around.set(INSIDE)
    try:
        return function(*args, **kwargs)
    finally:
        around.reset(token)


def _executor(patches: Patches, module: Any) -> None:
    def wrapper(original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def submit(*args: Any, **kwargs: Any) -> Any:
            if around.get() is INSIDE and len(args) > 1:
                return original(args[0], within, *args[1:], **kwargs)
            return original(*args, **kwargs)

        return submit

    patches.wrap(module, "ThreadPoolExecutor.submit", wrapper)


def _joblib(patches: Patches, module: Any) -> None:
    def wrapper(original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def call(self: Any, iterable: Iterable[Any]) -> Any:
            try:
                if around.get() is INSIDE and type(self._backend).__module__.startswith(_OWN_BACKENDS):
                    tasks = map(_within, iterable)
                    iterable = list(tasks) if isinstance(iterable, list) else tasks
            except Exception as problem:
                failed("follow a prediction into other threads", problem)
            return original(self, iterable)

        return call

    patches.wrap(module, "Parallel.__call__", wrapper)


def _within(task: Any) -> Any:
    """What `joblib.delayed` makes, to be run as a part of what surrounds it."""
    function, args, kwargs = task
    return within, (function, *args), kwargs


HOOKS = {"concurrent.futures.thread": _executor, "joblib.parallel": _joblib}
