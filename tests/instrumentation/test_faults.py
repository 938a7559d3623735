"""A fault in any function of the telemetry leaves the program as it is, and is said once."""

from __future__ import annotations

import logging
import time
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from modelspan.instrumentation import failure, flush, prediction_context, record_actual, set_reference
from modelspan.instrumentation.recorder.kinds import Kind
from tests.instrumentation.conftest import Telemetry
from tests.instrumentation.faults import Fault, places

X = np.random.default_rng(0).normal(size=(120, 3))
Y = X[:, 0] > 0
FRAME = pd.DataFrame(X, columns=list("abc"))
ALL = {place: found for place, found in places("recorder").items() if found[0] is not Kind}
"""But for questions to models, which may refuse to answer without a word."""


def program(model: Any) -> list[Any]:
    """What a user does; all results."""
    results = [model.predict(X[:1]), model.predict_proba(X), model.decision_function(X.tolist()), model.predict(X[:2])]
    results.append(model.predict(X[:, ::-1].copy()))
    with prediction_context(ids=[f"id-{i}" for i in range(120)], segment={"country": "DE"}):
        results.append(model.predict(X))
    with pytest.raises(ValueError, match="features"):
        model.predict(X[:, :2])
    record_actual(model, "id-1", label=True)
    set_reference(model, X)
    return results


@pytest.fixture(scope="module")
def expected() -> tuple[Any, list[Any]]:
    model = LogisticRegression().fit(X, Y)
    return model, program(model)


def _warnings(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.name.startswith("modelspan")]


@pytest.mark.parametrize("place", ALL)
def test_a_fault_changes_no_result_and_is_said_once(
    place: str,
    expected: tuple[Any, list[Any]],
    telemetry: Telemetry,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    model, results = expected
    telemetry.instrument()
    failure._said.clear()
    with monkeypatch.context() as patch, caplog.at_level(logging.WARNING):
        fault = Fault(*ALL[place], patch)
        found = program(model)
        flush(5)
    for one, other in zip(results, found, strict=True):
        assert type(one) is type(other)
        np.testing.assert_array_equal(one, other)
    deadline = time.monotonic() + 5
    while not (warnings := _warnings(caplog)) and fault.calls and time.monotonic() < deadline:
        time.sleep(0.01)  # the background thread may be about to say it
    assert len(warnings) == (1 if fault.calls else 0), [record.getMessage() for record in warnings]
