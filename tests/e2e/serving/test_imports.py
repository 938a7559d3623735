"""Whatever is imported first, every instrumentor finds its library."""

from __future__ import annotations

import subprocess
import sys

import pytest

from bench.service import BIN

NOWHERE = [f"--{signal}_exporter=none" for signal in ("traces", "metrics", "logs")]


@pytest.mark.parametrize(
    "first",
    [
        "import joblib",
        "import numpy",
        "import cloudpickle",
        "from modelspan.instrumentation import flush; flush()",
        "from modelspan.instrumentation import identify; identify(type('M', (), {})(), name='own')",
    ],
)
def test_no_order_of_imports_loses_an_instrumentation(first: str) -> None:
    program = (
        f"{first}; import joblib, sklearn.linear_model as m; print(hasattr(m.LinearRegression.fit, '__wrapped__'))"
    )
    done = subprocess.run(
        [BIN / "opentelemetry-instrument", *NOWHERE, sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert (done.stdout, done.stderr) == ("True\n", "")
