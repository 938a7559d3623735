"""A fault in any function of the telemetry leaves the program as it is, and is said once."""

from __future__ import annotations

import importlib
import inspect
import logging
import pkgutil
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from modelspan.instrumentation import failure, flush, prediction_context, record_actual, set_reference
from modelspan.instrumentation.recorder.kinds import Kind
from tests.instrumentation.conftest import Telemetry

X = np.random.default_rng(0).normal(size=(60, 3))
Y = X[:, 0] > 0
FRAME = pd.DataFrame(X, columns=list("abc"))
PARTS = ("recorder",)


def modules() -> list[Any]:
    """All modules that run once a recorder exists."""
    found = []
    for part in PARTS:
        package = importlib.import_module(f"modelspan.instrumentation.{part}")
        found += [
            importlib.import_module(one.name) for one in pkgutil.iter_modules(package.__path__, package.__name__ + ".")
        ]
    return found


def functions() -> Iterator[tuple[Any, str]]:
    """Every function, and method of a class, with the module or class that defines it."""
    for module in modules():
        for name, value in vars(module).items():
            if inspect.isfunction(value) and value.__module__ == module.__name__:
                yield module, name
            elif inspect.isclass(value) and value.__module__ == module.__name__:
                for method, raw in vars(value).items():
                    if inspect.isfunction(raw) and not (method.startswith("__") and method != "__init__"):
                        yield value, method


def said(owner: Any, name: str) -> str:
    module = getattr(owner, "__module__", owner.__name__)
    return f"{module.removeprefix('modelspan.instrumentation.')}:{getattr(owner, '__qualname__', '')}.{name}"


ALL = {said(owner, name): (owner, name) for owner, name in functions() if owner is not Kind}
"""But for questions to models, which may refuse to answer without a word."""


class Injected(Exception):
    """Nobody expects it."""


class Fault:
    """Stands in for a function, everywhere it is known, and raises."""

    def __init__(self, owner: Any, name: str, patch: pytest.MonkeyPatch) -> None:
        self.calls = 0
        original = vars(owner)[name]

        def broken(*args: Any, **kwargs: Any) -> Any:
            self.calls += 1
            raise Injected(name)

        patch.setattr(owner, name, broken)
        for module in [one for key, one in sys.modules.items() if key.startswith("modelspan.instrumentation")]:
            for key, value in list(vars(module).items()):
                if value is original:
                    patch.setattr(module, key, broken)
                elif isinstance(value, dict):
                    for inner, one in list(value.items()):
                        if one is original:
                            patch.setitem(value, inner, broken)


def program(model: Any) -> list[Any]:
    """What a user does; all results."""
    results = [model.predict(X[:1]), model.predict_proba(X), model.decision_function(X.tolist()), model.predict(X[:2])]
    results.append(model.predict(X[:, ::-1].copy()))
    with prediction_context(ids=[f"id-{i}" for i in range(60)], segment={"country": "DE"}):
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
    warnings = [record for record in caplog.records if record.name.startswith("modelspan")]
    assert len(warnings) == (1 if fault.calls else 0), [record.getMessage() for record in warnings]
