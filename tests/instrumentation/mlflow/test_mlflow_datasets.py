"""Of a model that MLflow loads, the data sets of its run are known, and asking for them harms nobody."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mlflow
import pytest

from modelspan.instrumentation.mlflow import datasets
from modelspan.instrumentation.recorder import current
from modelspan.semconv import attributes as ml
from modelspan.semconv import events
from tests.instrumentation.mlflow.conftest import X

NAMES, DIGESTS = ml.ML_TRAINING_DATASET_NAMES, ml.ML_TRAINING_DATASET_DIGESTS


@pytest.fixture(autouse=True)
def unasked() -> Iterator[None]:
    """What was found out, and who was slow, is forgotten."""
    yield
    datasets.ask_of.cache_clear()
    datasets._slow.clear()


def loaded(telemetry: Any) -> dict[str, Any]:
    (event,) = telemetry.events(events.ML_MODEL_LOADED)
    return dict(event.attributes)


@pytest.mark.parametrize("uri", ["models:/fraud-scorer/1", "runs:/{run}/fraud", "{model}"])
def test_the_data_sets_that_the_run_was_trained_on_are_named_with_their_digests(
    models: Any, log: Callable[..., Any], uri: str
) -> None:
    logged = log(
        registered_model_name="fraud-scorer",
        inputs={"transactions": "training", "chargebacks": "train", "held-out": "eval"},
    )
    mlflow.pyfunc.load_model(uri.format(run=logged.run, model=logged.uri)).predict(X)
    inputs = mlflow.get_run(logged.run).inputs.dataset_inputs
    known = {one.dataset.name: one.dataset.digest for one in inputs}
    found = loaded(models)
    assert dict(zip(found[NAMES], found[DIGESTS], strict=True)) == {
        name: known[name] for name in ("transactions", "chargebacks")
    }


def test_a_run_without_data_sets_has_none(models: Any, log: Callable[..., Any]) -> None:
    mlflow.pyfunc.load_model(log().uri).predict(X)
    assert not {NAMES, DIGESTS} & set(loaded(models))


def test_no_store_is_made_where_there_is_none(
    models: Any, log: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged = log(inputs={"transactions": "training"})
    path = mlflow.artifacts.download_artifacts(logged.uri, dst_path=str(tmp_path))
    for elsewhere in (f"file://{tmp_path}/other", f"sqlite:///{tmp_path}/other.db"):
        mlflow.set_tracking_uri(elsewhere)
        mlflow.set_registry_uri(elsewhere)
        mlflow.sklearn.load_model(path).predict(X)
    assert not {NAMES, DIGESTS} & set(loaded(models))
    assert [found.name for found in tmp_path.glob("other*")] == []


def test_the_program_asks_nobody(models: Any, log: Callable[..., Any]) -> None:
    uri = log(inputs={"transactions": "training"}).uri
    with current.get()._work:  # the background can do nothing
        mlflow.pyfunc.load_model(uri).predict(X)
        assert datasets.ask_of.cache_info().misses == 0
    assert loaded(models)[NAMES] == ("transactions",)


@pytest.fixture
def silent() -> Iterator[tuple[str, list[str]]]:
    """A server that never answers, and the paths that it was asked for."""
    asked: list[str] = []
    over = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path.partition("?")[0])
            over.wait()

        def log_message(self, *args: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    over.set()
    server.shutdown()
    server.server_close()


def test_a_server_that_mlflow_has_not_asked_for_the_model_is_not_asked(
    models: Any, log: Callable[..., Any], tmp_path: Path, silent: tuple[str, list[str]]
) -> None:
    path = mlflow.artifacts.download_artifacts(log().uri, dst_path=str(tmp_path))
    uri, asked = silent
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    mlflow.sklearn.load_model(path).predict(X)
    assert not {NAMES, DIGESTS} & set(loaded(models))
    assert asked == []


def test_a_server_that_does_not_answer_is_waited_for_once(
    monkeypatch: pytest.MonkeyPatch, silent: tuple[str, list[str]]
) -> None:
    uri, asked = silent
    monkeypatch.setattr(datasets, "SECONDS", 0.2)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    place = datasets.Place(uri, asked=True)
    assert [datasets.ask_of(run, place) for run in ("a", "b", "c")] == [datasets.Asked()] * 3
    assert len(asked) <= 1
    assert datasets._slow == {uri}


def test_a_store_that_refuses_is_no_warning(caplog: pytest.LogCaptureFixture, store: None) -> None:
    mlflow.set_experiment("shop")
    assert datasets.ask_of("no-such-run", datasets.Place(mlflow.get_tracking_uri(), asked=True)) == datasets.Asked()
    assert [record for record in caplog.records if record.name.startswith("modelspan")] == []
