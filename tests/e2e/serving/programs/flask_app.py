"""A Flask app that predicts, without a line about Modelspan; it answers with its process and the trace of the request."""

import os

import numpy as np
from flask import Flask, request
from opentelemetry import trace
from sklearn.linear_model import LogisticRegression

X = np.random.default_rng(0).normal(size=(500, 2))
model = LogisticRegression().fit(X, X[:, 0] > 0)
app = Flask(__name__)


@app.get("/health")
def health() -> str:
    return str(os.getpid())


@app.get("/predict")
def predict() -> dict[str, object]:
    x = float(request.args["x"])
    label = model.predict([[x, 0.0]])[0]
    span = trace.get_current_span().get_span_context()
    return {"x": x, "label": bool(label), "trace_id": f"{span.trace_id:032x}", "pid": os.getpid()}
