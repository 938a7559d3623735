"""What OpenTelemetry's configuration file (``OTEL_CONFIG_FILE``) says about an instrumentor.

The package `opentelemetry-configuration` instruments what is listed under ``instrumentation/development: python:``, with the
options given there. What it leaves to the instrumentor: under `opentelemetry-instrument`, every instrumentor is called
once more without options, those that the file disables too; and a program may instrument without it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import fields
from functools import lru_cache
from importlib.metadata import entry_points
from typing import Any

from modelspan.instrumentation.config import Config
from modelspan.instrumentation.failure import failed, warn_once

FILE = "OTEL_CONFIG_FILE"


class Declared(Config):
    """The options of one instrumentor in the file. What is not given is None, and left to the environment.

    An option that there is not is said and left out, because an error here would have the program instrumented without
    any of the others, such as those that withhold features.
    """

    def __init__(self, **given: Any) -> None:
        known = {option.name for option in fields(Config)}
        for name in given.keys() - known:
            warn_once(f"declared:{name}", f"{FILE}: the instrumentation has no option {name!r}; it is ignored.")
        for name in known:
            object.__setattr__(self, name, given.get(name))


def is_declared() -> bool:
    """Whether there is a configuration file."""
    return bool(os.environ.get(FILE))


def is_disabled(instrumentor: type) -> bool:
    """Whether the configuration file disables an instrumentor, as `opentelemetry-configuration` understands it."""
    return any(not section.get("enabled", True) for section in _sections_of(instrumentor))


def options_of(instrumentor: type) -> dict[str, Any]:
    """The options of an instrumentor in the configuration file, for a program that instruments by itself."""
    given = {str(name): value for section in _sections_of(instrumentor) for name, value in section.items()}
    given.pop("enabled", None)
    return {name: value for name, value in vars(Declared(**given)).items() if value is not None}


def _sections_of(instrumentor: type) -> list[Mapping[str, Any]]:
    path = os.environ.get(FILE)
    if not path:
        return []
    value = f"{instrumentor.__module__}:{instrumentor.__qualname__}"
    names = [entry.name for entry in entry_points(group="opentelemetry_instrumentor") if entry.value == value]
    found = (_sections(path).get(name) for name in names)
    return [section for section in found if isinstance(section, Mapping)]


@lru_cache(maxsize=1)
def _sections(path: str) -> Mapping[str, Any]:
    """Options by instrumentor. Empty where the file cannot be read, which is said."""
    try:
        from opentelemetry.configuration.file import load_config_file

        instrumentation: Any = load_config_file(path).instrumentation_development
        sections: Mapping[str, Any] | None = instrumentation and instrumentation.python
        return sections or {}
    except ImportError:
        warn_once(FILE, f"{FILE} is not read: pip install opentelemetry-configuration.")
        return {}
    except Exception as error:
        failed(f"read {FILE}", error)
        return {}
