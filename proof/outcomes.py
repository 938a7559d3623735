"""Plugin of pytest, `-p proof.outcomes`: writes the outcome of every phase of every test to the file that `PROOF_OUTCOMES` names.

A line each, at once, so that a process that dies leaves what it did until then.
"""

from __future__ import annotations

import json
import os
from collections.abc import Generator
from pathlib import Path

import pytest

from proof.compared import Outcome, said_by

FILE = "PROOF_OUTCOMES"
"""Environment variable."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _write(f"{report.nodeid} {report.when}", _said(report, call.excinfo))
    return report


def pytest_collectreport(report: pytest.CollectReport) -> None:
    if report.failed:
        last = str(report.longrepr).strip().splitlines()[-1:]
        _write(f"{report.nodeid} collection", f"failed: {''.join(last)}")


def _said(report: pytest.TestReport, raised: pytest.ExceptionInfo[BaseException] | None) -> str:
    said = "xfailed" if hasattr(report, "wasxfail") and report.skipped else str(report.outcome)
    return said if raised is None else f"{said}: {said_by(raised.value)}"


def _write(check: str, said: str) -> None:
    with Path(os.environ[FILE]).open("a") as file:
        file.write(json.dumps([check, said]) + "\n")


def read(file: Path) -> Outcome:
    """What the plugin wrote: of a test its phases, in one line where all of them passed."""
    found: Outcome = {}
    for line in file.read_text().splitlines() if file.exists() else ():
        check, said = json.loads(line)
        test, _, phase = check.rpartition(" ")
        if said != "passed":
            found[test] = said if phase == "call" else f"{said} ({phase})"
        else:
            found.setdefault(test, said)
    return found
