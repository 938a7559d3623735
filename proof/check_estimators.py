"""scikit-learn's own checks of every estimator, with instrumentation and without: `python -m proof.check_estimators`.

The checks (`sklearn.utils.estimator_checks.check_estimator`) cover results, types, pickles, clones, signatures, errors and metadata
routing. Each run is a process of its own; in one of them everything is recorded by a real SDK. Both must give the same outcome,
check by check.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

Outcome = dict[str, str]
"""By estimator and check: passed, failed with an exception, skipped or expected to fail."""


def run(instrumented: bool, most: int | None) -> Outcome:
    """Check all estimators, or the first `most` of them, in this process."""
    if instrumented:
        _instrument()
    from sklearn.utils._test_common.instance_generator import _construct_instances, _get_expected_failed_checks
    from sklearn.utils.discovery import all_estimators
    from sklearn.utils.estimator_checks import check_estimator

    found: Outcome = {}
    for name, cls in all_estimators()[:most]:
        try:
            instances = list(_construct_instances(cls))
        except Exception as error:  # needs arguments that scikit-learn does not know either
            found[f"{name}: construction"] = type(error).__name__
            continue
        for number, instance in enumerate(instances):
            expected = _get_expected_failed_checks(instance)
            results = check_estimator(instance, expected_failed_checks=expected, on_skip=None, on_fail=None)
            for place, result in enumerate(results):
                found[f"{name} {number}: {result['check_name']} {place}"] = _said(result)
        print(f"{'instrumented' if instrumented else 'plain'}: {name}", file=sys.stderr, flush=True)
    return found


def _said(result: dict[str, Any]) -> str:
    error = result["exception"]
    return str(result["status"]) if error is None else f"{result['status']}: {type(error).__name__}: {error}"[:300]


def _instrument() -> None:
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.trace import TracerProvider

    from bench.overhead import _Logs
    from modelspan.instrumentation.sklearn import SklearnInstrumentor

    logger_provider = LoggerProvider()
    logger_provider.add_log_record_processor(BatchLogRecordProcessor(_Logs()))
    SklearnInstrumentor().instrument(
        logger_provider=logger_provider, tracer_provider=TracerProvider(), meter_provider=MeterProvider()
    )


def both(most: int | None) -> tuple[Outcome, Outcome]:
    """Outcomes without and with instrumentation, each of a process of its own."""
    outcomes = []
    with tempfile.TemporaryDirectory() as folder:
        for variant in ("plain", "instrumented"):
            file = Path(folder) / variant
            limit = [] if most is None else ["--most", str(most)]
            subprocess.run(
                [
                    sys.executable,
                    "-W",
                    "ignore",
                    "-m",
                    "proof.check_estimators",
                    "--variant",
                    variant,
                    "--to",
                    str(file),
                    *limit,
                ],
                check=True,
            )
            outcomes.append(json.loads(file.read_text()))
    return outcomes[0], outcomes[1]


def report(plain: Outcome, instrumented: Outcome) -> str:
    """Markdown: how many checks had which outcome, and every difference."""
    from importlib.metadata import version

    different = sorted(
        check for check in plain.keys() | instrumented.keys() if plain.get(check) != instrumented.get(check)
    )
    kinds = sorted({said.partition(":")[0] for said in (*plain.values(), *instrumented.values())})
    estimators = len({check.split(":")[0].split(" ")[0] for check in plain})
    lines = [
        "# Measured: scikit-learn's checks, with and without instrumentation",
        "",
        "Command: `python -m proof.check_estimators`",
        "",
        f"scikit-learn {version('scikit-learn')}, {estimators} estimators, {len(plain)} checks.",
        "",
        "| outcome | without | with |",
        "|---|---|---|",
        *(f"| {kind} | {_count(plain, kind)} | {_count(instrumented, kind)} |" for kind in kinds),
        "",
        f"Checks with another outcome: {len(different)}.",
        *(f"* {check}: without {plain.get(check)!r}, with {instrumented.get(check)!r}" for check in different),
    ]
    return "\n".join(lines)


def _count(outcome: Outcome, kind: str) -> int:
    return sum(said.partition(":")[0] == kind for said in outcome.values())


def main() -> None:
    """Print the report; exit with 1 where there is a difference."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--most", type=int, help="only the first so many estimators")
    parser.add_argument("--variant", choices=["plain", "instrumented"], help=argparse.SUPPRESS)
    parser.add_argument("--to", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.variant:
        warnings.simplefilter("ignore")
        given.to.write_text(json.dumps(run(given.variant == "instrumented", given.most)))
        return
    plain, instrumented = both(given.most)
    print(report(plain, instrumented))
    sys.exit(plain != instrumented)


if __name__ == "__main__":
    main()
