"""What OpenTelemetry's configuration file (``OTEL_CONFIG_FILE``) says about an instrumentor.

The package `opentelemetry-configuration` instruments what is listed under ``instrumentation/development: python:``, with the
options given there. Two things it leaves to the instrumentor: under `opentelemetry-instrument`, every instrumentor is called
once more without options, those that the file disables too.
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
    """Whether the configuration file disables an instrumentor."""
    path = os.environ.get(FILE)
    if not path:
        return False
    sections = (_sections(path).get(name) for name in _names(instrumentor))
    return any(isinstance(section, Mapping) and section.get("enabled") is False for section in sections)


def _names(instrumentor: type) -> list[str]:
    value = f"{instrumentor.__module__}:{instrumentor.__qualname__}"
    return [entry.name for entry in entry_points(group="opentelemetry_instrumentor") if entry.value == value]


@lru_cache(maxsize=1)
def _sections(path: str) -> Mapping[str, Any]:
    """Options by instrumentor. Empty where the file cannot be read, which the SDK itself has said."""
    try:
        from opentelemetry.configuration.file import load_config_file

        instrumentation: Any = load_config_file(path).instrumentation_development
        sections: Mapping[str, Any] | None = instrumentation and instrumentation.python
        return sections or {}
    except ImportError:
        return {}
    except Exception as error:
        failed(f"read {FILE}", error)
        return {}
