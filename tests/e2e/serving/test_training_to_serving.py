"""A program trains, another one serves the file that it wrote: verdicts compare the predictions with the training data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import wait_for
from tests.e2e.serving.conftest import Deployment

SOURCES = "arraySort(groupUniqArray(concat(series_kind, ' ', reference_source)))"


@pytest.mark.parametrize("arguments", [[], ["search"]], ids=["pipeline", "search"])
def test_the_verdicts_of_a_server_use_the_data_of_the_fit(
    deployment: Deployment, arguments: list[str], tmp_path: Path
) -> None:
    file = str(tmp_path / "model.joblib")
    deployment.run("train.py", file, *arguments)
    trained = wait_for(lambda: references(deployment), "the reference of the training program", 10)
    assert deployment.rows("count()") == [(0,)]
    server = Deployment(deployment.collector, tmp_path)
    server.run("serve.py", file)

    ((version,),) = wait_for(lambda: server.rows("DISTINCT model_version"), "the predictions", 10)
    assert trained == [("RandomForestClassifier", version, "fit", ["amount", "country"], 3000.0)]
    usual, shifted = wait_for(lambda: windows(server), "the verdicts", 10)
    assert usual == ("ok", [])
    assert shifted == ("drifted", ["amount"])
    assert "feature fit" in server.rows(SOURCES, "ml_drift FINAL")[0][0]


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
