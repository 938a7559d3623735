"""What all instrumentors share: options, hooks that wait for a library to be imported, and one recorder for all of them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import fields
from functools import cache, partial
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined]  # mypy does not see into it
from packaging.requirements import Requirement
from wrapt import when_imported

from modelspan.instrumentation.config import Config, load
from modelspan.instrumentation.declared import Declared, is_declared, is_disabled, options_of
from modelspan.instrumentation.failure import attempt, failed, warn_once

if TYPE_CHECKING:
    from modelspan.instrumentation.patching.patches import Patches
    from modelspan.instrumentation.recorder.signals import Providers

Hook = Callable[["Patches", Any], None]
"""Given the patches to make and the module that was imported."""


class ModelInstrumentor(BaseInstrumentor):  # type: ignore[misc]  # as above
    """Instruments a library once it is imported. It imports none, and nothing that takes long.

    `instrument` takes ``tracer_provider``, ``logger_provider`` and ``meter_provider``, by default the global ones, and every
    option of :class:`modelspan.instrumentation.config.Config` as a keyword, before its environment variable. Instrumentors of
    one process share a recorder, and their options: of one that several give, the first holds.
    """

    configuration = Declared
    """The options in OpenTelemetry's configuration file."""

    requirements: Collection[str] = ()
    """Distributions that provide the library, any of them, with the versions that are supported."""

    _patches: Patches | None = None
    _options: dict[str, Any] | None = None
    """What `instrument` was called with; None while not instrumented."""
    _hooked = False
    _given: dict[type[ModelInstrumentor], dict[str, Any]] = {}
    """What each of the instrumentors was called with."""

    @classmethod
    def settings(cls) -> tuple[Callable[[], Config], Providers]:
        """The options and providers of all instrumentors: those of one whose library is imported later, too, as it must not be too
        late to withhold a feature.
        """
        from modelspan.instrumentation.recorder.signals import Providers

        every = [(name, value) for given in cls._given.values() for name, value in given.items() if value is not None]
        options = dict(reversed(every))
        providers = Providers(*(options.get(f"{signal}_provider") for signal in ("tracer", "logger", "meter")))
        return lambda: load(**_config(options)), providers

    @classmethod
    def instruments(cls, library: str) -> bool:
        """Whether an instrumentor of the library, by the name of its distribution, is in use."""
        return any(library in _names(tuple(kind.requirements)) for kind in cls._given)

    def hooks(self) -> Mapping[str, Hook]:
        """What to do when a module is imported, by its name."""
        raise NotImplementedError

    def instrumentation_dependencies(self) -> Collection[str]:
        return self.requirements

    def instrument(self, **kwargs: Any) -> None:
        by_itself = not kwargs.keys() - {"skip_dep_check", "raise_exception_on_conflict"}
        if by_itself and is_declared():
            if self.is_instrumented_by_opentelemetry or is_disabled(type(self)):
                return
            kwargs |= options_of(type(self))
        super().instrument(**kwargs)

    def _instrument(self, **kwargs: Any) -> None:
        self._options = self._given[type(self)] = kwargs
        attempt(f"instrument by {type(self).__name__}", self._hook)

    def _hook(self) -> None:
        names = list(self.hooks())
        if not self._hooked:
            type(self)._hooked = True
            for name in names:
                when_imported(name)(partial(attempt, f"instrument {name}", self._apply, name))
            return
        for name in names:
            if name in sys.modules:
                self._apply(name, sys.modules[name])

    def _uninstrument(self, **kwargs: Any) -> None:
        self._options = None
        self._given.pop(type(self), None)
        if self._patches is not None:
            from modelspan.instrumentation.recorder import current

            patches, self._patches = self._patches, None
            attempt("put back what was there", patches.undo)
            attempt("hand over what was recorded", current.leave)

    def _apply(self, name: str, module: Any) -> None:
        if self._options is None:
            return
        try:
            if _are_supported(tuple(self.requirements)):
                self.hooks()[name](self._make_patches(), module)
        except Exception as error:  # the program goes on without this instrumentation
            failed(f"instrument {name}", error)

    def _make_patches(self) -> Patches:
        if self._patches is None:
            import numpy  # noqa: F401  # first, because a hook may wait for it, which makes the patches
        if self._patches is None:
            # Only now, because this imports NumPy, which the library has imported.
            from modelspan.instrumentation.patching.patches import Patches
            from modelspan.instrumentation.recorder import current

            recorder = current.join(*self.settings())
            try:
                self._patches = Patches(recorder)
                attempt("compare options", _compare, self._given[type(self)], recorder.config)
            except Exception:
                current.leave()
                raise
        return self._patches


@cache  # reading a requirement takes 0.1 ms, and this is asked for each class
def _names(requirements: tuple[str, ...]) -> frozenset[str]:
    return frozenset(Requirement(one).name for one in requirements)


@cache  # reading a version takes 2 ms
def _are_supported(requirements: tuple[str, ...]) -> bool:
    """Whether the library has a supported version. `opentelemetry-instrument` only asks whether any library has."""
    for requirement in map(Requirement, requirements):
        try:
            found = version(requirement.name)
        except PackageNotFoundError:
            continue
        if not requirement.specifier.contains(found, prereleases=True):
            warn_once(
                f"version:{requirement.name}",
                f"{requirement.name} {found} is not instrumented: {requirement} is supported.",
            )
            return False
    return True


def _compare(given: dict[str, Any], config: Config) -> None:
    """Say which options do not hold, because others were given first."""
    own = _config(given)
    asked = load({}, **own)
    for name, value in own.items():
        if value is not None and getattr(asked, name) != getattr(config, name):
            warn_once(f"first:{name}", f"{name!r} was given twice: instrumentors share it, and the first holds.")


def _config(options: dict[str, Any]) -> dict[str, Any]:
    known = {option.name for option in fields(Config)}
    providers = {"tracer_provider", "logger_provider", "meter_provider"}
    for name in options.keys() - known - providers:
        warn_once(f"option:{name}", f"The instrumentation has no option {name!r}; it is ignored.")
    return {name: value for name, value in options.items() if name in known}
