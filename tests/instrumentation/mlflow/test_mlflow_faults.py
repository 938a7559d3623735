"""A fault in any function of MLflow's instrumentation leaves the program as it is, and is said once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.models.model import Model
from mlflow.pyfunc import PyFuncModel, PythonModel
from mlflow.store.artifact.models_artifact_repo import ModelsArtifactRepository
from mlflow.utils.autologging_utils import AUTOLOGGING_INTEGRATIONS
from sklearn.naive_bayes import GaussianNB

from modelspan.instrumentation.mlflow import MLflowInstrumentor, datasets
from tests.instrumentation.faults import Instrumented, but, outcome, places
from tests.instrumentation.mlflow.conftest import NAME

X = pd.DataFrame(np.random.default_rng(0).normal(size=(60, 3)), columns=list("abc"))
ALL = places("mlflow")
CALLED_BY_OPENTELEMETRY = ("mlflow:MLflowInstrumentor.instrumentation_dependencies",)
REFUSED = (
    "mlflow.kind:PyFuncKind.classes",
    "mlflow.kind:PyFuncKind.feature_names",
    "mlflow.datasets:._ask",
    "mlflow.datasets:._contexts",
)
"""Questions to models, and to stores of runs, that may go without an answer."""


class Own(PythonModel):
    """A model of the program."""

    def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
        return pd.DataFrame({"sum": np.ones(len(model_input)), "most": np.zeros(len(model_input))})


def log(folder: Path) -> str:
    """Two models; the run in which they are logged."""
    model = GaussianNB().fit(X, X.a > 0)
    mlflow.set_experiment("shop")
    with mlflow.start_run() as run:
        options = {"pip_requirements": ["scikit-learn"], "serialization_format": "pickle"}
        mlflow.log_input(mlflow.data.from_pandas(X, name="orders"), context="training")
        mlflow.sklearn.log_model(model, **{NAME: "fraud"}, registered_model_name="fraud", **options)
        mlflow.pyfunc.log_model(**{NAME: "model"}, python_model=Own(), pip_requirements=[])
    return str(run.info.run_id)


def program(run: str) -> list[Any]:
    """What a user does; all results."""
    datasets.ask_of.cache_clear()  # as in a process that meets this run for the first time
    models = [mlflow.pyfunc.load_model(uri) for uri in ("models:/fraud/1", f"runs:/{run}/fraud", f"runs:/{run}/model")]
    results = [model.predict(X) for model in models] + [models[0].predict(X.to_numpy())]
    results += [
        models[2].predict({"a": [1.0, 2.0]}),
        models[2].predict({"a": 1.0}),
        outcome(models[0].predict, X[["a"]]),
    ]
    results += [mlflow.sklearn.load_model("models:/fraud/1").predict(X), outcome(models[0].predict)]
    results.append(autologged().fit(X))
    return [*results, outcome(mlflow.pyfunc.load_model, "models:/none/1")]


def autologged() -> Any:
    """A model whose fit MLflow has put its autologging around."""

    class Logged:
        def fit(self, X: Any) -> int:
            return len(X)

    AUTOLOGGING_INTEGRATIONS["shop"] = {"disable": False}
    mlflow.sklearn.safe_patch("shop", Logged, "fit", lambda original, self, X: original(self, X), manage_run=True)
    return Logged()


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instrumented]:
    folder = tmp_path_factory.mktemp("mlflow")
    before = mlflow.get_tracking_uri(), mlflow.get_registry_uri()
    mlflow.set_tracking_uri(f"file://{folder}")
    mlflow.set_registry_uri(f"file://{folder}")
    run = log(folder)
    owners = [mlflow.pyfunc, mlflow.sklearn, PyFuncModel, Model, ModelsArtifactRepository]
    yield Instrumented(lambda: program(run), [MLflowInstrumentor], owners)
    mlflow.set_tracking_uri(before[0])
    mlflow.set_registry_uri(before[1])


@pytest.mark.parametrize("place", but(ALL, CALLED_BY_OPENTELEMETRY, REFUSED))
def test_a_fault_changes_no_result_and_is_said_once(
    place: str, user: Instrumented, caplog: pytest.LogCaptureFixture
) -> None:
    assert not user.survives(ALL[place], caplog)


@pytest.mark.parametrize("place", REFUSED)
def test_what_a_model_does_not_answer_is_left_out(
    place: str, user: Instrumented, caplog: pytest.LogCaptureFixture
) -> None:
    assert not user.survives(ALL[place], caplog, warnings=0)
