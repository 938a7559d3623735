"""What was replaced, and how it is put back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from modelspan.instrumentation.failure import failed
from modelspan.instrumentation.patching.wrappers import Describe, described, guarded, guarded_fit
from modelspan.instrumentation.recorder.recorder import Recorder

Undo = Callable[[], None]


class Patches:
    """Replaces attributes of classes and modules, and remembers what was there."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self._undo: list[Undo] = []

    def replace(self, owner: Any, name: str, replacement: Any) -> None:
        """Set an attribute of a class or module."""
        if name in vars(owner):
            raw = vars(owner)[name]
            self._undo.append(lambda: setattr(owner, name, raw))
        else:
            self._undo.append(lambda: delattr(owner, name))
        setattr(owner, name, replacement)

    def wrap(self, module: Any, path: str, wrapper: Callable[[Callable[..., Any]], Any]) -> None:
        """Replace a function of a module, or a method that a class of it defines, by `wrapper` of it. One that is not there is
        left, and so is one that cannot be replaced, which is said once.
        """
        cls, _, name = path.rpartition(".")
        owner = getattr(module, cls, None) if cls else module
        if owner is None or name not in vars(owner):
            return
        try:
            self.replace(owner, name, wrapper(vars(owner)[name]))
        except Exception as error:
            failed(f"instrument {getattr(module, '__name__', module)}.{path}", error)

    def guard(self, module: Any, path: str) -> None:
        """Record nothing while a function or method runs."""
        self.wrap(module, path, guarded)

    def predicts(self, module: Any, path: str, describe: Describe) -> None:
        """Record the calls of a function or method that `describe` says to be predictions."""
        self.wrap(module, path, lambda original: described(original, describe, self.recorder))

    def refits(self, module: Any, path: str) -> None:
        """Record nothing while a method runs that makes its object another model."""
        self.wrap(module, path, lambda original: guarded_fit(original, self.recorder))

    def on_undo(self, undo: Undo) -> None:
        """Have `undo` called when everything is put back."""
        self._undo.append(undo)

    def undo(self) -> None:
        """Put everything back, the last replaced first."""
        while self._undo:
            self._undo.pop()()
