"""What MLflow predicts by itself, in order to log a model, is no prediction of the program."""

from __future__ import annotations

from typing import Any

import mlflow
import mlflow.sklearn
import numpy as np
from mlflow.models import signature
from sklearn.linear_model import LogisticRegression

from modelspan.instrumentation.mlflow import MLflowInstrumentor

X = np.random.default_rng(0).normal(size=(150, 3))
Y = (X[:, 0] > 0).astype(int)


def test_a_model_is_tried_on_its_example_unrecorded(models: Any, store: None) -> None:
    mlflow.set_experiment("shop")
    model = LogisticRegression().fit(X, Y)
    mlflow.sklearn.log_model(
        model, "model", input_example=X[:2], pip_requirements=["scikit-learn"], serialization_format="pickle"
    )
    assert models.batches() == []


def test_mlflow_is_as_it_was_after_uninstrumenting(telemetry: Any) -> None:
    def found() -> list[Any]:
        return [vars(mlflow.models.Model)["log"], mlflow.sklearn._infer_signature_from_input_example]

    before = found()
    MLflowInstrumentor().instrument()
    assert mlflow.sklearn._infer_signature_from_input_example is signature._infer_signature_from_input_example
    assert all(one is not other for one, other in zip(found(), before, strict=True))
    MLflowInstrumentor().uninstrument()
    assert found() == before
