"""A tracking server in files, and an instrumented MLflow."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["GIT_PYTHON_REFRESH"] = "quiet"

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.models import infer_signature
from opentelemetry.instrumentation.utils import suppress_instrumentation
from packaging.version import Version
from sklearn.linear_model import LogisticRegression

from modelspan.instrumentation.mlflow import MLflowInstrumentor

X = pd.DataFrame(np.random.default_rng(0).normal(size=(60, 3)), columns=list("abc"))
Y = (X.a > 0).astype(int)

BEFORE_3 = Version(mlflow.__version__) < Version("3")
"""The URI of a logged model names its run and path then, so that it has the name of the path."""
NAME = "artifact_path" if BEFORE_3 else "name"


class Logged(NamedTuple):
    """A model that was logged."""

    model: Any
    uri: str
    run: str
    experiment: str


@pytest.fixture
def store(tmp_path: Path) -> None:
    """MLflow's records in a folder of the test."""
    mlflow.set_tracking_uri(f"file://{tmp_path}/mlruns")
    mlflow.set_registry_uri(f"file://{tmp_path}/mlruns")


@pytest.fixture
def log(store: None) -> Callable[..., Logged]:
    """Log a model of scikit-learn in a run."""

    @suppress_instrumentation()
    def logged(*, signed: bool = True, inputs: Mapping[str, str] | None = None, **options: Any) -> Logged:
        model = LogisticRegression().fit(X, Y)
        experiment = mlflow.set_experiment("shop").experiment_id
        with mlflow.start_run() as run:
            for name, context in (inputs or {}).items():
                mlflow.log_input(mlflow.data.from_numpy(X.to_numpy(), name=name), context=context)
            info = mlflow.sklearn.log_model(
                model,
                **{NAME: "fraud"},
                signature=infer_signature(X, model.predict(X)) if signed else None,
                pip_requirements=["scikit-learn"],
                serialization_format="pickle",
                **options,
            )
        return Logged(model, info.model_uri, run.info.run_id, experiment)

    return logged


@pytest.fixture
def models(telemetry: Any) -> Iterator[Any]:
    """Telemetry of MLflow."""
    MLflowInstrumentor().instrument()
    yield telemetry
    MLflowInstrumentor().uninstrument()
