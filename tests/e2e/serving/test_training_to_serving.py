"""A program trains, another one serves the file that it wrote: verdicts compare the predictions with the training data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from modelspan.semconv import attributes as ml
from tests.e2e.conftest import modelspan, wait_for
from tests.e2e.serving.conftest import Deployment

SOURCES = "arraySort(groupUniqArray(concat(series_kind, ' ', reference_source)))"


@pytest.mark.parametrize("arguments", [[], ["search"]], ids=["pipeline", "search"])
def test_the_verdicts_of_a_server_that_names_the_model_after_its_file_use_the_data_of_the_fit(
    deployment: Deployment, arguments: list[str], tmp_path: Path
) -> None:
    file = str(tmp_path / "fraud.joblib")
    deployment.run("train.py", file, *arguments)
    trained = wait_for(lambda: references(deployment), "the reference of the training program")
    assert deployment.rows("count()") == [(0,)]
    server = Deployment(deployment.collector, tmp_path)
    server.run("serve.py", file)

    ((name, version),) = wait_for(lambda: server.rows("DISTINCT model_name, model_version"), "the predictions")
    assert name == "fraud"
    assert trained == [("RandomForestClassifier", version, "fit", ["amount", "country"], 3000.0)]
    usual, shifted = wait_for(lambda: windows(server), "the verdicts")
    assert usual == ("ok", [])
    assert shifted == ("drifted", ["amount"])
    assert "feature fit" in server.rows(SOURCES, "ml_drift FINAL")[0][0]


def test_a_server_that_knows_the_model_by_the_name_of_a_registry_uses_the_data_of_the_fit(
    deployment: Deployment, tmp_path: Path
) -> None:
    registry = {
        "MLFLOW_TRACKING_URI": f"file://{tmp_path}/mlruns",
        "MLFLOW_ALLOW_FILE_STORE": "true",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "GIT_PYTHON_REFRESH": "quiet",
    }
    name = f"scorer-{deployment.name}"
    run = deployment.run("train_mlflow.py", name, **registry)
    ((fitted_as, *_),) = wait_for(lambda: references(deployment), "the reference of the training program")
    server = Deployment(deployment.collector, tmp_path)
    server.run("serve_mlflow.py", name, **registry)

    assert wait_for(lambda: server.rows("DISTINCT model_name, model_version"), "the predictions") == [(name, "1")]
    assert fitted_as == "RandomForestClassifier"
    usual, shifted = wait_for(lambda: windows(server), "the verdicts")
    assert (usual, shifted) == (("ok", []), ("drifted", ["amount"]))
    assert "feature fit" in server.rows(SOURCES, "ml_drift FINAL")[0][0]

    (of_fit,) = deployment.rows("model_digest, training_data", "ml_models FINAL")
    ((lineage, *of_server),) = server.rows("lineage, model_digest, training_data", "ml_models FINAL")
    assert of_fit[0] == of_server[0]
    assert lineage[ml.ML_TRAINING_RUN_ID] == run.splitlines()[-1]
    assert [data.partition("@")[0] for data in of_server[1]] == ["transactions"]
    (found,) = modelspan("query", "models", "--param", f"model={name}", url=server.collector.url)
    assert sorted(found["training_data"]) == sorted([*of_fit[1], *of_server[1]])


def references(deployment: Deployment) -> list[Any]:
    """Model, version, source, series and rows of the references that the program gave."""
    columns = "model_name, model_version, toString(source), arraySort(groupArray(series_name)), max(rows)"
    return deployment.rows(columns, "ml_references FINAL", "1 GROUP BY ALL")


def windows(server: Deployment) -> list[Any] | None:
    """Features that drifted in each of the two windows, once both have their verdict."""
    found = server.rows(
        "status, arrayFilter(x -> x IN ('amount', 'country'), drifted)", "ml_windows FINAL", "1 ORDER BY window_start"
    )
    return found if len(found) == 2 else None
