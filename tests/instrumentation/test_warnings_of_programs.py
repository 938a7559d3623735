"""A warning names the line that it names without instrumentation."""

from __future__ import annotations

import logging
import pickle
import shutil
import traceback
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import cloudpickle
import joblib
import mlflow.sklearn
import numpy as np
import pytest
import torch
from sklearn.base import BaseEstimator
from sklearn.ensemble import GradientBoostingClassifier
from torch import nn

from modelspan.instrumentation.loading import LoadingInstrumentor
from modelspan.instrumentation.mlflow import MLflowInstrumentor
from modelspan.instrumentation.sklearn import SklearnInstrumentor
from modelspan.instrumentation.torch import TorchInstrumentor

RNG = np.random.default_rng(0)
X = np.zeros((120, 2))


def warn() -> None:
    warnings.warn("old", DeprecationWarning, stacklevel=3)
    logging.getLogger("program").warning("old", stacklevel=3)


class Warns(BaseEstimator):  # type: ignore[misc]  # without annotations
    def fit(self, X: Any, y: Any = None) -> Any:
        warn()
        return self

    def predict(self, X: Any) -> Any:
        warn()
        return np.zeros(len(X))

    def score_samples(self, X: Any, scale: float = 1.0) -> Any:
        warn()
        return np.zeros(len(X))

    def score(self, X: Any, y: Any = None) -> float:
        warn()
        raise KeyError


@pytest.mark.parametrize("method", ["fit", "predict", "score_samples", "score"])
@pytest.mark.parametrize("arguments", [{}, {"scale": 2.0}])
def test_the_line_is_that_of_the_program(
    telemetry: Any, caplog: pytest.LogCaptureFixture, method: str, arguments: dict[str, float]
) -> None:
    call = getattr(Warns(), method)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        with suppress(KeyError):
            call(X, **(arguments if method == "score_samples" else {}))
    assert [one.filename for one in said] == [__file__]
    assert [one.pathname for one in caplog.records] == [__file__]


def test_a_traceback_through_what_is_passed_over_has_its_lines(telemetry: Any) -> None:
    with pytest.raises(KeyError) as raised:
        Warns().score(X)
    assert "return original(*args, **kwargs)" in "".join(traceback.format_exception(raised.value))


class Warner(nn.Module):  # type: ignore[misc]  # PyTorch is not typed here
    def forward(self, x: Any) -> Any:
        _warn_of_all_callers()
        return x


def test_a_warning_of_pytorch_names_the_line_that_it_names_without(telemetry: Any) -> None:
    def said(module: nn.Module) -> list[tuple[str, int]]:
        with warnings.catch_warnings(record=True) as found, torch.no_grad():
            warnings.simplefilter("always")
            module.eval()(torch.zeros(2, 2))
        return [(one.filename, one.lineno) for one in found]

    modules = nn.Softmax(), nn.Sequential(nn.Sequential(Warner()), nn.ReLU())
    found = []
    for prepare in (TorchInstrumentor().uninstrument, TorchInstrumentor().instrument):
        prepare()
        found.append([said(module) for module in modules])
    TorchInstrumentor().uninstrument()
    assert found[0] == found[1]
    assert [len(found[0][0]), len(found[0][1])] == [1, 28]


class Warnings:
    """Warns where it is read, at each level: the lines that are named are those of all callers."""

    shape = X.shape

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        _warn_of_all_callers()
        return X

    def __len__(self) -> int:
        return len(X)

    def __setstate__(self, state: Any) -> None:
        _warn_of_all_callers()


def _warn_of_all_callers() -> None:
    for level in range(2, 30):
        warnings.warn("old", DeprecationWarning, stacklevel=level)


WARNS = Warnings()
WARNS.of = "a state, so that there is one to be set"  # type: ignore[attr-defined]  # as above
BOOSTED = GradientBoostingClassifier(n_estimators=2, random_state=0).fit(RNG.normal(size=X.shape), np.arange(120) % 2)


def read_by(load: Callable[[], Callable[..., Any]]) -> Callable[[Path], None]:
    """Read a file in which such an object is. The function is looked up late, since it may be replaced."""

    def read(path: Path) -> None:
        with path.open("rb") as file:
            load()(file)

    return read


def load_by_torch(path: Path) -> None:
    torch.save(WARNS, path.with_suffix(".pt"))
    torch.load(path.with_suffix(".pt"), weights_only=False)


def load_by_mlflow(path: Path) -> None:
    at = path.with_suffix(".mlflow")
    if not at.exists():
        mlflow.sklearn.save_model(BOOSTED, at, serialization_format="pickle", pip_requirements=[])
        shutil.copy(path, at / "model.pkl")
    mlflow.sklearn.load_model(str(at))


@pytest.mark.parametrize(
    "call",
    [
        *(read_by(lambda: pickle.load), read_by(lambda: cloudpickle.load), read_by(lambda: joblib.load)),
        *(load_by_torch, load_by_mlflow, lambda path: list(BOOSTED.staged_predict(WARNS))),
    ],
)
def test_a_warning_of_what_is_loaded_or_predicted_in_stages_names_the_lines_that_it_names_without(
    tmp_path: Path, call: Callable[[Path], None]
) -> None:
    path = tmp_path / "old.pickle"
    path.write_bytes(pickle.dumps(WARNS))

    def said() -> list[tuple[str, int]]:
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            call(path)
        return [(one.filename, one.lineno) for one in found if str(one.message) == "old"]

    instrumentors = SklearnInstrumentor(), LoadingInstrumentor(), MLflowInstrumentor()
    found = []
    for instrumented in (False, True):
        if instrumented:
            [one.instrument() for one in instrumentors]
        found.append(said())
    for one in reversed(instrumentors):
        one.uninstrument()
    assert any(file == __file__ for file, _ in found[0])
    assert found[1] == found[0]
