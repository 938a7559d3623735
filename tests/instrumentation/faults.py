"""Faults in functions of the telemetry, and what shows that they hurt nobody."""

from __future__ import annotations

import importlib
import inspect
import logging
import pkgutil
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from modelspan.instrumentation import failure, flush
from tests.instrumentation.conftest import Telemetry

PREFIX = "modelspan.instrumentation."
PATIENCE = 60.0
"""Seconds to hand over what was recorded: a machine that is busy may need more than the 5 s that a program waits by default."""


def modules(part: str) -> Iterator[Any]:
    """A package of the instrumentation and its modules."""
    package = importlib.import_module(PREFIX + part)
    yield package
    for found in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
        yield importlib.import_module(found.name)


def functions(part: str) -> Iterator[tuple[Any, str]]:
    """Every function, and method of a class, with the module or class that defines it."""
    for module in modules(part):
        for name, value in vars(module).items():
            if inspect.isfunction(value) and value.__module__ == module.__name__:
                yield module, name
            elif inspect.isclass(value) and value.__module__ == module.__name__:
                yield from ((value, method) for method, raw in vars(value).items() if _is_ours(method, raw))


def _is_ours(name: str, raw: Any) -> bool:
    """Whether it is a method that somebody wrote and that Python does not call by itself."""
    special = name.startswith("__") and name != "__init__"
    return inspect.isfunction(raw) and not special and raw.__globals__.get("__name__") != "collections"


def said(owner: Any, name: str) -> str:
    module = getattr(owner, "__module__", owner.__name__)
    return f"{module.removeprefix(PREFIX)}:{getattr(owner, '__qualname__', '')}.{name}"


FOR_A_REFERENCE = "Kind.width", "SessionKind.readable"
"""Asked of a model only where a program sets a reference, which most programs of these tests do not."""


def places(*parts: str) -> dict[str, tuple[Any, str]]:
    """All functions of packages, by what they are called in a test."""
    found = {said(owner, name): (owner, name) for part in parts for owner, name in functions(part)}
    return {place: what for place, what in found.items() if not place.endswith(FOR_A_REFERENCE)}


class Injected(Exception):
    """Nobody expects it."""


class Fault:
    """Stands in for a function, everywhere it is known, and raises."""

    def __init__(self, owner: Any, name: str, patch: pytest.MonkeyPatch) -> None:
        self.calls = 0
        original = vars(owner)[name]

        def broken(*args: Any, **kwargs: Any) -> Any:
            self.calls += 1
            raise Injected(name)

        patch.setattr(owner, name, broken)
        for module in [one for key, one in sys.modules.items() if key.startswith(PREFIX)]:
            for key, value in list(vars(module).items()):
                if value is original:
                    patch.setattr(module, key, broken)
                elif isinstance(value, dict):
                    for inner, one in list(value.items()):
                        if one is original:
                            patch.setitem(value, inner, broken)


def outcome(call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """What a call returns or raises."""
    try:
        return call(*args, **kwargs)
    except Exception as error:
        return error


_UNSTEADY = re.compile(r"\d\d:\d\d:\d\d|Stack trace.*", re.DOTALL)
"""In messages of errors."""


def assert_same(expected: Any, found: Any) -> None:
    """The same type and value, or the same error."""
    assert type(expected) is type(found), (expected, found)
    if isinstance(expected, Exception):
        assert _UNSTEADY.sub("", str(expected)) == _UNSTEADY.sub("", str(found))
    elif isinstance(expected, (list, tuple)):
        assert len(expected) == len(found)
        for one, other in zip(expected, found, strict=True):
            assert_same(one, other)
    else:
        np.testing.assert_array_equal(np.asarray(expected), np.asarray(found))


@dataclass
class Instrumented:
    """A program, and the instrumentors that it runs under."""

    program: Callable[[], list[Any]]
    instrumentors: Sequence[Any]
    owners: Sequence[Any] = ()
    """Modules and classes that are as they were, once the instrumentors are gone."""
    expected: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.expected = self.program()
        self._before = [dict(vars(owner)) for owner in self.owners]
        self._telemetry = Telemetry()

    def start(self) -> None:
        for instrumentor in self.instrumentors:
            instrumentor().instrument(
                tracer_provider=self._telemetry.tracer_provider,
                logger_provider=self._telemetry.logger_provider,
                meter_provider=self._telemetry.meter_provider,
                flush_interval=1000.0,
                exit_timeout=PATIENCE,
            )

    def stop(self) -> None:
        for instrumentor in self.instrumentors:
            if instrumentor().is_instrumented_by_opentelemetry:
                instrumentor().uninstrument()

    def assert_restored(self) -> None:
        for owner, before in zip(self.owners, self._before, strict=True):
            now = vars(owner)
            names = {*before, *now} - {"__slotnames__"}  # which pickling leaves
            changed = {name for name in names if before.get(name) is not now.get(name)}
            assert not changed, (owner, changed)

    def survives(self, place: tuple[Any, str], caplog: pytest.LogCaptureFixture, warnings: int = 1) -> list[str]:
        """Run with a fault, from instrumenting to exporting, and expect it to change nothing and to be said so many times.
        What else was said.
        """
        failure._said.clear()
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            try:
                with pytest.MonkeyPatch.context() as patch:
                    fault = Fault(*place, patch)
                    self.start()
                    found = self.program()
                    flush(PATIENCE)
            finally:
                self.stop()
        assert_same(self.expected, found)
        self.assert_restored()
        assert fault.calls, "the program does not come here"
        logged = [one for one in caplog.records if one.name.startswith("modelspan")]
        of_fault = [one.getMessage() for one in logged if one.exc_info and one.exc_info[0] is Injected]
        assert len(of_fault) == warnings, of_fault
        return [one.getMessage() for one in logged if one.getMessage() not in of_fault]


def but(found: Mapping[str, Any], *groups: Iterable[str]) -> list[str]:
    """Places without those that are named, all of which there are."""
    left_out = {name for group in groups for name in group}
    assert left_out <= set(found), left_out - set(found)
    return [name for name in found if name not in left_out]
