"""A program that inspects the arguments of what is instrumented finds what it finds without us."""

from __future__ import annotations

import gc
import inspect
import subprocess
import sys
import types
from typing import Any

import joblib
import lightgbm
import numpy as np
import pytest
import sklearn.linear_model
import torch
import xgboost
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import has_fit_parameter

from modelspan.instrumentation.lightgbm import LightGBMInstrumentor
from modelspan.instrumentation.loading import LoadingInstrumentor
from modelspan.instrumentation.patching.unseen import MARK
from modelspan.instrumentation.sklearn import SklearnInstrumentor
from modelspan.instrumentation.torch import TorchInstrumentor
from modelspan.instrumentation.xgboost import XGBoostInstrumentor

INSTRUMENTORS = (
    SklearnInstrumentor,
    XGBoostInstrumentor,
    LightGBMInstrumentor,
    TorchInstrumentor,
    LoadingInstrumentor,
)


class Thresholded(ClassifierMixin, BaseEstimator):
    """A class of the program with more than (self, X)."""

    def fit(self, X: Any, y: Any = None, *, sample_weight: Any = None) -> Any:
        return self

    def predict(self, X: Any, threshold: float = 0.3, *, strict: bool = False) -> Any:
        return np.asarray(X)[:, 0] > threshold

    def predict_proba(self, X: Any, /, *rows: Any, **options: Any) -> Any:
        return np.asarray(X)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        return 1.0


@pytest.fixture
def instrumented() -> Any:
    made = [instrumentor() for instrumentor in INSTRUMENTORS]
    for one in made:
        one.instrument()
    yield
    for one in made:
        one.uninstrument()


def read(function: Any) -> dict[str, Any]:
    code = function.__code__
    return {
        "getfullargspec": inspect.getfullargspec(function),
        "signature": inspect.signature(function),
        "own signature": inspect.signature(function, follow_wrapped=False),
        "__defaults__": function.__defaults__,
        "__kwdefaults__": function.__kwdefaults__,
        "co_varnames": code.co_varnames[: code.co_argcount + code.co_kwonlyargcount],
        "counts": (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount),
        "getsourcefile": inspect.getsourcefile(function),
        "getsource": inspect.getsource(function),
        "names": (function.__name__, function.__qualname__, function.__module__),
    }


def functions() -> dict[str, Any]:
    linear = sklearn.linear_model.LogisticRegression
    return {
        "own fit": Thresholded.fit,
        "own predict": Thresholded.predict,
        "own predict_proba": Thresholded.predict_proba,
        "own score": Thresholded.score,
        "fit": linear.fit,
        "predict": linear.predict,
        "score": linear.score,
        "XGBModel.fit": xgboost.XGBModel.fit,
        "XGBModel.predict": xgboost.XGBModel.predict,
        "XGBModel.load_model": xgboost.XGBModel.load_model,
        "Booster.predict": xgboost.Booster.predict,
        "Booster.load_model": xgboost.Booster.load_model,
        "xgboost.train": xgboost.train,
        "lightgbm.train": lightgbm.train,
        "LGBMModel.predict": lightgbm.LGBMModel.predict,
        "lightgbm.Booster": lightgbm.Booster.__init__,
        "joblib.load": joblib.load,
        "torch.load": torch.load,
        "torch.jit.load": torch.jit.load,
        "Module.load_state_dict": torch.nn.Module.load_state_dict,
    }


def test_arguments_and_files_of_functions_are_those_without_us() -> None:
    bare = {name: (function, read(function)) for name, function in functions().items()}
    made = [instrumentor() for instrumentor in INSTRUMENTORS]
    try:
        for one in made:
            one.instrument()
        found = {name: (function, read(function)) for name, function in functions().items()}
    finally:
        for one in made:
            one.uninstrument()
    for name, (function, expected) in bare.items():
        assert found[name][0] is not function, f"{name} is not instrumented, which makes this test say nothing"
        assert found[name][1] == expected, name


def test_everything_that_stands_in_has_the_arguments_of_what_it_stands_in_for(instrumented: None) -> None:
    standing_in = [
        one
        for one in gc.get_objects()
        if type(one) is types.FunctionType and MARK in one.__code__.co_filename and "__wrapped__" in vars(one)
    ]
    differ = []
    for one in standing_in:
        original = vars(one)["__wrapped__"]
        reached = _is_reached(one)
        if (
            reached
            and type(original) is types.FunctionType
            and inspect.getfullargspec(one) != inspect.getfullargspec(original)
        ):
            differ.append(f"{one.__module__}.{one.__qualname__}")
    assert len(standing_in) > 100
    assert differ == []


def _is_reached(function: Any) -> bool:
    """True if the function is found under its qualified name in its module."""
    found: Any = sys.modules.get(function.__module__)
    for part in function.__qualname__.split("."):
        found = vars(found).get(part) if hasattr(found, "__dict__") else None
    return found is function


def test_weights_are_found_and_used(instrumented: None) -> None:
    assert has_fit_parameter(Thresholded(), "sample_weight")
    assert "sample_weight" in inspect.getfullargspec(Thresholded.fit).kwonlyargs
    assert Thresholded.predict.__defaults__ == (0.3,)
    assert Thresholded().predict([[0.2]], strict=True).tolist() == [False]
    with pytest.raises(TypeError, match=r"predict\(\) got an unexpected keyword argument 'limit'"):
        Thresholded().predict([[0.2]], limit=1)


def test_a_class_of_the_main_module_is_introspected_as_without_us() -> None:
    program = """
import inspect
from sklearn.base import BaseEstimator
class Mine(BaseEstimator):
    def predict(self, X, threshold=0.5, *, batch=10): return X
    def fit(self, X, y=None, sample_weight=None): return self
for method in (Mine.predict, Mine.fit):
    print(inspect.getfullargspec(method), method.__defaults__, method.__kwdefaults__, method.__code__.co_varnames)
print(inspect.getsourcefile(Mine.predict))
"""
    bare = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    ours = "from modelspan.instrumentation.sklearn import SklearnInstrumentor; SklearnInstrumentor().instrument()\n"
    found = subprocess.run([sys.executable, "-c", ours + program], capture_output=True, text=True, check=True).stdout
    assert found == bare
