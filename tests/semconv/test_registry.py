"""The registry is sound, what is generated from it is fresh, and nobody writes a name by hand."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from modelspan.semconv import attributes, columns, events, generate, metrics

ROOT = Path(__file__).parents[2]
SOURCES = ("profile", "instrumentation", "processor", "queries", "cli")
NAME = re.compile(r"^[a-z][a-z0-9]*([._][a-z0-9]+)*$")
UPSTREAM = {"error.type", "vcs.ref.head.revision", "artifact.hash", "artifact.filename"}
SIGNALS = ("spans", "events", "metrics", "attribute_groups")


def attribute_keys() -> set[str]:
    return {definition["key"] for definition in generate.load("attributes")}


def references(section: str) -> list[tuple[str, str]]:
    found = []
    for definition in generate.load(section):
        owner = definition.get("name") or definition.get("type") or definition["id"]
        found += [(str(owner), a["ref"]) for a in definition["attributes"] if "ref" in a]
    return found


def test_generated_modules_say_what_the_registry_says() -> None:
    assert generate.stale() == []


def test_a_changed_registry_makes_generated_modules_stale(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for path in generate.REGISTRY.glob("*.yaml"):
        (tmp_path / path.name).write_text(path.read_text().replace("ml.model.name", "ml.model.title"))
    monkeypatch.setattr(generate, "REGISTRY", tmp_path)
    assert "attributes.py" in generate.stale()


@pytest.mark.parametrize("section", SIGNALS)
def test_every_reference_is_defined(section: str) -> None:
    known = attribute_keys() | UPSTREAM
    dangling = [pair for pair in references(section) if pair[1] not in known]
    assert dangling == []


def test_groups_that_signals_name_exist() -> None:
    groups = {g["id"] for g in generate.load("attribute_groups")}
    named = {
        a["ref_group"]
        for section in ("spans", "events", "metrics")
        for d in generate.load(section)
        for a in d["attributes"]
        if "ref_group" in a
    }
    assert named <= groups
    assert named


def test_names_follow_the_upstream_pattern() -> None:
    names = (
        attribute_keys() | {m["name"] for m in generate.load("metrics")} | {e["name"] for e in generate.load("events")}
    )
    assert [n for n in names if not NAME.match(n)] == []


def test_no_attribute_is_the_namespace_of_another() -> None:
    keys = attribute_keys()
    assert [(a, b) for a in keys for b in keys if b.startswith(a + ".")] == []


def test_constants_do_not_collide() -> None:
    names = [generate.constant_name(k) for k in attribute_keys()]
    assert len(names) == len(set(names))


def test_briefs_are_sentences() -> None:
    definitions = [d for s in ("attributes", "metrics", "events", "spans") for d in generate.load(s)]
    assert [d for d in definitions if not d["brief"].endswith(".")] == []


def test_metrics_hold_no_structured_attributes() -> None:
    structured = {d["key"] for d in generate.load("attributes") if d["type"] == "any"}
    assert [pair for pair in references("metrics") if pair[1] in structured] == []


def test_personal_data_is_marked() -> None:
    notes = {d["key"]: d.get("note", "") for d in generate.load("attributes")}
    for key in (
        attributes.ML_INPUT_FEATURES,
        attributes.ML_PREDICTION_BATCH_DATA,
        attributes.ML_REFERENCE_PROFILE_DATA,
    ):
        assert "PII" in notes[key]


def registered_names() -> set[str]:
    modules = (attributes, events, metrics)
    return {v for m in modules for k, v in vars(m).items() if k.isupper() and isinstance(v, str) and "." in v}


def literals(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)}


def test_names_are_written_nowhere_else() -> None:
    names = registered_names() | {columns.FEATURE_PREFIX, columns.SEGMENT_PREFIX}
    assert attributes.ML_MODEL_NAME in names
    offenders = {
        (str(path.relative_to(ROOT)), literal)
        for folder in SOURCES
        for path in (ROOT / folder).rglob("*.py")
        for literal in literals(path) & names
    }
    assert offenders == set()
