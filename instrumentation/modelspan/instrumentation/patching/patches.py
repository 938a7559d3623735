"""What was replaced, and how it is put back."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from types import FunctionType, ModuleType
from typing import Any
from weakref import WeakKeyDictionary, ref

from modelspan.instrumentation.failure import attempt, failed
from modelspan.instrumentation.patching.functions import knowing, put_back
from modelspan.instrumentation.patching.unseen import pass_over
from modelspan.instrumentation.patching.wrappers import Describe, Usual, described, guarded, guarded_change, guarded_fit
from modelspan.instrumentation.recorder.recorder import Recorder

Undo = Callable[[], None]
Wrapper = Callable[[Callable[..., Any]], Any]


class Patches:
    """Replaces attributes of classes and modules, and remembers what was there."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        attempt("have warnings pass over what stands in for methods", _pass_over_all)
        self._undo: list[Undo] = []
        self._functions: dict[int, tuple[Any, Any]] = {}
        self.in_force = True
        """What stands in for a function may be called after it was put back, by a name that is not known here."""

    def replace(self, owner: Any, name: str, replacement: Any) -> None:
        """Set an attribute of a class or module."""
        if name in vars(owner):
            raw = vars(owner)[name]
            if isinstance(owner, ModuleType):
                self._stands_in(replacement, raw)
            back = functools.partial(setattr, owner, name, raw)
        else:
            back = functools.partial(delattr, owner, name)
        # What the program has put there since stays.
        self._undo.append(lambda: back() if vars(owner).get(name) is replacement else None)
        setattr(owner, name, replacement)

    def replace_function(self, function: Any, replacement: Any) -> None:
        """Replace a function in all modules that know it by its name, as `from joblib import load` makes them do: a pickle
        looks for it there.
        """
        for module in knowing(function):
            self.replace(module, function.__name__, replacement)

    def _stands_in(self, replacement: Any, function: Any) -> None:
        """Modules that take a replacement over, under whatever name, are to get the function in the end."""
        if not self._functions:
            self._undo.append(lambda: put_back(self._functions))
        self._functions[id(replacement)] = replacement, function

    def wrap(self, module: Any, path: str, wrapper: Wrapper) -> None:
        """Replace a function of a module, or a method that a class of it defines, by `wrapper` of it. One that is not there is
        left, and so is one that cannot be replaced, which is said once.
        """
        cls, _, name = path.rpartition(".")
        owner = getattr(module, cls, None) if cls else module
        if owner is None or name not in vars(owner):
            return
        try:
            put_around(owner, name, wrapper)
            self._undo.append(lambda: take_away(owner, name, wrapper))
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
        self.in_force = False
        while self._undo:
            attempt("put back what was there", self._undo.pop())


def _pass_over_all() -> None:
    """Of this package, what has been imported: all that wraps has."""
    pass_over(*[module for name, module in list(sys.modules.items()) if name.startswith(f"{__package__}.")])


class _Wrapped:
    """An attribute that several instrumentors wrap, each around what was there, and that they leave in any order.

    Keeps no class of the program alive: that has what it wraps, and its functions may hold it.
    """

    def __init__(self, owner: Any, name: str) -> None:
        self._owner = ref(owner)
        self._name = name
        self.wrappers: list[Wrapper] = []
        self._values = [_held(vars(owner)[name])]
        """What was there, and what each wrapper made of the one before."""

    def is_in(self, owner: Any) -> bool:
        """Whether the attribute is what the last wrapper made, and not what another library, or the program, has replaced it by."""
        return self._values[-1]() is vars(owner).get(self._name)

    def add(self, wrapper: Wrapper) -> None:
        value = wrapper(self._values[-1]())
        self.wrappers.append(wrapper)
        self._values.append(_held(value))
        self._set(value)

    def remove(self, wrapper: Wrapper) -> None:
        """Leave what was there to the wrappers above, or what is there now, if that is something else."""
        owner = self._owner()
        if owner is None or not self.is_in(owner):
            self.wrappers.clear()
            return
        at = next(i for i, one in enumerate(self.wrappers) if one is wrapper)
        above = self.wrappers[at + 1 :]
        below = self._values[at]()
        del self.wrappers[at:], self._values[at + 1 :]
        if below is not None:
            self._set(below)
            for one in above:
                self.add(one)

    def _set(self, value: Any) -> None:
        owner = self._owner()
        if owner is not None:
            setattr(owner, self._name, value)


def _held(value: Any) -> Callable[[], Any]:
    """What gives a value, which a function is as long as the class has it, or what is wrapped around it."""
    return ref(value) if isinstance(value, FunctionType) else lambda: value


_wrapped: WeakKeyDictionary[Any, dict[str, _Wrapped]] = WeakKeyDictionary()


def put_around(owner: Any, name: str, wrapper: Wrapper) -> None:
    """Replace an attribute of a class or module by `wrapper` of it."""
    own = _wrapped.setdefault(owner, {})
    found = own.get(name)
    if found is None or not found.is_in(owner):
        found = own[name] = _Wrapped(owner, name)
    found.add(wrapper)


def take_away(owner: Any, name: str, wrapper: Wrapper) -> None:
    """Undo `put_around`, whatever else was put around since."""
    own = _wrapped[owner]
    if name in own:
        own[name].remove(wrapper)
        if not own[name].wrappers:
            del own[name]
