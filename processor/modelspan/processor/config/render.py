"""The configuration as text: the effective one as YAML, and the reference page of every key."""

from __future__ import annotations

from typing import Any, Literal, get_args, get_origin

import yaml
from pydantic import BaseModel

from modelspan.processor.config.load import FLAGS, walk
from modelspan.processor.config.model import Config

_HEAD = """\
# Configuration of `modelspan serve`

Generated from the model by `python -m modelspan.processor.config`; do not edit.

Every key can be given in three ways; the first one wins:

1. as a flag, the common ones by name, any by `--set KEY=VALUE`: `modelspan serve --set drift.alpha=0.01`
2. as an environment variable, `MODELSPAN_` and the key with `__` for the dot: `MODELSPAN_DRIFT__ALPHA=0.01`
3. in a YAML file: `--config FILE`, else `$MODELSPAN_CONFIG`, else `modelspan.yaml` in the working directory

`modelspan serve --print-config` prints the configuration that is in effect, in the form of such a file. Durations are
written as `500ms`, `30s`, `5m`, `1h30m` or `7d`, sizes as `64MiB`, `4GiB` or `500MB`; a number alone is seconds or bytes. A key
that does not exist is an error.
"""


def as_yaml(config: Config) -> str:
    """Write `config` as a file that can be read again, each key under its description; secrets are masked."""
    values = config.model_dump(mode="json")
    lines: list[str] = []
    for name, field in Config.model_fields.items():
        value = values[name]
        if isinstance(value, dict):
            section = type(getattr(config, name))
            lines += ["", f"# {section.__doc__}", f"{name}:"]
            lines += [line for key in value for line in _entry(section, key, value[key], "  ")]
        else:
            lines += [f"# {field.description}", f"{name}: {_scalar(value)}"]
    return "\n".join(lines) + "\n"


def reference() -> str:
    """Write the reference page in Markdown: a table of keys for each section."""
    defaults = Config.model_construct().model_dump(mode="json")
    flags = {key: flag for flag, key in FLAGS.items()}
    lines = [_HEAD]
    for key, field in walk(Config):
        section, _, name = key.rpartition(".")
        if not section and field.description is None:
            lines += ["", f"## {key}", "", str(field.annotation.__doc__), ""]
            lines += ["| key | default | flag | |", "|---|---|---|---|"]
            continue
        if not section:
            lines += ["| key | default | flag | |", "|---|---|---|---|"]
        default = defaults[section][name] if section else defaults[name]
        lines.append(f"| `{key}` | `{_scalar(default)}` | {_code(flags.get(key))} | {_sentence(field)} |")
    return "\n".join(lines) + "\n"


def _entry(section: type[BaseModel], key: str, value: Any, indent: str) -> list[str]:
    return [f"{indent}# {section.model_fields[key].description}", f"{indent}{key}: {_scalar(value)}"]


def _sentence(field: Any) -> str:
    choices = get_args(field.annotation) if get_origin(field.annotation) is Literal else ()
    return " ".join([str(field.description), *([f"One of {', '.join(choices)}."] if choices else [])])


def _code(text: str | None) -> str:
    return f"`{text}`" if text else ""


def _scalar(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True, width=200).removesuffix("...\n").strip()
