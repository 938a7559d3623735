"""Predicts in other threads and processes, each call within a span; it prints the trace of each and the number that was predicted for.

python workers.py HOW
"""

import json
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import joblib
import numpy as np
from opentelemetry import trace
from sklearn.ensemble import BaggingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score

tracer = trace.get_tracer("workers")
X = np.random.default_rng(0).normal(size=(300, 2))
model = LogisticRegression().fit(X, X[:, 0] > 0)
CALLS = 12


def predict(x: float) -> None:
    model.predict(np.array([[x, 0.0]]))


def predict_in_span(x: float) -> tuple[str, float]:
    """For where the trace of the caller does not reach."""
    tracer = trace.get_tracer("workers")  # loky sends what a function of the main module refers to
    with tracer.start_as_current_span("work") as span:
        predict(x)
    return f"{span.get_span_context().trace_id:032x}", x


def thread_pool() -> list[tuple[str, float]]:
    made = []
    with ThreadPoolExecutor(4) as pool:
        for x in range(CALLS):
            with tracer.start_as_current_span("request") as span:
                pool.submit(predict, x).result()
            made.append((f"{span.get_span_context().trace_id:032x}", x))
    return made


def in_joblib(backend: str) -> list[tuple[str, float]]:
    return list(joblib.Parallel(n_jobs=2, backend=backend)(joblib.delayed(predict_in_span)(x) for x in range(CALLS)))


def trace_in_joblib(backend: str) -> list[tuple[str, float]]:
    with tracer.start_as_current_span("request") as span:
        joblib.Parallel(n_jobs=2, backend=backend)(joblib.delayed(predict)(x) for x in range(CALLS))
    return [(f"{span.get_span_context().trace_id:032x}", x) for x in range(CALLS)]


def ensembles() -> list[tuple[str, float]]:
    """One prediction of each model; its members predict in threads and processes."""
    labels = X[:, 0] > 0
    cross_val_score(LogisticRegression(), X, labels, cv=2, n_jobs=2)
    made = []
    for ensemble in (RandomForestClassifier(8, n_jobs=2), BaggingClassifier(LogisticRegression(), 4, n_jobs=2)):
        ensemble.fit(X, labels)
        with tracer.start_as_current_span("request") as span:
            ensemble.predict(np.array([[0.0, 0.0]]))
        made.append((f"{span.get_span_context().trace_id:032x}", 0.0))
    return made


def multiprocess(method: str) -> list[tuple[str, float]]:
    pool = multiprocessing.get_context(method).Pool(2)
    made = pool.map(predict_in_span, range(CALLS))
    pool.close()
    pool.join()
    return list(made)


def process_pool(method: str) -> list[tuple[str, float]]:
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(method)) as pool:
        return list(pool.map(predict_in_span, range(CALLS)))


HOW = {
    "threads": thread_pool,
    "joblib threads": lambda: in_joblib("threading"),
    "joblib loky": lambda: in_joblib("loky"),
    "joblib threads, traced outside": lambda: trace_in_joblib("threading"),
    "ensembles": ensembles,
    "fork": lambda: multiprocess("fork"),
    "spawn": lambda: multiprocess("spawn"),
    "executor fork": lambda: process_pool("fork"),
}

if __name__ == "__main__":
    sys.stdout.write(json.dumps(HOW[sys.argv[1]]()))
