"""Classes that a program defines stay what they are: they can be pickled by value, are freed, and their coroutines are coroutines."""

from __future__ import annotations

import asyncio
import gc
import inspect
import pickle
import subprocess
import sys
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.linear_model import LinearRegression
from sklearn.utils.metaestimators import available_if

X = np.random.default_rng(0).normal(size=(150, 3))
LINEAR = LinearRegression().fit(X, X[:, 0])

OF_A_NOTEBOOK = """
import cloudpickle
from sklearn.base import BaseEstimator
from sklearn.linear_model import LinearRegression
from sklearn.utils.metaestimators import available_if

X = np.random.default_rng(0).normal(size=(150, 3))

class Base(BaseEstimator):
    def predict(self, X):
        return self.inner_.predict(X)

class Mine(Base):
    def fit(self, X, y, sample_weight=None):
        self.inner_ = LinearRegression().fit(X, y, sample_weight)
        return self

    def partial_fit(self, X, y):
        return self.fit(X, y)

    def predict(self, X):
        return super().predict(X) + 1

    def score(self, X, y):
        return float(np.abs(self.predict(X) - y).max())

    def decision_function(self, X, *, scale=1):
        return scale * self.predict(X)

    @available_if(lambda self: hasattr(self, "inner_"))
    def predict_proba(self, X):
        return self.predict(X)[:, None]
"""


def test_a_class_of_the_main_module_is_pickled_by_value_for_where_modelspan_is_not(
    program: Callable[..., str], tmp_path: Path
) -> None:
    there = tmp_path / "model.pickle"
    here = program(
        OF_A_NOTEBOOK
        + f"""
set_up_sdk()
SklearnInstrumentor().instrument()
model = Mine().fit(X, X[:, 0])
with open({str(there)!r}, "wb") as file:
    file.write(cloudpickle.dumps(model))
print(model.predict(X)[0], model.predict(X).shape, rows())
"""
    )
    source = f"""
import pickle, sys
sys.modules["modelspan"] = None
model = pickle.load(open({str(there)!r}, "rb"))
import numpy as np
X = np.random.default_rng(0).normal(size=(150, 3))
assert model.fit(X, y=X[:, 0]).partial_fit(X, X[:, 0]).predict(X=X).shape == (150,)
assert model.decision_function(X, scale=2).shape == (150,) and model.predict_proba(X).shape == (150, 1)
assert model.score(X, X[:, 0]) < 1.1 and not hasattr(type(model)(), "predict_proba")
print(model.predict(X)[0])
"""
    found = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    assert here == f"{found.stdout.strip()} (150,) 300"


def test_workers_of_joblib_get_a_class_of_the_main_module(program: Callable[..., str]) -> None:
    found = program(
        OF_A_NOTEBOOK
        + """
from joblib import Parallel, delayed
set_up_sdk()
SklearnInstrumentor().instrument()
models = Parallel(n_jobs=2)(delayed(Mine().fit)(X, X[:, i]) for i in range(2))
print([model.predict(X[:2]).shape for model in models])
"""
    )
    assert found == "[(2,), (2,)]"


OF_ITS_OWN = """
import cloudpickle, collections
from joblib import Parallel, delayed
from sklearn.base import BaseEstimator
from sklearn.utils.metaestimators import available_if

X = np.random.default_rng(0).normal(size=(150, 3))

class Mean(BaseEstimator):
    def fit(self, X, y=None):
        self.mean_ = float(X.mean())
        return self

    def predict(self, X):
        return np.full(len(X), self.mean_)

    @available_if(lambda self: hasattr(self, "mean_"))
    def predict_proba(self, X):
        return np.full((len(X), 2), 0.5)

def recorded():
    flush()
    rows = collections.Counter()
    for log in logs.get_finished_logs():
        said = log.log_record.attributes
        rows[said["ml.model.name"], said.get("ml.operation.name")] += said.get("ml.prediction.batch.row.count", 0)
    logs.clear()
    return sorted((+rows).items())

set_up_sdk()
"""


@pytest.mark.parametrize(
    "way",
    [
        "Parallel(n_jobs=2)(delayed(Mean().fit)(X) for _ in range(3))",
        "[cloudpickle.loads(cloudpickle.dumps(model)) for _ in range(3)]",
        "[cloudpickle.loads(cloudpickle.dumps(Mean.fit))(model, X) for _ in range(3)]",
    ],
)
def test_a_class_of_the_main_module_is_recorded_after_it_came_back(program: Callable[..., str], way: str) -> None:
    source = f"""
before = vars(Mean)["predict"]
SklearnInstrumentor().instrument()
model = Mean().fit(X)
for _ in range(3):
    back = {way}[-1]
print(type(back) is Mean, hasattr(Mean(), "predict_proba"), hasattr(back, "predict_proba"))
for one in (back, model):
    one.predict(X[:7]), one.predict_proba(X[:3])
print(recorded())
SklearnInstrumentor().uninstrument()
back.predict(X)
print(recorded(), vars(Mean)["predict"].__code__ == before.__code__)
"""
    here = "(('Mean', 'predict'), 14), (('Mean', 'predict_proba'), 6)"
    assert program(OF_ITS_OWN + source).splitlines() == ["True False True", f"[{here}]", "[] True"]


@pytest.mark.parametrize("instrumented", [True, False])
def test_a_model_whose_class_arrives_with_it_is_recorded(
    program: Callable[..., str], tmp_path: Path, instrumented: bool
) -> None:
    there = tmp_path / "model.pickle"
    maker = f"""
SklearnInstrumentor().instrument() if {instrumented} else None
with open({str(there)!r}, "wb") as file:
    cloudpickle.dump(Mean().fit(X), file)
"""
    program(OF_ITS_OWN + maker)
    server = f"""
del Mean
SklearnInstrumentor().instrument()
import pickle
with open({str(there)!r}, "rb") as file:
    model = pickle.load(file)
model.predict(X), model.predict_proba(X)
print(recorded(), type(model).predict.__wrapped__.__code__.co_name)
"""
    expected = "[(('Mean', 'predict'), 150), (('Mean', 'predict_proba'), 150)] predict"
    assert program(OF_ITS_OWN + server) == expected


def made() -> type:
    class Made(BaseEstimator):  # type: ignore[misc]  # without annotations
        def __init__(self) -> None:
            super().__init__()

        def fit(self, X: Any, y: Any = None) -> Any:
            return self

        def predict(self, X: Any) -> Any:
            assert super().get_params() == {}
            return np.zeros(len(X))

        @available_if(lambda self: True)  # type: ignore[misc]  # as above
        def predict_proba(self, X: Any) -> Any:
            return np.zeros((len(X), 2))

    return Made


def test_a_class_that_the_program_makes_and_forgets_is_freed(telemetry: Any) -> None:
    classes = [made() for _ in range(20)]
    for cls in classes:
        cls().fit(X).predict(X)
    assert telemetry.rows() == 20 * len(X)
    references = [weakref.ref(cls) for cls in classes]
    del cls, classes
    gc.collect()
    assert [one() for one in references] == [None] * 20


class Later(BaseEstimator):  # type: ignore[misc]  # as above
    async def predict(self, X: Any) -> Any:
        await asyncio.sleep(0)
        return LINEAR.predict(X)

    def predict_proba(self, X: Any) -> Any:
        for one in X:
            yield LINEAR.predict(one[None])

    async def decision_function(self, X: Any) -> Any:
        yield LINEAR.predict(X)


def test_what_goes_on_after_the_call_is_left_to_what_it_calls(telemetry: Any) -> None:
    assert inspect.iscoroutinefunction(Later.predict)
    assert inspect.iscoroutinefunction(Later().predict)
    assert inspect.isgeneratorfunction(Later.predict_proba)
    assert inspect.isasyncgenfunction(Later.decision_function)
    assert asyncio.run(Later().predict(X[:4])).shape == (4,)
    assert len(list(Later().predict_proba(X[:2]))) == 2
    ((attributes, table),) = telemetry.batches()
    assert attributes["ml.model.name"] == "LinearRegression"
    assert table.num_rows == 6


@pytest.mark.parametrize("protocol", [2, 5])
def test_methods_of_importable_classes_are_pickled_by_name(telemetry: Any, protocol: int) -> None:
    for one in (Later.predict, LINEAR.predict, LinearRegression.predict):
        again = pickle.loads(pickle.dumps(one, protocol))
        assert again.__qualname__ == one.__qualname__
        assert cloudpickle.loads(cloudpickle.dumps(one, protocol)).__qualname__ == one.__qualname__


def test_methods_of_a_class_know_the_names_of_its_module_and_no_others(telemetry: Any) -> None:
    class Mine(BaseEstimator):
        def fit(self, X: Any, y: Any = None) -> Any:
            return self

        def predict(self, X: Any) -> Any:
            return np.zeros(len(X))

        def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
            return 0.0

    # dill writes the names that a function knows, unless they are those of the module that it is of.
    assert all(vars(Mine)[name].__globals__ is globals() for name in ("fit", "predict", "score"))
    assert vars(Mine)["predict"].__wrapped__ is not vars(Mine)["predict"]
