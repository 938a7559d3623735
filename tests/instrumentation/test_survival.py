"""Recording survives what processes go through, loses nothing unsaid, and takes no more than it may."""

from __future__ import annotations

import http.server
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from opentelemetry.instrumentation import auto_instrumentation
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from sklearn.base import BaseEstimator
from sklearn.linear_model import LinearRegression

from modelspan.instrumentation import config, flush, record_actual
from modelspan.instrumentation.recorder import current
from modelspan.instrumentation.recorder import snapshot as snap
from modelspan.semconv import attributes as ml
from modelspan.semconv import events

X = np.random.default_rng(7).normal(size=(100, 20))
MODEL = LinearRegression().fit(X, X[:, 0])


@pytest.fixture
def receiver() -> Iterator[tuple[str, list[ExportLogsServiceRequest]]]:
    """An OTLP/HTTP endpoint and the log requests that it got."""
    got: list[ExportLogsServiceRequest] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.path == "/v1/logs":
                got.append(ExportLogsServiceRequest.FromString(body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", got
    server.shutdown()
    server.server_close()


def attributes_of(requests: list[ExportLogsServiceRequest], event: str) -> list[dict[str, Any]]:
    """Attributes of the events of this name, numbers and strings only."""
    return [
        {a.key: a.value.int_value or a.value.string_value for a in record.attributes}
        for request in requests
        for resource in request.resource_logs
        for scope in resource.scope_logs
        for record in scope.log_records
        if record.event_name == event
    ]


PATIENT = {"OTEL_EXPORTER_OTLP_TIMEOUT": "50", "OTEL_INSTRUMENTATION_ML_EXIT_TIMEOUT": "50"}
"""Where telemetry must arrive, however busy the machine is: nothing is given up, nor sent again."""
NOBODY = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_EXPORTER_OTLP_TIMEOUT": "2"}
"""A collector that is down."""

OTLP = """
import os, sys
import numpy as np
from opentelemetry import _logs
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from modelspan.instrumentation.sklearn import SklearnInstrumentor
from sklearn.base import BaseEstimator

provider = LoggerProvider()
provider.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter()))
_logs.set_logger_provider(provider)
SklearnInstrumentor().instrument()

class Model(BaseEstimator):
    def predict(self, X):
        return np.ones(len(X))

model = Model()
"""


def test_a_program_that_ends_at_once_loses_nothing(program: Callable[..., str], receiver: Any) -> None:
    url, got = receiver
    program(
        "model.predict(np.eye(3)); model.predict(np.eye(3))", prelude=OTLP, OTEL_EXPORTER_OTLP_ENDPOINT=url, **PATIENT
    )
    assert [a["ml.prediction.batch.row.count"] for a in attributes_of(got, "ml.prediction.batch")] == [6]


def test_a_reference_set_in_a_training_program_arrives(program: Callable[..., str], receiver: Any) -> None:
    url, got = receiver
    source = """
    from modelspan.instrumentation import set_reference
    print(set_reference(model, np.random.default_rng(0).normal(size=(500, 3)), name="r"))
    """
    assert program(source, prelude=OTLP, OTEL_EXPORTER_OTLP_ENDPOINT=url, **PATIENT) == "True"
    assert [a["ml.reference.id"] for a in attributes_of(got, "ml.reference.profile")] == ["r"]


def test_a_forked_process_records_for_itself(program: Callable[..., str], receiver: Any) -> None:
    url, got = receiver
    source = """
    model.predict(np.eye(2))
    for rows in (3, 4):
        pid = os.fork()
        if pid == 0:
            model.predict(np.eye(rows))
            sys.exit(0)
        os.waitpid(pid, 0)
    """
    program(source, prelude=OTLP, OTEL_EXPORTER_OTLP_ENDPOINT=url, **PATIENT)
    batches = attributes_of(got, "ml.prediction.batch")
    assert sorted(a["ml.prediction.batch.row.count"] for a in batches) == [2, 3, 4]
    assert len({a["modelspan.recorder.id"] for a in batches}) == 3


def test_a_process_forked_while_the_background_imports_what_it_needs_records_too(
    program: Callable[..., str], receiver: Any
) -> None:
    url, got = receiver
    source = """
    import threading, time
    importing = threading.Event()

    class Slow:
        def find_spec(self, name, path=None, target=None):
            if name == "nanoarrow":
                importing.set()
                time.sleep(1)

    sys.meta_path.insert(0, Slow())
    model.predict(np.eye(2))
    assert importing.wait(30)
    pid = os.fork()
    if pid == 0:
        model.predict(np.eye(3))
        sys.exit(0)
    os.waitpid(pid, 0)
    """
    program(source, prelude=OTLP, OTEL_EXPORTER_OTLP_ENDPOINT=url, **PATIENT)
    batches = attributes_of(got, "ml.prediction.batch")
    assert sorted(a["ml.prediction.batch.row.count"] for a in batches) == [2, 3]


def test_a_worker_of_multiprocessing_hands_over_what_it_has_before_it_ends(
    program: Callable[..., str], receiver: Any
) -> None:
    url, got = receiver
    source = """
    import multiprocessing
    fork = multiprocessing.get_context("fork")
    model.predict(np.eye(2))
    worker = fork.Process(target=model.predict, args=(np.eye(3),))
    worker.start()
    worker.join()
    """
    program(source, prelude=OTLP, OTEL_EXPORTER_OTLP_ENDPOINT=url, **PATIENT)
    batches = attributes_of(got, "ml.prediction.batch")
    assert sorted(a["ml.prediction.batch.row.count"] for a in batches) == [2, 3]


def test_a_worker_of_a_forkserver_hands_over_what_it_has_before_it_ends(
    program: Callable[..., str], receiver: Any
) -> None:
    url, got = receiver
    source = """
    import multiprocessing
    model.predict(np.eye(3))  # by the worker, too, before it is one
    if __name__ == "__main__":
        worker = multiprocessing.get_context("forkserver").Process(target=model.predict, args=(np.eye(3)[:2],))
        worker.start()
        worker.join()
    """
    program(source, prelude=OTLP, OTEL_EXPORTER_OTLP_ENDPOINT=url, **PATIENT)
    batches = attributes_of(got, "ml.prediction.batch")
    assert sum(a["ml.prediction.batch.row.count"] for a in batches) == 3 + 3 + 2


def test_with_the_collector_down_the_program_runs_on_and_memory_is_bounded(program: Callable[..., str]) -> None:
    source = """
    import time
    from modelspan.instrumentation.recorder import current
    x = np.random.default_rng(0).normal(size=(2000, 20))
    most = 0
    for i in range(300):
        assert model.predict(x).sum() == 2000
        most = max(most, current.get().queue.bytes)
    recorder = current.get()
    while not recorder._prepared:  # by the background thread
        time.sleep(0.01)
    dropped = recorder._emitter.dropped + sum(recorder.queue.take_dropped().values())
    # Above 4 MB fewer rows are copied of each call, so that on a slow machine nothing has to be dropped.
    print(3_000_000 < most <= 20_000_000, dropped + recorder._emitter._recorded <= 600_000)
    sys.stdout.flush()
    os._exit(0)
    """
    found = program(
        source,
        prelude=OTLP,
        OTEL_INSTRUMENTATION_ML_QUEUE_BYTES="20000000",
        OTEL_INSTRUMENTATION_ML_OVERHEAD="1",
        **NOBODY,
    )
    assert found == "True True"


def test_the_exit_waits_for_providers_that_export_and_gives_up_those_that_do_not(program: Callable[..., str]) -> None:
    source = """
    import threading

    from opentelemetry.sdk.trace import TracerProvider

    class Prompt(TracerProvider):
        def force_flush(self, timeout_millis=0):
            print("prompt exports")

        def shutdown(self):
            print("prompt shuts down")

    class Stuck(LoggerProvider):
        def force_flush(self, timeout_millis=0):
            threading.Event().wait()

        def shutdown(self):
            print("stuck shuts down")

    SklearnInstrumentor().uninstrument()
    prompt, stuck = Prompt(), Stuck()
    SklearnInstrumentor().instrument(tracer_provider=prompt, logger_provider=stuck, exit_timeout=0.5)
    model.predict(np.eye(3))
    """
    assert program(source, prelude=OTLP, **NOBODY) == "prompt exports\nprompt shuts down"


def test_a_program_that_is_interrupted_at_once_ends_by_the_signal(tmp_path: Path) -> None:
    path = tmp_path / "program.py"
    path.write_text(
        """
import os, signal
import numpy as np
from sklearn.linear_model import LinearRegression
from modelspan.instrumentation import record_actual

x = np.random.default_rng(0).normal(size=(200, 3))
model = LinearRegression().fit(x, x[:, 0])
record_actual(model, ["a", "b"], value=[1, 2])
for _ in range(3):
    model.predict(np.eye(3))
os.kill(os.getpid(), signal.SIGINT)
"""
    )
    instrument = Path(sys.executable).with_name("opentelemetry-instrument")
    environment = {"PATH": "/usr/bin:/bin", "OTEL_INSTRUMENTATION_ML_EXIT_TIMEOUT": "0.5", **NOBODY}
    done = subprocess.run(
        [instrument, sys.executable, path], env=environment, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == -signal.SIGINT
    lost = "among it predictions: 9, actuals: 2, references: 1, models: 1; it is lost."
    assert lost in done.stderr


def test_what_takes_longer_than_the_exit_may_wait_is_counted_as_dropped(program: Callable[..., str]) -> None:
    source = """
    import atexit, time
    from sklearn.linear_model import LinearRegression

    def slow(rows):
        time.sleep(0.1)
        return [True] * len(rows["time"])

    def account():
        SklearnInstrumentor()
        last = logs.get_finished_logs()[-1].log_record.attributes
        recorded, dropped = (last["modelspan.recorder.rows." + what] for what in ("recorded", "dropped"))
        print(recorded > 0, dropped > 0, recorded + dropped)

    set_up_sdk()
    atexit.register(account)
    SklearnInstrumentor().instrument(exit_timeout=1, flush_interval=FLUSH, sample=0.5, keep_rule=slow)
    models = [LinearRegression(copy_X=bool(i)).fit(np.eye(3), np.arange(3)) for i in range(50)]
    for model in models:
        model.predict(np.eye(3))
    time.sleep(0.5)
    """
    for busy in ("1000.0", "0.1"):
        assert program(source.replace("FLUSH", busy)) == "True True 150"


def test_flush_ends_while_other_predictions_are_made(again: Callable[..., Any]) -> None:
    def predicting(rows: Any) -> list[bool]:
        MODEL.predict(X[:1])
        return [True] * len(rows["time"])

    telemetry = again(sample=0.5, keep_rule=predicting)
    MODEL.predict(X[:2])
    assert telemetry.rows() == 2
    assert telemetry.rows() == 3


def test_what_does_not_fit_the_queue_is_dropped_and_counted(again: Callable[..., Any]) -> None:
    telemetry = again(queue_calls=10)
    blocked = current.get()
    with blocked._work:
        for i in range(15):
            MODEL.predict(X[i : i + 2])
    (attributes, table), *_ = telemetry.batches()
    assert table.num_rows == 20
    (point,) = telemetry.points("modelspan.recorder.dropped")
    assert (point.value, point.attributes["modelspan.drop.reason"]) == (10, "queue_full")
    MODEL.predict(X[:1])
    last = telemetry.batches()[-1][0]
    assert (last["modelspan.recorder.rows.recorded"], last["modelspan.recorder.rows.dropped"]) == (21, 10)
    assert [a["modelspan.recorder.sequence"] for a in telemetry.numbered()] == [0, 1, 2]
    assert attributes["modelspan.recorder.id"] == last["modelspan.recorder.id"]


def test_the_queue_is_bounded_by_bytes_too(again: Callable[..., Any]) -> None:
    telemetry = again(queue_bytes=100_000)
    with current.get()._work:
        for _ in range(20):
            MODEL.predict(X)
    assert 0 < telemetry.rows() <= 100_000 // (20 * 8)
    assert telemetry.rows() + telemetry.points("modelspan.recorder.dropped")[0].value == 2000


def test_batches_keep_to_their_limits_and_lose_no_row(again: Callable[..., Any]) -> None:
    telemetry = again(batch_rows=1000)
    wide = np.random.default_rng(0).normal(size=(1500, 200))
    model = LinearRegression().fit(wide[:300], wide[:300, 0])
    model.predict(wide)
    MODEL.predict(np.repeat(X, 25, axis=0))
    records = telemetry.events("ml.prediction.batch")
    assert all(len(one.attributes["ml.prediction.batch.data"]) <= 512 * 1024 for one in records)
    tables = [table for _, table in telemetry.batches()]
    assert sum(table.num_rows for table in tables) == 4000
    assert max(table.num_rows for table in tables) <= 1000
    first = np.concatenate([table["feature.x0"].to_numpy() for table in tables if "feature.x100" in table.column_names])
    assert np.array_equal(first, wide[:, 0])


def test_batches_arrive_by_themselves(again: Callable[..., Any]) -> None:
    telemetry = again(flush_interval=0.01)
    MODEL.predict(X[:1])
    deadline = time.monotonic() + 60
    while not telemetry._logs.get_finished_logs():
        assert time.monotonic() < deadline, "no batch"
        time.sleep(0.01)


def test_many_threads_lose_nothing(again: Callable[..., Any]) -> None:
    telemetry = again(flush_interval=0.005)

    def work() -> None:
        for i in range(50):
            MODEL.predict(X[i : i + 1])

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ids = [one for _, table in telemetry.batches() for one in table["prediction_id"].to_pylist()]
    assert len(ids) == len(set(ids)) == 400
    assert sum(point.value for point in telemetry.points("ml.predictions")) == 400


def test_telemetry_that_fails_says_so_once_and_the_prediction_is_made_once(
    telemetry: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Strange(BaseEstimator):
        calls = 0

        def predict(self, X: Any) -> Any:
            Strange.calls += 1
            return [1.0]

    def broken(*args: Any) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr(snap, "take", broken)
    monkeypatch.setattr(snap, "copy", broken)
    assert [Strange().predict([[1]]) for _ in range(3)] == [[1.0]] * 3
    assert Strange.calls == 3
    assert telemetry.rows() == 3
    said = [r.message for r in caplog.records if r.name == "modelspan.instrumentation"]
    assert len(said) == 1


@pytest.mark.parametrize("sample", [1.0, 0.5])
def test_counts_are_exact_where_a_processor_of_the_program_refuses_some_batches(
    again: Callable[..., Any], sample: float
) -> None:
    class Refusing:
        batches = 0

        def on_emit(self, record: Any) -> None:
            if ml.ML_PREDICTION_BATCH_DATA in (record.log_record.attributes or {}):
                Refusing.batches += 1
                if Refusing.batches % 3 == 2:
                    raise ZeroDivisionError

        emit = on_emit  # before OpenTelemetry 1.35

        def shutdown(self) -> None: ...

        def force_flush(self, timeout_millis: int = 0) -> bool:
            return True

    telemetry = again(batch_rows=4, sample=sample)
    telemetry.logger_provider.add_log_record_processor(Refusing())
    model = LinearRegression().fit(X, X[:, 0])
    for _ in range(4):
        model.predict(X[:10])
        flush()  # False where a part was lost
    model.predict(X[:1])
    last = telemetry.events(events.ML_PREDICTION_BATCH)[-1].attributes
    assert last[ml.MODELSPAN_RECORDER_ROWS_DROPPED] > 0
    counters = (
        ml.MODELSPAN_RECORDER_ROWS_RECORDED,
        ml.MODELSPAN_RECORDER_ROWS_DROPPED,
        ml.MODELSPAN_RECORDER_ROWS_UNSAMPLED,
    )
    assert sum(last[counter] for counter in counters) == 41
    sequence = [one.attributes[ml.MODELSPAN_RECORDER_SEQUENCE] for one in telemetry.events(events.ML_PREDICTION_BATCH)]
    assert sequence == sorted(set(sequence))


def test_a_processor_of_the_program_that_wants_to_exit_does_not_end_the_recording(
    again: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    class Exiting:
        batches = 0

        def on_emit(self, record: Any) -> None:
            if ml.ML_PREDICTION_BATCH_DATA in (record.log_record.attributes or {}):
                Exiting.batches += 1
                tried.set()
                if Exiting.batches < 3:
                    raise SystemExit

        emit = on_emit  # before OpenTelemetry 1.35

        def shutdown(self) -> None: ...

        def force_flush(self, timeout_millis: int = 0) -> bool:
            return True

    telemetry = again(flush_interval=0.01)
    telemetry.logger_provider.add_log_record_processor(Exiting())
    model = LinearRegression().fit(X, X[:, 0])
    for _ in range(3):
        tried = threading.Event()
        model.predict(X[:10])
        assert tried.wait(60)
    last = telemetry.events(events.ML_PREDICTION_BATCH)[-1].attributes
    assert (last[ml.MODELSPAN_RECORDER_ROWS_RECORDED], last[ml.MODELSPAN_RECORDER_ROWS_DROPPED]) == (10, 20)
    said = [one for one in caplog.records if one.name == "modelspan.instrumentation"]
    assert [one.exc_info and one.exc_info[0] for one in said] == [SystemExit]


def under_opentelemetry_instrument(path: Path, source: str, **environment: str) -> str:
    """Run a program unchanged and give what it printed."""
    path.write_text(textwrap.dedent(source))
    done = subprocess.run(
        [str(Path(sys.executable).with_name("opentelemetry-instrument")), sys.executable, str(path)],
        capture_output=True,
        text=True,
        timeout=110,
        env={"PATH": "/usr/bin:/bin", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf", **environment},
        check=True,
    )
    return done.stdout


def test_an_unchanged_program_is_recorded_under_opentelemetry_instrument(tmp_path: Path, receiver: Any) -> None:
    url, got = receiver
    source = """
    import numpy as np
    from sklearn.linear_model import LinearRegression
    model = LinearRegression().fit(np.eye(3), [1, 2, 3])
    print(model.predict(np.eye(3)).shape)
    """
    environment = {**PATIENT, "OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_INSTRUMENTATION_ML_MODEL_NAME": "mine"}
    assert under_opentelemetry_instrument(tmp_path / "program.py", source, **environment) == "(3,)\n"
    (batch,) = attributes_of(got, "ml.prediction.batch")
    assert (batch["ml.model.name"], batch["ml.prediction.batch.row.count"]) == ("mine", 3)


@pytest.mark.skipif(
    not hasattr(auto_instrumentation, "_initialize"),
    reason="this opentelemetry-instrument leaves child processes alone",
)
def test_workers_of_joblib_record_the_calls_of_the_program_and_not_the_parts_of_a_model(
    tmp_path: Path, receiver: Any
) -> None:
    url, got = receiver
    source = """
    import numpy as np
    from joblib import Parallel, delayed
    from sklearn.ensemble import BaggingRegressor
    from sklearn.linear_model import LinearRegression
    x = np.eye(4)
    one = LinearRegression().fit(x, range(4))
    Parallel(n_jobs=2)(delayed(one.predict)(x) for _ in range(2))
    BaggingRegressor(one, n_estimators=4, n_jobs=2).fit(x, range(4)).predict(x)
    """
    under_opentelemetry_instrument(tmp_path / "program.py", source, OTEL_EXPORTER_OTLP_ENDPOINT=url, **PATIENT)
    rows = Counter[str]()
    for batch in attributes_of(got, "ml.prediction.batch"):
        rows[batch["ml.model.name"]] += batch["ml.prediction.batch.row.count"]
    assert rows == {"LinearRegression": 8, "BaggingRegressor": 4}


def test_a_disabled_sdk_records_nothing(program: Callable[..., str]) -> None:
    source = """
    model.predict(np.eye(2))
    from modelspan.instrumentation.recorder import current
    print(current.get().active)
    """
    assert program(source, prelude=OTLP, OTEL_SDK_DISABLED="true") == "False"


def test_settings_that_cannot_be_used_are_named_and_their_defaults_taken(caplog: pytest.LogCaptureFixture) -> None:
    found = config.load({"OTEL_INSTRUMENTATION_ML_QUEUE_BYTES": "much", "OTEL_INSTRUMENTATION_ML_CAPTURE": "a, b"})
    assert (found.queue_bytes, found.capture) == (config.Config().queue_bytes, frozenset({"a", "b"}))
    assert "OTEL_INSTRUMENTATION_ML_QUEUE_BYTES='much' is ignored" in caplog.text


def test_keywords_come_before_the_environment_and_may_be_strings() -> None:
    environment = {"OTEL_INSTRUMENTATION_ML_CAPTURE": "none", "OTEL_INSTRUMENTATION_ML_SPAN_RATE": "3"}
    found = config.load(environment, capture="a", span_features="true")
    assert (found.capture, found.span_rate, found.span_features) == (frozenset("a"), 3.0, True)


@pytest.mark.parametrize(
    ("text", "capture"),
    [("all", None), ("", None), ("none", frozenset()), ("NONE", frozenset()), ("a,b", frozenset("ab"))],
)
def test_what_to_capture(text: str, capture: frozenset[str] | None) -> None:
    assert config.load({"OTEL_INSTRUMENTATION_ML_CAPTURE": text}).capture == capture


def test_actuals_that_are_too_late_at_the_exit_are_counted_as_dropped(telemetry: Any) -> None:
    record_actual("m", "in-time", label="x")
    assert flush()
    recorder = current.get()
    with recorder._work:  # the background is busy
        record_actual("m", [str(i) for i in range(300)], label="x")
        recorder._until = 0.0
        recorder.drain()
    assert not flush()
    last = telemetry.events(events.ML_PREDICTION_ACTUAL)[-1].attributes
    assert (last[ml.MODELSPAN_RECORDER_ROWS_RECORDED], last[ml.MODELSPAN_RECORDER_ROWS_DROPPED]) == (1, 300)
