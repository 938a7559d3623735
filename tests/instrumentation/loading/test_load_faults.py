"""A fault in what notes loads, or reads sessions, leaves the program as it is, and is said once."""

from __future__ import annotations

import pickle
import shutil
import threading
from pathlib import Path
from typing import Any

import catboost
import cloudpickle
import joblib
import lightgbm as lgb
import numpy as np
import onnxruntime as ort
import pytest
import skops.io
import torch
import xgboost
from onnx import TensorProto, helper
from skl2onnx import to_onnx
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB

from modelspan.instrumentation.loading import LoadingInstrumentor, files
from modelspan.instrumentation.onnxruntime import OnnxRuntimeInstrumentor, packing
from modelspan.instrumentation.sklearn import SklearnInstrumentor
from tests.instrumentation.faults import Instrumented, but, outcome, places

X = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
Y = (X[:, 0] > 0).astype(int)


ALL = places("loading", "onnxruntime")
CALLED_BY_OPENTELEMETRY = ("onnxruntime:OnnxRuntimeInstrumentor.instrumentation_dependencies",)
IN_A_FORK = ("loading.files:._start_over",)
REFUSED = ("onnxruntime.identity:SessionKind.classes", "onnxruntime.identity:SessionKind.feature_names")
"""Questions to models that may go without an answer."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("models")
    model = LogisticRegression().fit(X, Y)
    joblib.dump(model, made / "m.joblib")
    (made / "m.pickle").write_bytes(pickle.dumps(model))
    skops.io.dump(model, made / "m.skops")
    xgboost.XGBClassifier(n_estimators=2, n_jobs=1).fit(X, Y).save_model(made / "xgb.ubj")
    lgb.LGBMClassifier(n_estimators=2, n_jobs=1, verbose=-1).fit(X, Y).booster_.save_model(made / "lgb.txt")
    small = {"iterations": 2, "thread_count": 1, "verbose": 0, "allow_writing_files": False}
    catboost.CatBoostClassifier(**small).fit(X, Y).save_model(str(made / "cat.cbm"))
    torch.manual_seed(0)
    torch.save(torch.nn.Linear(3, 1).state_dict(), made / "linear.pt")
    options = {id(model): {"zipmap": False}}
    (made / "session.onnx").write_bytes(to_onnx(model, X[:1], options=options).SerializeToString())
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Abs", ["x"], ["y"])], "g", ends[:1], ends[1:])
    onnx_model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)
    (made / "sum.onnx").write_bytes(onnx_model.SerializeToString())
    return made


def session_of(model: Any) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 2
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def program(folder: Path) -> list[Any]:
    """What a user does; all results."""
    files._known.clear()  # as in a process that meets these files and outputs for the first time
    packing._layouts.clear()
    with (folder / "m.pickle").open("rb") as file:
        results = [joblib.load(folder / "m.joblib").predict(X), pickle.load(file).predict(X)]
    with (folder / "m.pickle").open("rb") as file:
        results.append(cloudpickle.load(file).predict(X))
    unknown = skops.io.get_untrusted_types(file=folder / "m.skops")
    results.append(skops.io.load(folder / "m.skops", trusted=unknown).predict(X))
    results += [
        lgb.Booster(model_file=folder / "lgb.txt").predict(X, num_threads=1),
        outcome(joblib.load, folder / "none"),
    ]
    results.append(catboost.CatBoostClassifier().load_model(str(folder / "cat.cbm")).predict(X, thread_count=1))
    boosted = xgboost.XGBClassifier(n_jobs=1)
    boosted.load_model(folder / "xgb.ubj")
    module = torch.nn.Linear(3, 1)
    module.load_state_dict(torch.load(folder / "linear.pt"))
    results += [boosted.predict(X), module.weight.detach().numpy(), GaussianNB().fit(X, Y).predict(X)]
    session = session_of(folder / "session.onnx")
    results += [*session.run(None, {"X": X}), outcome(session.run, None, {"X": X[:, :2]}), outcome(session.run, None)]
    described = session_of((folder / "session.onnx").read_bytes())
    for _ in range(3):  # known after the first, packed as the second
        results += described.run(["label"], {"X": X[:1]})
    results += [one.numpy() for one in session.run_with_ort_values(None, {"X": ort.OrtValue.ortvalue_from_numpy(X)})]
    binding = session.io_binding()
    binding.bind_cpu_input("X", X)
    binding.bind_output("label")
    session.run_with_iobinding(binding)
    results += binding.copy_outputs_to_cpu()
    binding.clear_binding_inputs()
    binding.clear_binding_outputs()
    binding.bind_input("X", "cpu", 0, np.float32, X.shape, X.ctypes.data)
    binding.bind_output("probabilities")
    session.run_with_iobinding(binding)
    results += binding.copy_outputs_to_cpu()
    shutil.copy(folder / "sum.onnx", folder / "gone.onnx")
    gone = session_of(folder / "gone.onnx")
    image = ort.OrtValue.ortvalue_from_numpy(np.ones((2, 3, 4), np.float32))
    results.append(gone.run_with_ort_values(None, {"x": image})[0].numpy())
    (folder / "gone.onnx").unlink()
    results += [
        *gone.run(None, {"x": np.ones((2, 3, 4), np.float32)}),
        *gone.run(None, {"x": np.ones((2, 3), np.float32)}),
        *gone.run(None, {"x": np.ones((2600, 900), np.float32)}),  # of which some rows are kept
    ]
    done = threading.Event()
    session.run_async(None, {"X": X}, lambda outputs, _, __: (results.extend(outputs), done.set()), None)
    assert done.wait(10)
    return results


@pytest.fixture(scope="module")
def user(folder: Path) -> Instrumented:
    owners = [joblib, joblib.numpy_pickle, pickle, torch, torch.nn.Module, torch.jit, xgboost.Booster, lgb.Booster]
    owners += [cloudpickle, skops.io, catboost.CatBoost, ort.InferenceSession, ort.IOBinding]
    return Instrumented(
        lambda: program(folder), [SklearnInstrumentor, LoadingInstrumentor, OnnxRuntimeInstrumentor], owners
    )


@pytest.mark.parametrize("place", but(ALL, CALLED_BY_OPENTELEMETRY, IN_A_FORK, REFUSED))
def test_a_fault_changes_no_result_and_is_said_once(
    place: str, user: Instrumented, caplog: pytest.LogCaptureFixture
) -> None:
    assert not user.survives(ALL[place], caplog)


@pytest.mark.parametrize("place", REFUSED)
def test_what_a_model_does_not_answer_is_left_out(
    place: str, user: Instrumented, caplog: pytest.LogCaptureFixture
) -> None:
    assert not user.survives(ALL[place], caplog, warnings=0)
