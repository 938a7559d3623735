"""Tasks of Celery: every prediction is stored once, in the trace of its task, also those made just before the worker ends."""

from __future__ import annotations

import json

import pytest

from tests.e2e.serving.conftest import Deployment


@pytest.mark.parametrize(("pool", "protocol"), [("solo", "grpc"), ("prefork", "http/protobuf")])
def test_every_prediction_of_a_task_is_stored_once_with_its_trace(
    deployment: Deployment, pool: str, protocol: str
) -> None:
    results = deployment.directory / "results"
    results.mkdir()
    made = json.loads(deployment.run("tasks.py", pool, str(results), protocol=protocol).splitlines()[-1])
    stored = deployment.stored(len(made), "trace_id, features_numeric['x0']")
    assert sorted(stored) == sorted(tuple(one) for one in made)
