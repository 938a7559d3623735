"""A notebook: cells are run again and in any order, models are fitted anew, classes defined anew."""

from __future__ import annotations

from tests.e2e.conftest import wait_for
from tests.e2e.serving.conftest import Deployment


def test_each_cell_that_predicts_is_recorded_each_time_that_it_runs(deployment: Deployment) -> None:
    assert deployment.run("notebook.py") == "ValueError in cell 4"
    made = deployment.stored(3 * 5 + 2 * 3 + 300, "model_name, model_version, error_type")
    assert {name: sum(row[0] == name for row in made) for name in {row[0] for row in made}} == {
        "LogisticRegression": 15 + 300,
        "Threshold": 6,
    }
    assert {row[2] for row in made if row[1] == failed_version(made)} >= {"ValueError"}

    fitted = {(name, version) for name, version, _ in made}
    assert len([one for one in fitted if one[0] == "LogisticRegression"]) == 2
    columns = "DISTINCT model_name, model_version"
    assert set(wait_for(lambda: deployment.rows(columns, "ml_references FINAL"), "references")) == fitted


def failed_version(made: list[tuple[str, str, str]]) -> str:
    """Version of the model whose prediction failed."""
    return next(version for _, version, error in made if error)
