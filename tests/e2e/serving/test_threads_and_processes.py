"""Wherever a program predicts, each prediction is stored once, with the trace that was there; the parts of a model are not."""

from __future__ import annotations

import json

import pytest

from tests.e2e.serving.conftest import Deployment


@pytest.mark.parametrize(
    ("how", "protocol"),
    [
        ("threads", "grpc"),
        ("joblib threads", "grpc"),
        ("joblib loky", "grpc"),
        ("joblib threads, traced outside", "grpc"),
        ("ensembles", "grpc"),
        ("fork", "grpc"),
        ("fork", "http/protobuf"),
        ("spawn", "grpc"),
        ("executor fork", "http/protobuf"),
    ],
)
def test_every_prediction_is_stored_once_with_its_trace(deployment: Deployment, how: str, protocol: str) -> None:
    made = json.loads(deployment.run("workers.py", how, protocol=protocol))
    stored = deployment.stored(len(made), "trace_id, features_numeric['x0']")
    assert sorted(stored) == sorted(tuple(one) for one in made)
