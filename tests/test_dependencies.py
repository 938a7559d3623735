"""Dependencies in pyproject.toml: no version with a known fault in what reads from the network, and a small demo."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomllib", reason="the standard library reads TOML from Python 3.11 on")

EXTRAS = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]["optional-dependencies"]
SERVE = {found.name: found.specifier for found in map(Requirement, EXTRAS["serve"])}


@pytest.mark.parametrize(
    ("name", "faulty", "fault"),
    [
        ("orjson", "3.9.14", "CVE-2024-27454, loads() recurses without a limit"),
        ("orjson", "3.11.4", "CVE-2025-67221, dumps() recurses without a limit"),
        ("h11", "0.14.0", "CVE-2025-43859, chunked bodies are read too leniently"),
        ("grpcio", "1.60.0", "CVE-2024-7246, a client poisons the header table of others"),
        ("grpcio", "1.65.1", "CVE-2024-7246, a client poisons the header table of others"),
        ("grpcio", "1.66.1", "CVE-2024-11407, zero-copy sends hold other bytes"),
        ("pyarrow", "14.0.0", "CVE-2023-47248, reading IPC runs code"),
        ("pyarrow", "23.0.0", "CVE-2026-25087, memory is used after it was freed"),
        ("protobuf", "6.31.0", "CVE-2025-4565, parsing recurses without a limit"),
        ("protobuf", "6.33.4", "CVE-2026-0994, json_format recurses without a limit"),
        ("PyYAML", "5.3.1", "CVE-2020-14343, loading runs code"),
    ],
)
def test_the_service_admits_no_version_with_a_known_fault(name: str, faulty: str, fault: str) -> None:
    bounds = SERVE | {found.name: found.specifier for found in map(Requirement, EXTRAS["query"])}
    assert not bounds[name].contains(faulty), fault


def test_the_demo_installs_no_tool_of_developers_and_no_framework_that_it_does_not_run() -> None:
    names = {Requirement(text).name for text in EXTRAS["demo"]}
    assert names == {"modelspan", "httpx", "pandas", "scikit-learn"}
