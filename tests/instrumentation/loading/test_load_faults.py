"""A fault in what notes loads, or reads sessions, leaves the program as it is, and is said once."""

from __future__ import annotations

import importlib
import inspect
import logging
import pickle
import pkgutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import onnxruntime as ort
import pytest
import torch
import xgboost
from skl2onnx import to_onnx
from sklearn.linear_model import LogisticRegression

from modelspan.instrumentation import failure, flush
from modelspan.instrumentation.loading import LoadingInstrumentor
from modelspan.instrumentation.onnxruntime import OnnxRuntimeInstrumentor
from modelspan.instrumentation.recorder.kinds import Kind
from tests.instrumentation.faults import Fault

X = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
Y = (X[:, 0] > 0).astype(int)


def functions() -> Iterator[tuple[Any, str]]:
    """Every function and method; not what answers for a kind of models, which may refuse without a word."""
    for part in ("loading", "onnxruntime"):
        package = importlib.import_module(f"modelspan.instrumentation.{part}")
        for found in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
            module = importlib.import_module(found.name)
            for name, value in vars(module).items():
                if inspect.isfunction(value) and value.__module__ == module.__name__:
                    yield module, name
                elif inspect.isclass(value) and value.__module__ == module.__name__ and not issubclass(value, Kind):
                    yield from ((value, method) for method, raw in vars(value).items() if inspect.isfunction(raw))


ALL = {f"{getattr(owner, '__qualname__', owner.__name__)}.{name}": (owner, name) for owner, name in functions()}
REPLACED = {"NotedFunction.__call__", "NotedFunction.__init__", "NotedFunction.__eq__", "NotedFunction.__hash__"}
"""These stand for the program's own function."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("models")
    model = LogisticRegression().fit(X, Y)
    joblib.dump(model, made / "m.joblib")
    (made / "m.pickle").write_bytes(pickle.dumps(model))
    xgboost.XGBClassifier(n_estimators=2).fit(X, Y).save_model(made / "m.ubj")
    torch.manual_seed(0)
    torch.save(torch.nn.Linear(3, 1).state_dict(), made / "m.pt")
    options = {id(model): {"zipmap": False}}
    (made / "m.onnx").write_bytes(to_onnx(model, X[:1], options=options).SerializeToString())
    return made


def program(folder: Path) -> list[Any]:
    """What a user does; all results."""
    with (folder / "m.pickle").open("rb") as file:
        results = [joblib.load(folder / "m.joblib").predict(X), pickle.load(file).predict(X)]
    boosted = xgboost.XGBClassifier(n_jobs=1)
    boosted.load_model(folder / "m.ubj")
    module = torch.nn.Linear(3, 1)
    module.load_state_dict(torch.load(folder / "m.pt"))
    results += [boosted.predict(X), module.weight.detach().numpy(), LogisticRegression().fit(X, Y).predict(X)]
    session = ort.InferenceSession(folder / "m.onnx", providers=["CPUExecutionProvider"])
    results += session.run(None, {"X": X})
    results += [one.numpy() for one in session.run_with_ort_values(None, {"X": ort.OrtValue.ortvalue_from_numpy(X)})]
    binding = session.io_binding()
    binding.bind_cpu_input("X", X)
    binding.bind_output("label")
    session.run_with_iobinding(binding)
    results += binding.copy_outputs_to_cpu()
    done = threading.Event()
    session.run_async(None, {"X": X}, lambda outputs, _, __: (results.extend(outputs), done.set()), None)
    assert done.wait(10)
    return results


@pytest.fixture(scope="module")
def expected(folder: Path) -> list[Any]:
    return program(folder)


@pytest.mark.parametrize("place", [place for place in ALL if place not in REPLACED])
def test_a_fault_changes_no_result_and_is_said_once(
    place: str,
    folder: Path,
    expected: list[Any],
    telemetry: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    LoadingInstrumentor().instrument()
    OnnxRuntimeInstrumentor().instrument()
    failure._said.clear()
    try:
        with monkeypatch.context() as patch, caplog.at_level(logging.WARNING):
            fault = Fault(*ALL[place], patch)
            found = program(folder)
            flush(5)
    finally:
        LoadingInstrumentor().uninstrument()
        OnnxRuntimeInstrumentor().uninstrument()
    for one, other in zip(expected, found, strict=True):
        assert type(one) is type(other)
        np.testing.assert_array_equal(one, other)
    warnings = [record for record in caplog.records if record.name.startswith("modelspan")]
    assert len(warnings) == (1 if fault.calls else 0), [record.getMessage() for record in warnings]
