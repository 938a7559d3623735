"""Programs whose predictions are measured: one for each framework, on the same made-up numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from modelspan.instrumentation.patching.instrumentor import ModelInstrumentor

Call = Callable[[], Any]

_RNG = np.random.default_rng(0)
X = _RNG.normal(size=(10_000, 20))
Y = (X[:, 0] + X[:, 1] > 0).astype(int)
NAMES = [f"feature_{i}" for i in range(20)]


@dataclass(frozen=True)
class Program:
    """A model and how it is called."""

    name: str
    make: Callable[[int], tuple[Call, Any]]
    """Given a number of rows: a call that predicts so many, and the first of them."""
    instrumentors: Callable[[], list[type[ModelInstrumentor]]]


def _logistic_regression(rows: int) -> tuple[Call, Any]:
    from sklearn.linear_model import LogisticRegression

    model, x = LogisticRegression().fit(X, Y), X[:rows].copy()
    return lambda: model.predict(x), x[0]


def _pipeline(rows: int) -> tuple[Call, Any]:
    import pandas as pd
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    frame = pd.DataFrame(X, columns=NAMES)
    model, x = make_pipeline(StandardScaler(), LogisticRegression()).fit(frame, Y), frame.iloc[:rows]
    return lambda: model.predict(x), X[0]


def _forest(rows: int) -> tuple[Call, Any]:
    from sklearn.ensemble import RandomForestClassifier

    model, x = RandomForestClassifier(100, random_state=0).fit(X[:2000], Y[:2000]), X[:rows].copy()
    return lambda: model.predict(x), x[0]


def _xgb_classifier(rows: int) -> tuple[Call, Any]:
    from xgboost import XGBClassifier

    model, x = XGBClassifier(n_estimators=50, n_jobs=1).fit(X, Y), X[:rows].copy()
    return lambda: model.predict(x), x[0]


def _xgb_booster(rows: int) -> tuple[Call, Any]:
    import xgboost

    data = xgboost.DMatrix(X, label=Y, feature_names=NAMES)
    booster = xgboost.train({"objective": "binary:logistic", "nthread": 1}, data, 50)
    x = xgboost.DMatrix(X[:rows], feature_names=NAMES)
    return lambda: booster.predict(x), X[0]


def _lgbm_classifier(rows: int) -> tuple[Call, Any]:
    from lightgbm import LGBMClassifier

    model, x = LGBMClassifier(n_estimators=50, n_jobs=1, verbose=-1).fit(X, Y), X[:rows].copy()
    return lambda: model.predict(x), x[0]


def _catboost_classifier(rows: int) -> tuple[Call, Any]:
    from catboost import CatBoostClassifier

    model = CatBoostClassifier(iterations=50, thread_count=1, verbose=False, allow_writing_files=False).fit(X, Y)
    x = X[:rows].copy()
    return lambda: model.predict(x, thread_count=1), x[0]


def _torch_mlp(width: int) -> Callable[[int], tuple[Call, Any]]:
    def make(rows: int) -> tuple[Call, Any]:
        import torch

        torch.set_num_threads(1)
        model = torch.nn.Sequential(
            torch.nn.Linear(20, width),
            torch.nn.ReLU(),
            torch.nn.Linear(width, width),
            torch.nn.ReLU(),
            torch.nn.Linear(width, 2),
        )
        model.eval()
        x = torch.from_numpy(X[:rows].astype(np.float32))

        def call() -> Any:
            with torch.inference_mode():
                return model(x)

        return call, X[0]

    return make


def _onnx(estimator: Callable[[], Any]) -> Callable[[int], tuple[Call, Any]]:
    def make(rows: int) -> tuple[Call, Any]:
        import onnxruntime
        from skl2onnx import to_onnx

        x = X[:rows].astype(np.float32)
        graph = to_onnx(estimator().fit(X, Y), x[:1], options={"zipmap": False})
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return lambda: session.run(None, {"X": x}), x[0]

    return make


def _small() -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression()


def _trees() -> Any:
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(300, random_state=0)


def _mlflow(rows: int) -> tuple[Call, Any]:
    import tempfile

    import mlflow.pyfunc
    import mlflow.sklearn
    import pandas as pd
    from sklearn.linear_model import LogisticRegression

    frame = pd.DataFrame(X, columns=NAMES)
    with tempfile.TemporaryDirectory() as folder:
        mlflow.sklearn.save_model(LogisticRegression().fit(frame, Y), f"{folder}/model")
        model, x = mlflow.pyfunc.load_model(f"{folder}/model"), frame.iloc[:rows]
    return lambda: model.predict(x), X[0]


def _instrumentors(*names: str) -> Callable[[], list[type[ModelInstrumentor]]]:
    def load() -> list[type[ModelInstrumentor]]:
        from importlib.metadata import entry_points

        points = entry_points(group="opentelemetry_instrumentor")
        return [points[f"modelspan-{name}"].load() for name in names]

    return load


PROGRAMS = [
    Program("LogisticRegression.predict", _logistic_regression, _instrumentors("sklearn")),
    Program("Pipeline.predict, DataFrame", _pipeline, _instrumentors("sklearn")),
    Program("RandomForest(100).predict", _forest, _instrumentors("sklearn")),
    Program("XGBClassifier.predict", _xgb_classifier, _instrumentors("xgboost", "sklearn")),
    Program("xgboost.Booster.predict, DMatrix", _xgb_booster, _instrumentors("xgboost")),
    Program("LGBMClassifier.predict", _lgbm_classifier, _instrumentors("lightgbm", "sklearn")),
    Program("CatBoostClassifier.predict", _catboost_classifier, _instrumentors("catboost")),
    Program("PyTorch, 3 linear layers", _torch_mlp(64), _instrumentors("torch")),
    Program("PyTorch, 3 layers, a million weights", _torch_mlp(1024), _instrumentors("torch")),
    Program("MLflow pyfunc, DataFrame", _mlflow, _instrumentors("mlflow", "sklearn")),
    Program("ONNX Runtime, logistic regression", _onnx(_small), _instrumentors("onnxruntime")),
    Program("ONNX Runtime, RandomForest(300)", _onnx(_trees), _instrumentors("onnxruntime")),
]
