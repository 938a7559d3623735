"""MLflow's autologging predicts around each fit; the program does not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV

from modelspan.instrumentation.mlflow import MLflowInstrumentor
from modelspan.semconv import events

X = pd.DataFrame(np.random.default_rng(0).normal(size=(120, 3)), columns=list("abc"))
Y = (X.a > 0).astype(int)


@pytest.fixture
def logging(models: Any, store: None) -> Iterator[Any]:
    mlflow.set_experiment("shop")
    mlflow.sklearn.autolog(silent=True, log_models=False)
    yield models
    mlflow.sklearn.autolog(disable=True)


@pytest.mark.parametrize(
    "estimator", [LogisticRegression(), GridSearchCV(LogisticRegression(), {"C": [0.1, 1.0]}, cv=2)]
)
def test_only_predictions_of_the_program_are_recorded_and_the_fit_makes_its_reference(
    logging: Any, estimator: Any
) -> None:
    with mlflow.start_run() as run:
        estimator.fit(X, Y)
    assert "training_accuracy_score" in mlflow.get_run(run.info.run_id).data.metrics
    assert logging.rows() == 0
    assert len(logging.events(events.ML_REFERENCE_PROFILE)) == 1
    (event,) = logging.events(events.ML_MODEL_LOADED)
    assert event.attributes["ml.training.run.id"] == run.info.run_id
    estimator.predict(X[:2])
    assert logging.rows() == 2


def test_errors_of_the_fit_pass_and_the_function_is_put_back(logging: Any) -> None:
    with pytest.raises(ValueError, match="inconsistent"):
        LogisticRegression().fit(X, Y[:-1])
    replaced = mlflow.sklearn.safe_patch
    MLflowInstrumentor().uninstrument()
    assert mlflow.sklearn.safe_patch is replaced.__wrapped__
    MLflowInstrumentor().instrument()
