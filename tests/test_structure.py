"""The structure is what docs/architecture.md says: who may import whom, and that every page a document names is there."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAY_IMPORT = {
    "semconv": set(),
    "profile": set(),
    "instrumentation": {"semconv", "profile"},
    "queries": {"semconv"},
    "processor": {"semconv", "profile", "queries"},
    "cli": set(),
}
HEAVY = ("grpc", "chdb", "clickhouse_connect", "scipy", "pyarrow", "lmdb", "uvicorn", "pandas", "sklearn")


def parts_imported(folder: str) -> set[str]:
    found = set()
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [f"{node.module}.{alias.name}" for alias in node.names]
                if isinstance(node, ast.ImportFrom) and node.module
                else []
            )
            found |= {name.split(".")[1] for name in names if name.startswith("modelspan.")}
    return found - {folder}


@pytest.mark.parametrize("folder", MAY_IMPORT)
def test_nothing_imports_upwards(folder: str) -> None:
    assert parts_imported(folder) <= MAY_IMPORT[folder]


def test_the_architecture_page_has_a_row_for_every_folder() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    documented = {
        row[0]: set(re.findall(r"\w+", row[1])) & set(MAY_IMPORT)
        for row in re.findall(r"^\| `(\w+)/` \|.*\|([^|]*)\|$", page, re.MULTILINE)
    }
    assert documented == MAY_IMPORT


def test_the_public_interface_loads_nothing_heavy() -> None:
    program = (
        "import sys, modelspan.instrumentation, modelspan.instrumentation.sklearn\n"
        f"print(*[name for name in {HEAVY!r} if name in sys.modules])"
    )
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert loaded.strip() == ""


def documents() -> list[Path]:
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("document", documents(), ids=lambda path: path.name)
def test_links_lead_to_files_that_exist(document: Path) -> None:
    targets = re.findall(r"\]\((?!https?://)([^)#]+)", document.read_text())
    assert [target for target in targets if not (document.parent / target).exists()] == []


@pytest.mark.parametrize("document", documents(), ids=lambda path: path.name)
def test_make_targets_that_documents_name_exist(document: Path) -> None:
    named = set(re.findall(r"`make ([a-z-]+)", document.read_text()))
    known = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert named <= known


def test_make_refuses_a_python_that_is_too_old_before_it_makes_anything(tmp_path: Path) -> None:
    old = tmp_path / "python3.9"
    old.write_text(f"""#!/bin/sh\nexec {sys.executable} -c "import sys; sys.version_info = (3, 9, 18); $2"\n""")
    old.chmod(0o755)
    command = ["make", "-C", str(ROOT), "setup", f"PYTHON={old}", f"VENV={tmp_path / 'venv'}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert (
        f"Modelspan needs Python 3.10 or later; make PYTHON=python3.12 ... takes another one than {old}." in done.stderr
    )
    assert not (tmp_path / "venv").exists()
