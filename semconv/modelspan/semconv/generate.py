"""Generate the Python constants from the registry.

`python -m modelspan.semconv.generate` writes the modules, `--check` only says which are stale (exit code 1).
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
REGISTRY = HERE / "registry"
HEADER = '"""{title}\n\nGenerated from `registry/` by `python -m modelspan.semconv.generate`. Do not edit.\n"""\n'


def load(section: str) -> list[dict[str, Any]]:
    """Return the definitions of one top-level section, over all files of the registry, in file order."""
    found: list[dict[str, Any]] = []
    for path in sorted(REGISTRY.glob("*.yaml")):
        found.extend(yaml.safe_load(path.read_text(encoding="utf-8")).get(section, []))
    return found


def constant_name(name: str) -> str:
    """Return the constant for a dotted name: `ml.model.name` is `ML_MODEL_NAME`."""
    return re.sub(r"[._]", "_", name).upper()


def class_name(name: str) -> str:
    """Return the enum class for a dotted name: `ml.task.type` is `MlTaskTypeValues`."""
    return "".join(part.capitalize() for part in re.split(r"[._]", name)) + "Values"


def docstring(*parts: str, indent: str = "") -> str:
    text = "\n\n".join(part.strip() for part in parts if part and part.strip())
    lines = text.splitlines()
    if len(lines) == 1:
        return f'{indent}"""{lines[0]}"""\n'
    body = "\n".join(f"{indent}{line}".rstrip() for line in lines[1:])
    return f'{indent}"""{lines[0]}\n{body}\n{indent}"""\n'


def constant(name: str, *doc: str) -> str:
    return f'{constant_name(name)}: Final = "{name}"\n{docstring(*doc)}'


def attributes_module() -> str:
    definitions = load("attributes")
    head = HEADER.format(title="Attribute names, and the values of enumerations.")
    out = [head, "from enum import Enum\nfrom typing import Final\n"]
    out += [constant(d["key"], d["brief"], d.get("note", "")) for d in definitions]
    for definition in definitions:
        if isinstance(definition["type"], dict):
            out.append(enum_class(definition))
    return "\n".join(out)


def enum_class(definition: dict[str, Any]) -> str:
    lines = [f"\nclass {class_name(definition['key'])}(str, Enum):\n{docstring(definition['brief'], indent='    ')}"]
    for member in definition["type"]["members"]:
        brief = docstring(member["brief"], indent="    ")
        lines.append(f'    {constant_name(member["id"])} = "{member["value"]}"\n{brief}')
    return "\n".join(lines)


def metrics_module() -> str:
    head = HEADER.format(title="Metric names.")
    body = [
        constant(m["name"], m["brief"], f"Instrument: {m['instrument']}\nUnit: {m['unit']}") for m in load("metrics")
    ]
    return "\n".join([head, "from typing import Final\n", *body])


def events_module() -> str:
    head = HEADER.format(title="Event names.")
    body = [constant(e["name"], e["brief"], e.get("note", "")) for e in load("events")]
    return "\n".join([head, "from typing import Final\n", *body])


def schema_module() -> str:
    manifest = yaml.safe_load((REGISTRY / "manifest.yaml").read_text(encoding="utf-8"))
    head = HEADER.format(title="The schema URL that instrumentation scopes carry.")
    return "\n".join([head, "from typing import Final\n", f'SCHEMA_URL: Final = "{manifest["schema_url"]}"\n'])


MODULES = {
    "attributes.py": attributes_module,
    "metrics.py": metrics_module,
    "events.py": events_module,
    "schema.py": schema_module,
}


def stale() -> list[str]:
    """Return the generated files that differ from what the registry says."""
    return [
        name
        for name, build in MODULES.items()
        if not (HERE / name).exists() or (HERE / name).read_text(encoding="utf-8") != build()
    ]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Generate the Python constants from the registry.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail where a file is stale")
    check: bool = parser.parse_args(arguments).check
    names = stale()
    for name in names:
        if check:
            print(f"{name} is stale: run `python -m modelspan.semconv.generate`", file=sys.stderr)
        else:
            (HERE / name).write_text(MODULES[name](), encoding="utf-8")
            print(f"wrote {name}")
    return 1 if check and names else 0


if __name__ == "__main__":
    sys.exit(main())
