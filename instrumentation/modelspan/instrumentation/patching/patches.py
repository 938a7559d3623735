"""What was replaced, and how it is put back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from modelspan.instrumentation.failure import attempt, failed
from modelspan.instrumentation.patching.wrappers import Describe, Usual, described, guarded, guarded_change, guarded_fit
from modelspan.instrumentation.recorder.recorder import Recorder

Undo = Callable[[], None]
Wrapper = Callable[[Callable[..., Any]], Any]


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

    def wrap(self, module: Any, path: str, wrapper: Wrapper) -> None:
        """Replace a function of a module, or a method that a class of it defines, by `wrapper` of it. One that is not there is
        left, and so is one that cannot be replaced, which is said once.
        """
        cls, _, name = path.rpartition(".")
        owner = getattr(module, cls, None) if cls else module
        if owner is None or name not in vars(owner):
            return
        try:
            self._undo.append(_wrap(owner, name, wrapper))
        except Exception as error:
            failed(f"instrument {getattr(module, '__name__', module)}.{path}", error)

    def guard(self, module: Any, path: str) -> None:
        """Record nothing while a function or method runs."""
        self.wrap(module, path, guarded)

    def predicts(self, module: Any, path: str, describe: Describe, usual: Usual | None = None) -> None:
        """Record the calls of a function or method that `describe` says to be predictions. `usual`: see `described`."""
        self.wrap(module, path, lambda original: described(original, describe, self.recorder, usual))

    def fits(self, module: Any, path: str, readable: Callable[[Any], Any] | None = None) -> None:
        """Record nothing while a method runs that fits its object to what it is given first. `readable`: see `guarded_fit`."""
        self.wrap(module, path, lambda original: guarded_fit(original, self.recorder, readable))

    def changes(self, module: Any, path: str) -> None:
        """Record nothing while a method runs that makes its object another model in another way."""
        self.wrap(module, path, lambda original: guarded_change(original, self.recorder))

    def on_undo(self, undo: Undo) -> None:
        """Have `undo` called when everything is put back."""
        self._undo.append(undo)

    def undo(self) -> None:
        """Put everything back, the last replaced first."""
        while self._undo:
            attempt("put back what was there", self._undo.pop())


class _Wrapped:
    """An attribute that several instrumentors wrap, each around what was there, and that they leave in any order."""

    def __init__(self, owner: Any, name: str) -> None:
        self._owner = owner
        self._name = name
        self._wrappers: list[Wrapper] = []
        self.values = [vars(owner)[name]]
        """What was there, and what each wrapper made of the one before."""

    def add(self, wrapper: Wrapper) -> None:
        self.values.append(wrapper(self.values[-1]))
        self._wrappers.append(wrapper)
        setattr(self._owner, self._name, self.values[-1])

    def remove(self, wrapper: Wrapper) -> None:
        at = next(i for i, one in enumerate(self._wrappers) if one is wrapper)
        above = self._wrappers[at + 1 :]
        del self._wrappers[at:], self.values[at + 1 :]
        setattr(self._owner, self._name, self.values[-1])
        for one in above:
            self.add(one)
        if not self._wrappers:
            _wrapped.pop((self._owner, self._name), None)


_wrapped: dict[tuple[Any, str], _Wrapped] = {}


def _wrap(owner: Any, name: str, wrapper: Wrapper) -> Undo:
    found = _wrapped.get((owner, name))
    if found is None or found.values[-1] is not vars(owner)[name]:  # which another library may have replaced since
        found = _wrapped[owner, name] = _Wrapped(owner, name)
    found.add(wrapper)
    return lambda: found.remove(wrapper)
