"""A session's model is who its file says it is."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from sklearn.linear_model import LinearRegression

from modelspan.instrumentation import identify
from modelspan.semconv import events
from tests.instrumentation.onnxruntime.conftest import X, converted, session

MODEL = LinearRegression().fit(X, X[:, 0])


def loaded(telemetry: Any) -> dict[str, Any]:
    (event,) = telemetry.events(events.ML_MODEL_LOADED)
    return dict(event.attributes)


def test_the_file_gives_name_digest_and_where_it_was(sessions: Any, tmp_path: Path) -> None:
    path = tmp_path / "fraud.onnx"
    path.write_bytes(converted(MODEL).SerializeToString())
    session(path).run(None, {"X": X[:1]})
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    expected = {
        "ml.model.name": "fraud",
        "ml.model.version": f"fit-{digest[:12]}",
        "ml.framework.name": "onnxruntime",
        "ml.task.type": "regression",
        "ml.model.source.uri": str(path),
        "ml.model.source.loader": "onnxruntime.InferenceSession",
        "ml.model.producer": "skl2onnx",
        "ml.model.graph.name": "ONNX(LinearRegression)",
        "artifact.filename": "fraud.onnx",
        "artifact.hash": f"sha256:{digest}",
    }
    assert expected.items() <= loaded(sessions).items()


def test_a_file_and_its_bytes_are_the_same_version(sessions: Any, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(converted(MODEL).SerializeToString())
    for source in (path, str(path), path.read_bytes()):
        session(source).run(None, {"X": X[:1]})
    assert len({a["ml.model.version"] for a, _ in sessions.batches()}) == 1


def test_a_file_that_says_nothing_leaves_the_name_to_its_folder_then_to_the_graph(
    sessions: Any, tmp_path: Path
) -> None:
    made = converted(MODEL).SerializeToString()
    for folder in ("de", "fr"):
        (tmp_path / folder / "1").mkdir(parents=True)
        (tmp_path / folder / "1/model.onnx").write_bytes(made)
        session(tmp_path / folder / "1/model.onnx").run(None, {"X": X[:1]})
    session(made).run(None, {"X": X[:1]})
    assert [a["ml.model.name"] for a, _ in sessions.batches()] == ["de", "fr", "ONNX(LinearRegression)"]


def test_metadata_comes_before_the_file(sessions: Any, tmp_path: Path) -> None:
    made = converted(MODEL)
    helper.set_model_props(made, {"name": "pricing", "version": "7", "run_id": "r1"})
    onnx.save(made, tmp_path / "other.onnx")
    session(tmp_path / "other.onnx").run(None, {"X": X[:1]})
    expected = {"ml.model.name": "pricing", "ml.model.version": "7", "ml.training.run.id": "r1"}
    assert expected.items() <= loaded(sessions).items()


def test_the_number_of_a_model_is_its_version(sessions: Any) -> None:
    made = converted(MODEL)
    made.model_version = 12
    session(made).run(None, {"X": X[:1]})
    assert loaded(sessions)["ml.model.version"] == "12"


def test_what_the_program_and_the_environment_say_comes_first(sessions_with: Any) -> None:
    sessions = sessions_with(model_name="shop")
    made = converted(MODEL)
    helper.set_model_props(made, {"name": "pricing", "version": "7"})
    first, second = session(made), session(made)
    identify(second, name="mine", version="8")
    for one in (first, second):
        one.run(None, {"X": X[:1]})
    assert [(a["ml.model.name"], a["ml.model.version"]) for a, _ in sessions.batches()] == [
        ("shop", "7"),
        ("mine", "8"),
    ]
    assert {e.attributes["ml.model.producer"] for e in sessions.events(events.ML_MODEL_LOADED)} == {"skl2onnx"}


def test_weights_in_another_file_count(sessions: Any, tmp_path: Path) -> None:
    for i in (1, 2):
        (tmp_path / str(i)).mkdir()
        weights = numpy_helper.from_array(np.full((1, 300), i, dtype=np.float32), "w")
        ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 300]) for name in "xy"]
        made = helper.make_model(
            helper.make_graph([helper.make_node("Add", ["x", "w"], ["y"])], "g", ends[:1], ends[1:], [weights]),
            opset_imports=[helper.make_opsetid("", 15)],
        )
        made.ir_version = 8
        path = tmp_path / str(i) / "net.onnx"
        onnx.save(made, str(path), save_as_external_data=True, location="net.data", size_threshold=0)
        session(path).run(None, {"x": np.zeros((1, 300), dtype=np.float32)})
    assert (tmp_path / "1/net.onnx").read_bytes() == (tmp_path / "2/net.onnx").read_bytes()
    assert len({a["ml.model.version"] for a, _ in sessions.batches()}) == 2


def test_one_model_in_several_sessions_is_announced_once(sessions: Any, tmp_path: Path) -> None:
    path = tmp_path / "fraud.onnx"
    path.write_bytes(converted(MODEL).SerializeToString())
    for _ in range(3):
        session(path).run(None, {"X": X[:1]})
    assert len(sessions.events(events.ML_MODEL_LOADED)) == 1
