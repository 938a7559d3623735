"""A replacement for a built-in function, as little different from it as can be."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from typing import Any


class NotedFunction:
    """Calls a built-in function, and then says what it returned for its first argument.

    Not a Python function, because those bind: a class that has `load = pickle.load` would give it a `self` that the built-in
    function does not get. Pickled, copied and compared as the function that it stands for.
    """

    def __init__(self, function: Callable[..., Any], note: Callable[[Any, Any], None]) -> None:
        functools.update_wrapper(self, function)
        self.__wrapped__ = function
        self._note = note

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        result = self.__wrapped__(*args, **kwargs)
        self._note(result, args[0] if args else kwargs.get("file"))
        return result

    def __reduce__(self) -> Any:
        return copy.copy, (self.__wrapped__,)  # of a function, that is the function

    def __eq__(self, other: object) -> bool:
        return self is other or self.__wrapped__ == other

    def __hash__(self) -> int:
        return hash(self.__wrapped__)

    def __repr__(self) -> str:
        return repr(self.__wrapped__)
