"""OpenTelemetry's configuration file says the same things as the environment, with and without `opentelemetry-instrument`."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
from opentelemetry.instrumentation import auto_instrumentation
from opentelemetry.sdk.version import __version__
from packaging.version import Version

reads_files = pytest.mark.skipif(
    Version(__version__) < Version("1.44"), reason="OpenTelemetry before 1.44 has no opentelemetry-configuration"
)

PROVIDERS = """
file_format: "1.0"
logger_provider:
  processors:
    - simple:
        exporter:
          console: {}
instrumentation/development:
  python:
"""

PROGRAM = """
from opentelemetry import _logs
from opentelemetry.sdk._logs import export
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
import numpy as np
from sklearn.linear_model import LinearRegression
memory = export.InMemoryLogRecordExporter()
provider = _logs.get_logger_provider()
provider.add_log_record_processor(SimpleLogRecordProcessor(memory))
model = LinearRegression().fit([[1.0, 2.0], [2.0, 1.0]], [1.0, 2.0])
model.predict(np.array([[31.0, 2.0], [38.0, 1.0]]))
import modelspan.instrumentation as ms
ms.flush()
import pyarrow as pa
for log in memory.get_finished_logs():
    data = (log.log_record.attributes or {}).get("ml.prediction.batch.data")
    if data:
        table = pa.ipc.open_stream(data).read_all().to_pydict()
        print("ROWS", {name: v for name, v in table.items() if name.startswith("feature.") or name == "weight"})
from modelspan.instrumentation.recorder import current
recorder = current.started()
print("CONFIG", recorder and (recorder.config.capture, recorder.config.span_rate, recorder.config.span_features))
"""


@pytest.fixture
def declared(tmp_path: Path) -> Callable[..., tuple[list[str], str]]:
    """Run the program under `opentelemetry-instrument` with a configuration file; what it says of its rows, and its errors."""

    def run(sections: str, **environment: str) -> tuple[list[str], str]:
        (tmp_path / "otel.yaml").write_text(PROVIDERS + textwrap.indent(textwrap.dedent(sections), "    "))
        (tmp_path / "program.py").write_text(PROGRAM)
        done = subprocess.run(
            [sys.executable, str(tmp_path / "program.py")],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={
                "PATH": "/usr/bin:/bin",
                "OMP_NUM_THREADS": "1",
                "PYTHONPATH": os.path.dirname(auto_instrumentation.__file__),
                "OTEL_CONFIG_FILE": str(tmp_path / "otel.yaml"),
                "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "fastapi,flask,asgi,wsgi",
                **environment,
            },
        )
        assert done.returncode == 0, done.stderr
        return [line for line in done.stdout.splitlines() if line.startswith(("ROWS", "CONFIG"))], done.stderr

    return run


@reads_files
def test_options_of_the_file_hold_and_nothing_is_instrumented_twice(
    declared: Callable[..., tuple[list[str], str]],
) -> None:
    lines, errors = declared(
        "modelspan-sklearn: {features: {x0: 'bucket:10', x1: drop}, span_rate: 3, span_features: true}"
    )
    assert lines == ["ROWS {'feature.x0': [30.0, 30.0]}", "CONFIG (None, 3.0, True)"]
    assert "already instrumented" not in errors


@reads_files
def test_what_is_disabled_there_records_nothing(declared: Callable[..., tuple[list[str], str]]) -> None:
    lines, _ = declared("modelspan-sklearn: {enabled: false}")
    assert [line for line in lines if line.startswith("ROWS")] == []


@reads_files
@pytest.mark.parametrize("section", ["{features: {x0: drop}}", "{enabled: 0}"])
def test_the_file_holds_for_a_program_that_instruments_by_itself(
    program: Callable[..., str], tmp_path: Path, section: str
) -> None:
    (tmp_path / "otel.yaml").write_text(f"{PROVIDERS}    modelspan-sklearn: {section}\n")
    shown = program(
        """
        set_up_sdk()
        SklearnInstrumentor().instrument()
        import sklearn.base
        from modelspan.instrumentation.recorder import current
        recorder = current.started()
        print(recorder and recorder.config.features[0][:2])
        """,
        OTEL_CONFIG_FILE=str(tmp_path / "otel.yaml"),
    )
    assert shown == ("None" if "enabled" in section else "('x0', Action(kind='drop', width=0.0, edges=()))")


@reads_files
def test_what_the_file_does_not_name_is_instrumented_as_without_it(
    declared: Callable[..., tuple[list[str], str]],
) -> None:
    lines, errors = declared("requests: {enabled: false}", OTEL_INSTRUMENTATION_ML_CAPTURE="x0")
    assert lines[0] == "ROWS {'feature.x0': [31.0, 38.0]}"
    assert "already instrumented" not in errors


@reads_files
def test_an_option_that_there_is_not_does_not_undo_the_others(declared: Callable[..., tuple[list[str], str]]) -> None:
    lines, errors = declared("modelspan-sklearn: {capture: [x1], captrue: all}")
    assert lines[0] == "ROWS {'feature.x1': [2.0, 1.0]}"
    assert "no option 'captrue'" in errors


def test_options_that_others_have_given_first_are_named(program: Callable[..., str]) -> None:
    shown = program(
        """
        import sys, logging
        logging.basicConfig(stream=sys.stdout, format="%(message)s")
        set_up_sdk()
        from modelspan.instrumentation.xgboost import XGBoostInstrumentor
        SklearnInstrumentor().instrument(capture="all", span_rate=3)
        import sklearn.base
        XGBoostInstrumentor().instrument(capture="none", span_rate="3.0")
        import xgboost
        """
    )
    assert shown == "'capture' was given twice: instrumentors share it, and the first holds."


def test_options_of_an_instrumentor_hold_for_what_a_program_says_without_its_library(
    program: Callable[..., str],
) -> None:
    shown = program(
        """
        set_up_sdk()
        from modelspan.instrumentation import set_reference
        from modelspan.instrumentation.xgboost import XGBoostInstrumentor
        SklearnInstrumentor().instrument(features=None)
        XGBoostInstrumentor().instrument(features="x0=drop")
        class Model: ...
        assert set_reference(Model(), np.array([[31.0, 2.0], [38.0, 1.0]]))
        flush()
        (reference,) = [log.log_record for log in logs.get_finished_logs() if "profile" in log.log_record.event_name]
        print(b'"x0"' in reference.attributes["ml.reference.profile.data"])
        """
    )
    assert shown == "False"


def test_options_of_an_instrumentor_hold_for_the_others_whichever_library_comes_first(
    program: Callable[..., str],
) -> None:
    shown = program(
        """
        set_up_sdk()
        from modelspan.instrumentation.xgboost import XGBoostInstrumentor
        XGBoostInstrumentor().instrument()
        SklearnInstrumentor().instrument(capture="none")
        import xgboost
        from modelspan.instrumentation.recorder import current
        print(current.started().config.capture)
        """
    )
    assert shown == "frozenset()"
