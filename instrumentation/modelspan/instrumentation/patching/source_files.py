"""Source files of functions that others stand in for: `inspect.getsourcefile` names the file of the original.

What stands in has a file name that warnings pass over, which is that of no file. `inspect.getsource` looks behind it by itself.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from modelspan.instrumentation.failure import failed
from modelspan.instrumentation.patching.patches import Patches
from modelspan.instrumentation.patching.signatures import wraps
from modelspan.instrumentation.patching.unseen import MARK


def _follow(patches: Patches, module: Any) -> None:
    patches.wrap(module, "getfile", _of_originals)


def _of_originals(original: Callable[[Any], str]) -> Callable[[Any], str]:
    @wraps(original)
    def getfile(object: Any) -> str:  # noqa: A002  # its name in the original
        try:
            object = _original_of(object)  # noqa: A001
        except Exception as problem:
            failed("find the file of what a function stands in for", problem)
        return original(object)

    return getfile


def _original_of(value: Any) -> Any:
    function = value.__func__ if inspect.ismethod(value) else value
    while inspect.isfunction(function) and function.__code__.co_filename.endswith(MARK):
        wrapped = vars(function).get("__wrapped__")
        if wrapped is None:
            return value
        function = value = wrapped
    return value


HOOKS = {"inspect": _follow}
"""Import hooks by module name."""
