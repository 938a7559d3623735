"""Tests that the libraries themselves ship, without instrumentation and with it: `python -m proof.peer_tests PEERS`.

PEERS is a folder with checkouts of their repositories, each at the version that is installed or near it; scikit-learn's tests come with
its package. Every library's tests run in a process of their own, in one variant with everything recorded by a real SDK
(`proof.instrumented`). Both must give the same outcome, test by test.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib.metadata import distribution, version
from pathlib import Path
from typing import Any

from proof import gone, instrumented, outcomes
from proof.compared import AGAIN, INSTRUMENTED, ONE_THREAD, PLAIN, Outcome, differences, fails, said_of

ROOT = Path(__file__).resolve().parents[1]
LIMIT = 900
"""Seconds of a test. Only one that hangs reaches them: a time that a busy machine decides would look like a difference."""


@dataclass(frozen=True)
class Suite:
    """Tests of one library."""

    library: str
    """Its distribution."""
    folder: str
    """Where its tests run, below PEERS; empty for tests that the installed package has."""
    tests: tuple[str, ...]
    """What pytest is given."""
    arguments: tuple[str, ...] = ()


_OF_SCIKIT_LEARN = (
    (
        "sklearn.tests.test_base",
        "sklearn.tests.test_calibration",
        "sklearn.tests.test_discriminant_analysis",
        "sklearn.tests.test_docstring_parameters",
        "sklearn.tests.test_dummy",
        "sklearn.tests.test_isotonic",
        "sklearn.tests.test_kernel_ridge",
        "sklearn.tests.test_metadata_routing",
        "sklearn.tests.test_metaestimators",
        "sklearn.tests.test_metaestimators_metadata_routing",
        "sklearn.tests.test_multiclass",
        "sklearn.tests.test_multioutput",
        "sklearn.tests.test_naive_bayes",
        "sklearn.tests.test_pipeline",
        "sklearn.frozen",
    ),
    ("sklearn.ensemble",),
    ("sklearn.svm",),
    ("sklearn.neighbors",),
    ("sklearn.neural_network",),
    ("sklearn.gaussian_process",),
    ("sklearn.model_selection",),
    ("sklearn.tree",),
    ("sklearn.linear_model",),
    ("sklearn.compose",),
    ("sklearn.inspection", "sklearn.metrics.tests.test_score_objects"),
    ("sklearn.cluster", "sklearn.mixture", "sklearn.semi_supervised", "sklearn.cross_decomposition"),
)
"""In portions, so that one that hangs loses little."""

SUITES = (
    Suite(
        "xgboost",
        "xgboost/tests/python",
        (
            "test_predict.py",
            "test_with_sklearn.py",
            "test_basic.py",
            "test_basic_models.py",
            "test_dmatrix.py",
            "test_intercept.py",
            "test_model_io.py",
            "test_pickling.py",
            "test_quantile_dmatrix.py",
            "test_shap.py",
            "test_with_arrow.py",
            "test_with_pandas.py",
            "test_with_polars.py",
            "test_with_scipy.py",
        ),
        # What takes many minutes, and workers that wait for one another.
        ("-k", "not ColumnSplit and not column_split and not test_parameter_tuning"),
    ),
    Suite(
        "lightgbm",
        "LightGBM/tests/python_package_test",
        (
            "test_basic.py",
            "test_callback.py",
            "test_consistency.py",
            "test_engine.py",
            "test_sklearn.py",
            "test_utilities.py",
        ),
    ),
    Suite(
        "torch",
        "pytorch/test",
        (
            "nn/test_module_hooks.py",
            "nn/test_lazy_modules.py",
            "nn/test_load_state_dict.py",
            "nn/test_multihead_attention.py",
            "nn/test_packed_sequence.py",
            "nn/test_parametrization.py",
            "nn/test_pruning.py",
            "test_nn.py",
            "jit/test_freezing.py",
            "dynamo/test_hooks.py",
            "dynamo/test_modules.py",
            "dynamo/test_model_output.py",
            "dynamo/test_nops.py",
        ),
        # The configuration belongs to the machines that test PyTorch; the large tests need 16 GB and minutes each.
        ("-c", os.devnull, "--rootdir=.", "--noconftest", "-k", "not large"),
    ),
    # A Gaussian process of thousands of rows takes many minutes.
    Suite("onnxruntime", "sklearn-onnx/tests", (".",), ("-k", "not test_x_issue_789")),
    Suite(
        "onnxruntime",
        "onnxruntime/onnxruntime/test/python",
        (
            "onnxruntime_test_python.py",
            "onnxruntime_test_python_backend.py",
            "onnxruntime_test_python_backend_mlops.py",
            "onnxruntime_test_python_compile_api.py",
            "onnxruntime_test_python_iobinding.py",
            "onnxruntime_test_python_mlops.py",
            "onnxruntime_test_python_nested_control_flow_op.py",
            "onnxruntime_test_python_sparse_matmul.py",
            "onnxruntime_test_python_symbolic_shape_infer.py",
            "quantization",
            # The last one: no other test can make a session after its own.
            "onnxruntime_test_python_global_threadpool.py",
        ),
    ),
    # The models of "Real" are downloaded.
    Suite("onnxruntime", "", ("proof.onnx_operators",), ("-k", "not cuda and not Real")),
    *(Suite("scikit-learn", "", tests) for tests in _OF_SCIKIT_LEARN),
)


def run(suite: Suite, variant: str, peers: Path, folder: Path) -> tuple[Outcome, dict[str, Any]]:
    """Outcome of every test in one variant, and what was recorded."""
    seen, recorded = folder / f"{suite.library} {variant}", folder / f"{suite.library} {variant} recorded"
    plugins = ["proof.gone", "proof.outcomes", *(["proof.instrumented"] if variant == INSTRUMENTED else [])]
    command = [
        *(
            sys.executable,
            "-W",
            "ignore",
            "-m",
            "pytest",
            "-q",
            "--no-header",
            "--tb=no",
            "--continue-on-collection-errors",
        ),
        *("-p", "no:cacheprovider", "-p", "no:randomly", f"--timeout={LIMIT}", f"--basetemp={folder / 'temporary'}"),
        *(part for plugin in plugins for part in ("-p", plugin)),
        *suite.arguments,
        *([] if suite.folder else _installed(suite)),
        *suite.tests,
    ]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        **ONE_THREAD,
        "HYPOTHESIS_STORAGE_DIRECTORY": str(folder / f"hypothesis {variant}"),
        gone.LIBRARY: suite.library,
        outcomes.FILE: str(seen),
        instrumented.FILE: str(recorded),
    }
    done = subprocess.run(command, cwd=peers / suite.folder, env=environment, stdout=sys.stderr, check=False)
    outcome = outcomes.read(seen) | {"exit status of pytest": str(done.returncode)}
    return outcome, json.loads(recorded.read_text()) if recorded.exists() else {}


def _installed(suite: Suite) -> list[str]:
    """So that tests are named by their whole path: a package has files of the same name in many folders."""
    return ["--pyargs", f"--rootdir={distribution(suite.library).locate_file('')}"]


def compare(suite: Suite, peers: Path, folder: Path) -> tuple[dict[str, Outcome], dict[str, Any]]:
    """Outcomes by variant, a second plain one where the first two differ, and what was recorded."""
    found: dict[str, Outcome] = {}
    found[PLAIN], _ = run(suite, PLAIN, peers, folder)
    found[INSTRUMENTED], recorded = run(suite, INSTRUMENTED, peers, folder)
    if found[PLAIN] != found[INSTRUMENTED]:
        found[AGAIN], _ = run(suite, AGAIN, peers, folder)
    return found, recorded


def report(suite: Suite, peers: Path, found: dict[str, Outcome], recorded: dict[str, Any]) -> str:
    """Markdown on one library."""
    lines = [
        f"### {suite.library} {version(suite.library)}",
        "",
        f"{_source(suite, peers)}: {' '.join(f'`{one}`' for one in suite.tests)}.",
        "",
        "| outcome | without | with |",
        "|---|---|---|",
    ]
    counts = {variant: _counts(outcome) for variant, outcome in found.items()}
    kinds = sorted(counts[PLAIN].keys() | counts[INSTRUMENTED].keys())
    lines += [f"| {kind} | {counts[PLAIN].get(kind, 0)} | {counts[INSTRUMENTED].get(kind, 0)} |" for kind in kinds]
    return "\n".join([*lines, "", *differences(found), "", *said_of(recorded), ""])


def _counts(outcome: Outcome) -> dict[str, int]:
    kinds = [said.split(":")[0].split(" ")[0] for check, said in outcome.items() if not check.startswith("exit status")]
    return {kind: kinds.count(kind) for kind in kinds}


def _source(suite: Suite, peers: Path) -> str:
    if not suite.folder:
        return "Tests of the installed package"
    checkout = peers / suite.folder.partition("/")[0]
    git = ["git", "-C", str(checkout), "log", "-1", "--format=%h of %cs"]
    return (
        f"Tests of {checkout.name} at {subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()}"
    )


def main() -> None:
    """Print the report; exit with 1 where there is a difference, or nothing was recorded."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("peers", type=Path, help="folder with the checkouts")
    parser.add_argument(
        "--only", nargs="*", help="libraries by distribution, or folders or tests as they are named here"
    )
    given = parser.parse_args()
    peers: Path = given.peers.resolve()
    failed = False
    print("## Tests that the libraries ship\n\nCommand: `make proof-peers PEERS=<folder with the checkouts>`.\n")
    for suite in SUITES:
        if given.only and not {suite.library, suite.folder, *suite.tests} & set(given.only):
            continue
        if not (peers / suite.folder).is_dir():
            print(f"### {suite.library}\n\nNot run: there is no `{suite.folder}`.\n")
            continue
        with tempfile.TemporaryDirectory() as folder:
            found, recorded = compare(suite, peers, Path(folder))
        print(report(suite, peers, found, recorded), flush=True)
        failed = fails(found, recorded) or failed
    sys.exit(failed)


if __name__ == "__main__":
    main()
