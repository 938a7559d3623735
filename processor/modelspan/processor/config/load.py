"""Reads the configuration from flags, environment and file; says in one sentence what is wrong with it."""

from __future__ import annotations

import argparse
import difflib
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import SettingsConfigDict
from pydantic_settings.exceptions import SettingsError

from modelspan.processor.config.model import Config, without_password
from modelspan.processor.config.units import format_size

DEFAULT_FILE = Path("modelspan.yaml")
FLAGS = {
    "--data-dir": "data_dir",
    "--store-url": "store.url",
    "--grpc-address": "receiver.grpc_address",
    "--http-address": "receiver.http_address",
    "--clickhouse-address": "clickhouse_http.address",
    "--window-length": "windows.length",
    "--log-level": "log.level",
    "--log-format": "log.format",
}

_PREFIX = "MODELSPAN_"
_OTHER_VARIABLES = {"MODELSPAN_CONFIG", "MODELSPAN_URL"}
_SERVICE_LINK = re.compile(
    r"\w+_(SERVICE_HOST|SERVICE_PORT\w*|PORT_\d+_(TCP|UDP|SCTP)\w*)=|\w+_PORT=(tcp|udp|sctp)://", re.ASCII
)
"""Variables that Kubernetes and Docker set beside a service of the name modelspan."""


class ConfigError(Exception):
    """The configuration cannot be used; the message is one sentence that says which key, what and why."""


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Give `parser` the flags that `load` understands."""
    parser.add_argument("--config", metavar="FILE", help=f"YAML file (default: $MODELSPAN_CONFIG or ./{DEFAULT_FILE})")
    fields = dict(walk(Config))
    for flag, key in FLAGS.items():
        metavar = flag.rsplit("-", 1)[1].upper()
        parser.add_argument(flag, dest=key, metavar=metavar, help=(fields[key].description or "").replace("%", "%%"))
    parser.add_argument(
        "--set",
        dest="settings",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="any other key, such as drift.alpha=0.01; may be repeated",
    )


def load(arguments: argparse.Namespace | None = None, environment: Mapping[str, str] = os.environ) -> Config:
    """Read the configuration; `arguments` come from a parser with `add_flags`.

    Raises ConfigError.
    """
    file = _file(getattr(arguments, "config", None), environment)
    flags = dict(_flags(arguments))
    _check_variables(environment)

    class Loaded(Config):
        model_config = SettingsConfigDict(yaml_file=file)

    try:
        if file:
            _check_keys(file)
        return Loaded(**_nested(flags))
    except ValidationError as error:
        raise ConfigError(_explain(error, flags, environment, file)) from None
    except SettingsError as error:
        raise ConfigError(f"The environment cannot be used: {error}; write one variable for each key.") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{file} is not YAML: {' '.join(str(error).split())}.") from None
    except OSError as error:
        raise ConfigError(f"The configuration file {file} cannot be read: {error.strerror}.") from None
    except (TypeError, ValueError):
        raise ConfigError(
            f"The configuration file {file} holds no keys: expected sections such as `windows:`."
        ) from None


def walk(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each key, dotted, with its field; a section comes before its keys."""
    for name, field in model.model_fields.items():
        yield prefix + name, field
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from walk(field.annotation, f"{prefix}{name}.")


def _file(named: str | None, environment: Mapping[str, str]) -> Path | None:
    chosen = named or environment.get("MODELSPAN_CONFIG")
    if chosen is None:
        return DEFAULT_FILE if DEFAULT_FILE.is_file() else None
    if not Path(chosen).is_file():
        by = "--config" if named else "MODELSPAN_CONFIG"
        problem = "is not a file" if Path(chosen).exists() else "does not exist"
        raise ConfigError(f"The configuration file {chosen} that {by} names {problem}.")
    return Path(chosen)


def _flags(arguments: argparse.Namespace | None) -> Iterator[tuple[str, str]]:
    for setting in getattr(arguments, "settings", []):
        key, equals, value = setting.partition("=")
        if not equals or not key:
            raise ConfigError(f"--set {setting} is not of the form KEY=VALUE.")
        yield key, _list(setting, value) if value.startswith("[") else value
    for key in FLAGS.values():
        value = getattr(arguments, key, None)
        if value is not None:
            yield key, value


def _list(setting: str, value: str) -> Any:
    try:
        return yaml.safe_load(value)
    except yaml.YAMLError:
        raise ConfigError(f"--set {setting} is no list: expected one such as [a, b].") from None


def _nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for key, value in flat.items():
        *sections, name = key.split(".")
        inner = nested
        for section in sections:
            inner = inner.setdefault(section, {})
            if not isinstance(inner, dict):
                raise ConfigError(f"{section} is a section, but is given as a value too: expected keys under it.")
        inner[name] = value
    return nested


def _check_variables(environment: Mapping[str, str]) -> None:
    """Raise ConfigError for a variable that names no key; pydantic-settings passes over those outside of the sections."""
    known = {_variable(key): key for key, _ in walk(Config)}
    for variable, value in environment.items():
        name = variable.upper()
        if not name.startswith(_PREFIX) or name in known or name in _OTHER_VARIABLES:
            continue
        if _SERVICE_LINK.match(f"{name}={value}"):
            continue
        close = difflib.get_close_matches(name, known, n=1)
        meant = f"; did you mean {close[0]}?" if close else "."
        raise ConfigError(f"The environment variable {variable} names no key of the configuration{meant}")


def _check_keys(file: Path) -> None:
    """Raise ConfigError for a key that the file gives twice, of which YAML keeps the last one."""
    with file.open(encoding="utf-8") as text:
        nodes: list[yaml.Node | None] = [yaml.compose(text, yaml.SafeLoader)]
    for node in nodes:
        given = set()
        for key, value in node.value if isinstance(node, yaml.MappingNode) else ():
            if isinstance(key, yaml.ScalarNode) and key.value in given:
                again = f"gives {key.value} again in line {key.start_mark.line + 1}"
                raise ConfigError(f"The configuration file {file} {again}; give it once, with all that belongs to it.")
            given.add(key.value if isinstance(key, yaml.ScalarNode) else id(key))
            nodes.append(value)


def _variable(key: str) -> str:
    return _PREFIX + key.replace(".", "__").upper()


def _explain(
    error: ValidationError, flags: Mapping[str, str], environment: Mapping[str, str], file: Path | None
) -> str:
    first = error.errors()[0]
    reason = _reason(first)
    if not first["loc"]:  # of several keys, which the reason names
        return f"{reason}."
    key = ".".join(str(part) for part in first["loc"])
    origin = _origin(key, flags, environment, file)
    if first["type"] == "extra_forbidden":
        close = difflib.get_close_matches(key, [known for known, _ in walk(Config)], n=1)
        return (
            f"{key}, from {origin}, is not a key of the configuration{f'; did you mean {close[0]}?' if close else '.'}"
        )
    if first["type"] == "model_type":
        return f"{key} is {first['input']!r}, from {origin}, but it is a section: expected keys under it."
    value = "a secret" if "password" in key else without_password(_written(first["input"]))
    return f"{key} is {value}, from {origin}, but {reason}."


_EXPECTED = {
    "float_parsing": "expected a number",
    "int_parsing": "expected a whole number",
    "bool_parsing": "expected true or false",
}


def _reason(error: ErrorDetails) -> str:
    said = error["msg"].removeprefix("Value error, ").replace("Input should be", "expected")
    for limit in error.get("ctx", {}).values():
        said = said.replace(str(limit), _written(limit)) if isinstance(limit, int) else said
    return _EXPECTED.get(error["type"], said)


def _written(value: Any) -> str:
    """A value as people write it; a whole number from a million on is bytes."""
    return format_size(value) if isinstance(value, int) and value >= 1_000_000 else repr(value)


def _origin(key: str, flags: Mapping[str, str], environment: Mapping[str, str], file: Path | None) -> str:
    if any(flag == key or flag.startswith(f"{key}.") for flag in flags):
        named = [flag for flag, target in FLAGS.items() if target == key]
        return f"the flag {named[0] if named else '--set'}"
    variable = _variable(key)
    section = variable.rpartition("__")[0]
    for candidate in (name for name in environment if name.upper() in (variable, section)):
        return f"the environment variable {candidate}"
    return f"the file {file}"
