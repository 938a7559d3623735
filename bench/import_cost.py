"""What importing and instrumenting adds to a process that has scikit-learn and the OpenTelemetry SDK: time and memory.

Fresh processes in turns, with and without; medians. Two figures: until the program can run, and until the first predictions
have been handed over, which loads what the background thread needs.
"""

from __future__ import annotations

import json
import subprocess
import sys
from statistics import median

RUNS = 5

PROGRAM = """
import json, os, sys, time

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20

import numpy as np
import opentelemetry.instrumentation.instrumentor
from opentelemetry import _logs, metrics, trace
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider
from sklearn.linear_model import LogisticRegression

trace.set_tracer_provider(TracerProvider())
metrics.set_meter_provider(MeterProvider())
_logs.set_logger_provider(LoggerProvider())
x = np.random.default_rng(0).normal(size=(100, 20))
model = LogisticRegression().fit(x, x[:, 0] > 0)
model.predict(x)

memory, clock = resident(), time.perf_counter()
from modelspan.instrumentation.sklearn import SklearnInstrumentor
SklearnInstrumentor().instrument()
ready = (time.perf_counter() - clock) * 1e3, resident() - memory
from modelspan.instrumentation import flush
model.predict(x)
flush()
sent = (time.perf_counter() - clock) * 1e3, resident() - memory
print(json.dumps([ready, sent]))
"""

ENTRY_POINT = """
import sys
from opentelemetry.instrumentation.instrumentor import BaseInstrumentor
import modelspan.instrumentation.sklearn
print(", ".join(name for name in ("sklearn", "numpy", "scipy", "pandas", "nanoarrow") if name in sys.modules) or "none")
"""


def table() -> str:
    """Rows of Markdown: milliseconds and MB added."""
    runs = [json.loads(_run(PROGRAM)) for _ in range(RUNS)]
    ready, sent = ([median(run[part][figure] for run in runs) for figure in range(2)] for part in range(2))
    return "\n".join(
        [
            "| added to a process with scikit-learn and the SDK | time, ms | memory, MB |",
            "|---|---|---|",
            f"| import and instrument | {ready[0]:.0f} | {ready[1]:.1f} |",
            f"| and the first prediction, up to its batch | {sent[0]:.0f} | {sent[1]:.1f} |",
            "",
            f"Libraries of machine learning that the entry point alone imports: {_run(ENTRY_POINT).strip()}.",
        ]
    )


def _run(program: str) -> str:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    print(table())
