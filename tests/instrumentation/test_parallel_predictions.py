"""What a prediction has other threads or processes predict is part of it; what a program predicts in them is recorded."""

from __future__ import annotations

import inspect
import pickle
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import joblib
import numpy as np
import pytest
from opentelemetry.instrumentation.threading import ThreadingInstrumentor
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.linear_model import LinearRegression

from modelspan.instrumentation import failure
from modelspan.instrumentation.patching import parallel
from modelspan.instrumentation.sklearn import SklearnInstrumentor
from modelspan.semconv import attributes as ml

X = np.random.default_rng(0).normal(size=(50, 3))
PARTS = [LinearRegression().fit(X, X[:, i]) for i in range(3)]


class Mean(RegressorMixin, BaseEstimator):  # type: ignore[misc]  # no types
    """The mean of what other models predict, in other threads."""

    def __init__(self, way: str = "pool") -> None:
        self.way = way

    def fit(self, X: Any, y: Any) -> Mean:
        self.parts_ = PARTS
        return self

    def predict(self, X: Any) -> Any:
        if self.way == "pool":
            with ThreadPoolExecutor(2) as pool:
                found = list(pool.map(lambda model: model.predict(X), self.parts_))
        else:
            tasks = (joblib.delayed(model.predict)(X) for model in self.parts_)
            found = joblib.Parallel(n_jobs=2, backend=self.way)(list(tasks) if self.way == "sequential" else tasks)
        return np.mean(found, axis=0)


EXPECTED = np.mean([part.predict(X) for part in PARTS], axis=0)


def recorded(telemetry: Any) -> dict[str, int]:
    """Rows by the name of the model."""
    rows: dict[str, int] = {}
    for attributes, table in telemetry.batches():
        name = attributes[ml.ML_MODEL_NAME]
        rows[name] = rows.get(name, 0) + table.num_rows
    return rows


@pytest.mark.parametrize("way", ["pool", "threading", "sequential", "loky"])
def test_what_a_prediction_gives_to_others_is_recorded_once(telemetry: Any, way: str) -> None:
    model = Mean(way).fit(X, X[:, 0])
    for _ in range(3):
        np.testing.assert_array_equal(model.predict(X), EXPECTED)
    assert recorded(telemetry) == {"Mean": 150}


def test_what_a_program_predicts_in_threads_is_recorded(telemetry: Any) -> None:
    with ThreadPoolExecutor(2) as pool:
        assert len(list(pool.map(lambda model: model.predict(X), PARTS))) == 3
    joblib.Parallel(n_jobs=2, backend="threading")(joblib.delayed(model.predict)(X) for model in PARTS)
    assert recorded(telemetry) == {"LinearRegression": 300}


def test_a_thread_of_a_pool_records_again_after_the_work_of_a_prediction(telemetry: Any) -> None:
    with ThreadPoolExecutor(1) as pool:

        class Borrowing(RegressorMixin, BaseEstimator):  # type: ignore[misc]  # no types
            def fit(self, X: Any, y: Any) -> Borrowing:
                self.n_features_in_ = 3
                return self

            def predict(self, X: Any) -> Any:
                return pool.submit(PARTS[0].predict, X).result()

        Borrowing().fit(X, X[:, 0]).predict(X)
        pool.submit(PARTS[0].predict, X[:7]).result()
    assert recorded(telemetry) == {"Borrowing": 50, "LinearRegression": 7}


def test_work_keeps_its_results_errors_and_names(telemetry: Any) -> None:
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(divmod, 7, 2).result() == (3, 1)
        with pytest.raises(ZeroDivisionError):
            pool.submit(divmod, 7, 0).result()
        with pytest.raises(TypeError):
            pool.submit()  # type: ignore[call-arg]  # as a program may
    assert str(inspect.signature(ThreadPoolExecutor.submit)) == "(self, fn, /, *args, **kwargs)"
    assert pickle.loads(pickle.dumps(parallel.within)) is parallel.within


@pytest.mark.parametrize("first", [True, False])
def test_opentelemetrys_instrumentation_of_threads_may_come_first_or_last(telemetry: Any, first: bool) -> None:
    SklearnInstrumentor().uninstrument()
    threads = ThreadingInstrumentor()
    try:
        if first:
            threads.instrument()
        telemetry.instrument()
        if not first:
            threads.instrument()
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(divmod, 7, 2).result() == (3, 1)
            pool.submit(PARTS[0].predict, X[:7]).result()
        np.testing.assert_array_equal(Mean().fit(X, X[:, 0]).predict(X), EXPECTED)
        assert recorded(telemetry) == {"LinearRegression": 7, "Mean": 50}
    finally:
        if first:
            SklearnInstrumentor().uninstrument()
        threads.uninstrument()


def test_both_are_put_back() -> None:
    before = ThreadPoolExecutor.submit, joblib.Parallel.__call__
    SklearnInstrumentor().instrument()
    during = ThreadPoolExecutor.submit, joblib.Parallel.__call__
    SklearnInstrumentor().uninstrument()
    assert (ThreadPoolExecutor.submit, joblib.Parallel.__call__) == before
    assert during[0] is not before[0]
    assert during[1] is not before[1]


def test_tasks_of_another_form_are_left_to_joblib(telemetry: Any, caplog: pytest.LogCaptureFixture) -> None:
    class Odd(RegressorMixin, BaseEstimator):  # type: ignore[misc]  # no types
        def fit(self, X: Any, y: Any) -> Odd:
            self.n_features_in_ = 3
            return self

        def predict(self, X: Any) -> Any:
            return joblib.Parallel(n_jobs=1)([1, 2])

    failure._said.clear()
    with pytest.raises(TypeError):
        Odd().fit(X, X[:, 0]).predict(X)
