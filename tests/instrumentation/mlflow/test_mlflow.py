"""A model of MLflow is recorded once for each call, and is who the registry says it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import mlflow.pyfunc
import numpy as np
import pandas as pd
import pytest
from mlflow.models.model import Model
from mlflow.pyfunc import PyFuncModel
from mlflow.store.artifact.models_artifact_repo import ModelsArtifactRepository
from mlflow.store.artifact.runs_artifact_repo import RunsArtifactRepository
from opentelemetry.instrumentation.utils import suppress_instrumentation

from modelspan.instrumentation import identify
from modelspan.instrumentation.mlflow import MLflowInstrumentor
from modelspan.instrumentation.recorder.fingerprint import fingerprint
from modelspan.semconv import events
from tests.instrumentation.mlflow.conftest import BEFORE_3, NAME, X, Y


def loaded(telemetry: Any) -> dict[str, Any]:
    (event,) = telemetry.events(events.ML_MODEL_LOADED)
    return dict(event.attributes)


def rows(telemetry: Any, *prefixes: str) -> dict[str, list[Any]]:
    table = telemetry.batch()
    return {name: table.column(name).to_pylist() for name in table.column_names if name.startswith(prefixes)}


@pytest.mark.parametrize(
    "uri", ["models:/fraud-scorer/1", "models:/fraud-scorer@champion", "models:/fraud-scorer/latest"]
)
@pytest.mark.parametrize("flavor", ["pyfunc", "sklearn"])
def test_a_registered_model_has_the_name_and_version_of_the_registry(
    models: Any, log: Callable[..., Any], uri: str, flavor: str
) -> None:
    logged = log(registered_model_name="fraud-scorer")
    mlflow.MlflowClient().set_registered_model_alias("fraud-scorer", "champion", 1)
    model = getattr(mlflow, flavor).load_model(uri)
    with suppress_instrumentation():
        plain = logged.model.predict(X)
    np.testing.assert_array_equal(model.predict(X), plain)
    expected = {
        "ml.model.name": "fraud-scorer",
        "ml.model.version": "1",
        "ml.model.id": "models:/fraud-scorer/1",
        "ml.model.source.uri": uri,
        "ml.model.source.loader": f"mlflow.{flavor}.load_model",
        "ml.model.type": "sklearn.linear_model._logistic.LogisticRegression",
        "ml.framework.name": "sklearn",
        "ml.task.type": "binary_classification",
        "ml.training.run.id": logged.run,
        "ml.training.experiment.id": logged.experiment,
        "ml.model.classes": ("0", "1"),
    }
    found = loaded(models)
    assert {key: found.get(key) for key in expected} == expected


def test_a_model_without_a_registry_is_named_by_its_run_and_versioned_by_what_it_learnt(
    models: Any, log: Callable[..., Any]
) -> None:
    logged = log()
    mlflow.pyfunc.load_model(f"runs:/{logged.run}/fraud").predict(X)
    found = loaded(models)
    assert found["ml.model.name"] == "fraud"
    assert found["ml.model.version"] == f"fit-{fingerprint(logged.model)[:12]}"
    assert found.get("ml.model.id") == (None if BEFORE_3 else logged.uri)
    assert found["ml.training.experiment.id"] == logged.experiment


def test_the_experiment_is_what_the_run_says_wherever_its_artifacts_lie(
    models: Any, log: Callable[..., Any], tmp_path: Path
) -> None:
    made = mlflow.create_experiment("shop", artifact_location=f"file://{tmp_path}/2024")
    mlflow.pyfunc.load_model(log().uri).predict(X)
    assert loaded(models)["ml.training.experiment.id"] == made


def test_the_place_of_artifacts_that_is_no_experiment_is_not_taken_for_one(
    models: Any, log: Callable[..., Any], tmp_path: Path
) -> None:
    """Where the run cannot be asked."""
    mlflow.create_experiment("shop", artifact_location=f"file://{tmp_path}/artifacts")
    path = mlflow.artifacts.download_artifacts(log().uri, dst_path=str(tmp_path / "here"))
    mlflow.set_tracking_uri(f"file://{tmp_path}/nowhere")
    mlflow.pyfunc.load_model(path).predict(X)
    assert "ml.training.experiment.id" not in loaded(models)


def test_a_model_in_a_folder_goes_by_its_name(models: Any, log: Callable[..., Any], tmp_path: Path) -> None:
    mlflow.sklearn.save_model(log().model, tmp_path / "churn")
    mlflow.pyfunc.load_model(str(tmp_path / "churn")).predict(X)
    assert loaded(models)["ml.model.name"] == "churn"


def test_identify_comes_first(models: Any, log: Callable[..., Any]) -> None:
    logged = log(registered_model_name="fraud-scorer")
    model = mlflow.pyfunc.load_model("models:/fraud-scorer/1")
    identify(model, name="mine", version="2")
    model.predict(X)
    found = loaded(models)
    assert (found["ml.model.name"], found["ml.model.version"]) == ("mine", "2")
    assert found["ml.training.run.id"] == logged.run


def test_a_call_is_recorded_once_with_inputs_and_outputs(models: Any, log: Callable[..., Any]) -> None:
    logged = log()
    labels = mlflow.pyfunc.load_model(logged.uri).predict(X[:5])
    assert rows(models, "label", "feature") == {
        "label": [str(one) for one in labels],
        **{f"feature.{name}": X[name][:5].tolist() for name in X},
    }


def test_columns_of_an_array_have_the_names_that_the_model_within_learnt(models: Any, log: Callable[..., Any]) -> None:
    model = mlflow.pyfunc.load_model(log(signed=False).uri)
    model.predict(X.to_numpy()[:2])
    assert list(rows(models, "feature")) == ["feature.a", "feature.b", "feature.c"]


def test_a_model_logged_for_its_probabilities_gives_scores(models: Any, log: Callable[..., Any]) -> None:
    logged = log(pyfunc_predict_fn="predict_proba")
    scores = mlflow.pyfunc.load_model(logged.uri).predict(X[:5])
    ((attributes, _),) = models.batches()
    assert attributes["ml.operation.name"] == "predict_proba"
    assert rows(models, "score") == {
        "score": scores[:, 1].tolist(),
        "score.0": scores[:, 0].tolist(),
        "score.1": scores[:, 1].tolist(),
    }


class Rules(mlflow.pyfunc.PythonModel):
    """A model of the program's own, with a frame for output."""

    def predict(self, context: Any, model_input: Any, params: Any = None) -> pd.DataFrame:
        return pd.DataFrame({"decision": ["yes", "no"], "score": [0.9, 0.2]})


def test_a_model_of_the_programs_own_gives_each_column_of_its_frame(models: Any, store: None) -> None:
    mlflow.set_experiment("shop")
    with mlflow.start_run():
        uri = mlflow.pyfunc.log_model(**{NAME: "rules"}, python_model=Rules(), pip_requirements=[]).model_uri
    model = mlflow.pyfunc.load_model(uri)
    model.predict({"amount": [1.5, 2.5], "country": ["DE", "FR"]})
    assert rows(models, "label", "score", "feature") == {
        "label": ["yes", "no"],
        "score": [0.9, 0.2],
        "feature.amount": [1.5, 2.5],
        "feature.country": ["DE", "FR"],
    }
    found = loaded(models)
    assert (found["ml.model.name"], found["ml.framework.name"]) == ("rules" if BEFORE_3 else "Rules", "mlflow")


def test_an_input_that_the_signature_refuses_raises_and_is_recorded(models: Any, log: Callable[..., Any]) -> None:
    model = mlflow.pyfunc.load_model(log().uri)
    with pytest.raises(mlflow.MlflowException, match="schema"):
        model.predict(X[["a", "b"]][:3])
    assert rows(models, "error_type") == {"error_type": ["MlflowException"] * 3}


def test_a_model_that_is_not_there_raises_its_own_error(models: Any, store: None) -> None:
    with pytest.raises(mlflow.MlflowException):
        mlflow.pyfunc.load_model("models:/nobody/1")
    with pytest.raises(TypeError, match="model_uri"):
        mlflow.pyfunc.load_model()


def test_nothing_is_left_after_uninstrumenting(telemetry: Any) -> None:
    owners = (mlflow.pyfunc, PyFuncModel, Model, ModelsArtifactRepository, RunsArtifactRepository, mlflow.sklearn)
    before = [dict(vars(owner)) for owner in owners]
    for _ in range(2):
        MLflowInstrumentor().instrument()
        assert vars(PyFuncModel)["predict"] is not before[1]["predict"]
        MLflowInstrumentor().uninstrument()
        for owner, then in zip(owners, before, strict=True):
            assert {key: value for key, value in vars(owner).items() if value is not then.get(key)} == {}


def test_results_are_those_of_an_uninstrumented_model(telemetry: Any, log: Callable[..., Any]) -> None:
    uri = log().uri
    plain = mlflow.pyfunc.load_model(uri).predict(X)
    MLflowInstrumentor().instrument()
    recorded = mlflow.pyfunc.load_model(uri).predict(X)
    MLflowInstrumentor().uninstrument()
    assert type(plain) is type(recorded)
    np.testing.assert_array_equal(plain, recorded)
    assert plain.dtype == recorded.dtype == Y.dtype


def test_importing_the_instrumentor_imports_neither_numpy_nor_mlflow(program: Callable[..., str]) -> None:
    source = """
    import sys
    from modelspan.instrumentation.mlflow import MLflowInstrumentor
    MLflowInstrumentor().instrument()
    print(sorted({"numpy", "mlflow", "pandas"} & set(sys.modules)))
    """
    assert program(source, prelude="") == "[]"
