"""scikit-learn's own checks of every estimator, with instrumentation and without: `python -m proof.check_estimators`.

The checks (`sklearn.utils.estimator_checks.check_estimator`) cover results, types, pickles, clones, signatures, errors and metadata
routing. Each run is a process of its own; in one of them everything is recorded by a real SDK. Both must give the same outcome,
check by check, and the second must have recorded something.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

from proof.compared import AGAIN, INSTRUMENTED, ONE_THREAD, PLAIN, Outcome, differences, fails, said_by, said_of

OTHERS = {
    "xgboost": ("XGBClassifier", "XGBRegressor", "XGBRFClassifier", "XGBRFRegressor", "XGBRanker"),
    "lightgbm": ("LGBMClassifier", "LGBMRegressor", "LGBMRanker"),
    "catboost": ("CatBoostClassifier", "CatBoostRegressor", "CatBoostRanker"),
}
"""Estimators of other libraries, which have instrumentors of their own."""


def run(variant: str, only: list[str] | None) -> dict[str, Any]:
    """Check all estimators, or `only` some, in this process: the outcome by estimator and check, and what was
    recorded.
    """
    recorded = None
    if variant == INSTRUMENTED:
        from proof.instrumented import instrument

        recorded = instrument()
    outcome: Outcome = {}
    for name, instances in _estimators(only):
        try:
            for number, instance in enumerate(instances()):
                outcome |= _checked(f"{name} {number}", instance)
        except Exception as error:  # it cannot be constructed, or cannot be checked at all
            outcome[f"{name}: construction"] = f"not checked: {said_by(error)}"
        print(f"{variant}: {name}", file=sys.stderr, flush=True)
    return {"outcome": outcome, "recorded": None if recorded is None else recorded.finish()}


def _estimators(only: list[str] | None) -> list[tuple[str, Callable[[], Iterable[Any]]]]:
    from sklearn.utils._test_common.instance_generator import _construct_instances
    from sklearn.utils.discovery import all_estimators

    found: list[tuple[str, Callable[[], Iterable[Any]]]] = [
        (name, partial(_construct_instances, cls)) for name, cls in all_estimators()
    ]
    for library, names in OTHERS.items():
        found += [(name, partial(_small, library, name)) for name in names]
    return [(name, instances) for name, instances in found if only is None or name in only]


def _small(library: str, name: str) -> list[Any]:
    cls = getattr(importlib.import_module(library), name)
    if library == "catboost":
        return [cls(iterations=5, verbose=False, allow_writing_files=False, thread_count=1)]
    return [cls(n_estimators=5, n_jobs=1)]


def _checked(name: str, instance: Any) -> Outcome:
    from sklearn.utils._test_common.instance_generator import _get_expected_failed_checks
    from sklearn.utils.estimator_checks import check_estimator

    expected = _get_expected_failed_checks(instance)
    results = check_estimator(instance, expected_failed_checks=expected, on_skip=None, on_fail=None)
    return {f"{name}: {one['check_name']} {place}": _said(one) for place, one in enumerate(results)}


def _said(result: dict[str, Any]) -> str:
    error = result["exception"]
    return str(result["status"]) if error is None else f"{result['status']}: {said_by(error)}"


def outcomes(only: list[str] | None) -> tuple[dict[str, Outcome], dict[str, Any]]:
    """Outcomes by variant, each of a process of its own, and what was recorded.

    Where the first two differ, the plain one runs once more: a check that differs between two plain runs says nothing of us.
    """
    found: dict[str, Outcome] = {}
    recorded: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for variant in (PLAIN, INSTRUMENTED, AGAIN):
            if variant == AGAIN and found[PLAIN] == found[INSTRUMENTED]:
                break
            result = _in_a_process(variant, only, Path(folder) / variant)
            found[variant] = result["outcome"]
            recorded = result["recorded"] or recorded
    return found, recorded


def _in_a_process(variant: str, only: list[str] | None, file: Path) -> dict[str, Any]:
    limit = [] if only is None else ["--only", *only]
    command = [sys.executable, "-W", "ignore", "-m", "proof.check_estimators", "--variant", variant, "--to", str(file)]
    subprocess.run([*command, *limit], env={**os.environ, **ONE_THREAD}, stdout=sys.stderr, check=True)
    return cast("dict[str, Any]", json.loads(file.read_text()))


def report(found: dict[str, Outcome], recorded: dict[str, Any]) -> str:
    """Markdown: how many checks had which outcome, every difference, and what was recorded."""
    plain, instrumented = found[PLAIN], found[INSTRUMENTED]
    kinds = sorted({said.partition(":")[0] for said in (*plain.values(), *instrumented.values())})
    estimators = len({check.split(":")[0].split(" ")[0] for check in plain})
    versions = ", ".join(f"{name} {version(name)}" for name in ("scikit-learn", *OTHERS))
    lines = [
        "## Checks of estimators",
        "",
        "Command: `python -m proof.check_estimators`. " + versions + ".",
        "",
        f"{estimators} estimators, {len(plain)} checks.",
        "",
        "| outcome | without | with |",
        "|---|---|---|",
        *(f"| {kind} | {_count(plain, kind)} | {_count(instrumented, kind)} |" for kind in kinds),
        "",
        *differences(found),
        "",
        *said_of(recorded),
    ]
    return "\n".join(lines)


def _count(outcome: Outcome, kind: str) -> int:
    return sum(said.partition(":")[0] == kind for said in outcome.values())


def main() -> None:
    """Print the report; exit with 1 where there is a difference, or nothing was recorded."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", help="only these estimators")
    parser.add_argument("--variant", choices=[PLAIN, INSTRUMENTED, AGAIN], help=argparse.SUPPRESS)
    parser.add_argument("--to", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.variant:
        warnings.simplefilter("ignore")
        given.to.write_text(json.dumps(run(given.variant, given.only)))
        return
    found, recorded = outcomes(given.only)
    print(report(found, recorded))
    sys.exit(fails(found, recorded))


if __name__ == "__main__":
    main()
