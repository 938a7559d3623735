"""A Celery app on an in-memory broker whose tasks predict, each within a span; it prints the trace of each task.

python tasks.py POOL
"""

import json
import sys

import numpy as np
from celery import Celery
from celery.contrib.testing.worker import start_worker
from opentelemetry import trace
from sklearn.linear_model import LogisticRegression

X = np.random.default_rng(0).normal(size=(300, 2))
model = LogisticRegression().fit(X, X[:, 0] > 0)
app = Celery("tasks", broker="memory://", backend="file:///" + sys.argv[2])


@app.task
def predict(x: float) -> tuple[str, float]:
    with trace.get_tracer("tasks").start_as_current_span("task") as span:
        model.predict(np.array([[x, 0.0]]))
    return f"{span.get_span_context().trace_id:032x}", x


if __name__ == "__main__":
    with start_worker(app, pool=sys.argv[1], concurrency=2, perform_ping_check=False, shutdown_timeout=30):
        results = [predict.delay(float(x)) for x in range(10)]
        made = [result.get(timeout=20, disable_sync_subtasks=False) for result in results]
    sys.stdout.write(json.dumps(made))
