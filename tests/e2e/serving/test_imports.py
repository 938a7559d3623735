"""Whatever is imported first, every instrumentor finds its library."""

from __future__ import annotations

import subprocess
import sys

import pytest

from bench.service import BIN


@pytest.mark.parametrize("first", ["joblib", "numpy", "sklearn", "cloudpickle", "modelspan.instrumentation.patching.patches"])
def test_no_order_of_imports_loses_an_instrumentation(first: str) -> None:
    program = f"import {first}; import joblib, sklearn.linear_model as m; print(hasattr(m.LinearRegression.fit, '__wrapped__'))"
    done = subprocess.run(
        [BIN / "opentelemetry-instrument", "--traces_exporter=none", "--metrics_exporter=none", "--logs_exporter=none"]
        + [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert (done.stdout, done.stderr) == ("True\n", "")
