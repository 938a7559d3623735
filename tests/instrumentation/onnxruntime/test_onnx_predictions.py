"""What a session returns is recorded as what it is, whichever way it is run."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper
from opentelemetry.instrumentation.utils import suppress_instrumentation
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.compose import make_column_transformer
from sklearn.ensemble import IsolationForest
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from tests.instrumentation.onnxruntime.conftest import X, Y, converted, session


def rows(telemetry: Any, *prefixes: str) -> dict[str, list[Any]]:
    """Columns of the only batch whose names begin so."""
    table = telemetry.batch()
    return {name: table.column(name).to_pylist() for name in table.column_names if name.startswith(prefixes)}


def graph(inputs: list[Any], outputs: list[Any], *nodes: Any, **given: Any) -> Any:
    made = helper.make_model(
        helper.make_graph(list(nodes), "g", inputs, outputs), opset_imports=[helper.make_opsetid("", 15)], **given
    )
    made.ir_version = 8
    return made


def numbers(name: str, *shape: Any) -> Any:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


@pytest.mark.parametrize("zipmap", [True, False])
def test_a_classifier_gives_labels_and_the_score_of_each_class(sessions: Any, zipmap: bool) -> None:
    model = LogisticRegression().fit(X, Y)
    labels, scores = session(converted(model, zipmap=zipmap)).run(None, {"X": X[:4]})
    by_class = np.array([[row[0], row[1]] for row in scores] if zipmap else scores, dtype=np.float64)
    assert rows(sessions, "label", "score", "value", "feature") == {
        "label": [str(one) for one in labels],
        "score": by_class[:, 1].tolist(),
        "score.0": by_class[:, 0].tolist(),
        "score.1": by_class[:, 1].tolist(),
        **{f"feature.x{i}": X[:4, i].astype(float).tolist() for i in range(3)},
    }


def test_names_of_classes_come_with_the_scores(sessions: Any) -> None:
    model = LogisticRegression().fit(X, np.array(["no", "yes"])[Y])
    labels, scores = session(converted(model)).run(None, {"X": X[:4]})
    found = rows(sessions, "label", "score")
    assert found["label"] == labels.tolist()
    assert found["score.yes"] == found["score"] == [row["yes"] for row in scores]


def test_a_scores_only_run_gives_scores(sessions: Any) -> None:
    (scores,) = session(converted(LogisticRegression().fit(X, Y), zipmap=False)).run(["probabilities"], {"X": X[:4]})
    assert rows(sessions, "label", "score", "value") == {
        "score": scores[:, 1].astype(float).tolist(),
        "score.0": scores[:, 0].astype(float).tolist(),
        "score.1": scores[:, 1].astype(float).tolist(),
    }


def test_a_regression_gives_values(sessions: Any) -> None:
    (values,) = session(converted(LinearRegression().fit(X, X[:, 0]))).run(None, input_feed={"X": X[:4]})
    assert rows(sessions, "label", "score", "value") == {"value": values[:, 0].astype(float).tolist()}


def test_an_outlier_detector_gives_labels_and_scores(sessions: Any) -> None:
    labels, scores = session(converted(IsolationForest(n_estimators=5, random_state=0).fit(X))).run(None, {"X": X[:4]})
    assert rows(sessions, "label", "score", "value") == {
        "label": [str(one) for one in labels[:, 0]],
        "score": scores[:, 0].astype(float).tolist(),
    }


def test_inputs_of_one_column_are_features_by_their_names(sessions: Any) -> None:
    import pandas as pd

    frame = pd.DataFrame({"city": ["Rome", "Oslo"] * 30, "rooms": X[:, 1]})
    model = make_pipeline(
        make_column_transformer((OneHotEncoder(), ["city"]), ("passthrough", ["rooms"])), LogisticRegression()
    ).fit(frame, Y)
    made = to_onnx(
        model,
        initial_types=[("city", StringTensorType([None, 1])), ("rooms", FloatTensorType([None, 1]))],
        target_opset={"": 15, "ai.onnx.ml": 3},
    )
    feed = {"city": frame[["city"]].to_numpy()[:3], "rooms": X[:3, 1:2]}
    session(made).run(None, feed)
    assert rows(sessions, "feature") == {
        "feature.city": ["Rome", "Oslo", "Rome"],
        "feature.rooms": X[:3, 1].astype(float).tolist(),
    }


def test_columns_of_several_tables_have_the_name_of_their_table(sessions: Any) -> None:
    made = graph(
        [numbers("a", None, 2), numbers("b", None, 1)],
        [numbers("y", None, 2)],
        helper.make_node("Add", ["a", "b"], ["y"]),
    )
    (values,) = session(made).run(["y"], {"a": X[:2, :2], "b": X[:2, 2:]})
    assert list(rows(sessions, "feature")) == ["feature.a.0", "feature.a.1", "feature.b"]
    assert rows(sessions, "value") == {f"value.{i}": values[:, i].astype(float).tolist() for i in range(2)}


def test_several_outputs_have_their_names(sessions: Any) -> None:
    made = graph(
        [numbers("x", None, 1)],
        [numbers("up", None, 1), numbers("down", None, 1)],
        helper.make_node("Abs", ["x"], ["up"]),
        helper.make_node("Neg", ["x"], ["down"]),
    )
    session(made).run(None, {"x": X[:2, :1]})
    assert rows(sessions, "value", "feature") == {
        "value.up": np.abs(X[:2, 0]).astype(float).tolist(),
        "value.down": (-X[:2, 0]).astype(float).tolist(),
        "feature.x": X[:2, 0].astype(float).tolist(),
    }


@pytest.mark.parametrize("names", [["loss", "up"], ["up", "loss"]])
def test_beside_an_output_without_dimensions_the_others_are_recorded(
    sessions: Any, caplog: pytest.LogCaptureFixture, names: list[str]
) -> None:
    made = graph(
        [numbers("x", None, 1)],
        [numbers("loss"), numbers("up", None, 1)],
        helper.make_node("ReduceSum", ["x"], ["loss"], keepdims=0),
        helper.make_node("Abs", ["x"], ["up"]),
    )
    session(made).run(names, {"x": X[:2, :1]})
    assert rows(sessions, "value") == {"value": np.abs(X[:2, 0]).astype(float).tolist()}
    assert not caplog.records


def test_ort_values_are_read_where_they_lie_on_the_cpu(sessions: Any) -> None:
    made = session(converted(LinearRegression().fit(X, X[:, 0])))
    (value,) = made.run_with_ort_values(None, {"X": ort.OrtValue.ortvalue_from_numpy(X[:4])})
    assert rows(sessions, "value", "feature.x0") == {
        "value": value.numpy()[:, 0].astype(float).tolist(),
        "feature.x0": X[:4, 0].astype(float).tolist(),
    }


def test_a_binding_is_read_each_time_it_runs(sessions: Any) -> None:
    made = session(converted(LogisticRegression().fit(X, Y), zipmap=False))
    binding = made.io_binding()
    x = X[:4].copy()
    binding.bind_cpu_input("X", x)
    binding.bind_output("probabilities")
    binding.bind_output("label")
    made.run_with_iobinding(binding)
    x[:] = X[4:8]
    made.run_with_iobinding(binding)
    found = rows(sessions, "label", "score", "feature.x0")
    assert found["feature.x0"] == X[:8, 0].astype(float).tolist()
    assert found["score"][4:] == binding.copy_outputs_to_cpu()[0][:, 1].astype(float).tolist()
    assert len(found["label"]) == 8


def test_an_ort_value_may_be_bound_and_bindings_cleared(sessions: Any) -> None:
    made = session(converted(LinearRegression().fit(X, X[:, 0])))
    binding = made.io_binding()
    binding.bind_cpu_input("X", X[:1])
    binding.clear_binding_inputs()
    binding.bind_ortvalue_input(name="X", ortvalue=ort.OrtValue.ortvalue_from_numpy(X[:3]))
    binding.bind_output("variable")
    made.run_with_iobinding(binding)
    assert rows(sessions, "feature.x1") == {"feature.x1": X[:3, 1].astype(float).tolist()}


def test_an_asynchronous_run_lasts_until_its_callback(sessions: Any) -> None:
    made = session(converted(LogisticRegression().fit(X, Y), zipmap=False))
    done, seen = threading.Event(), []

    def callback(results: Any, user_data: Any, error: str) -> None:
        seen.append((results, user_data, error))
        done.set()

    made.run_async(None, {"X": X[:4]}, callback, "mine")
    assert done.wait(10)
    ((results, user_data, error),) = seen
    assert (user_data, error) == ("mine", "")
    found = rows(sessions, "score", "label", "duration", "feature.x0")
    assert found["score"] == results[1][:, 1].astype(float).tolist()
    assert found["feature.x0"] == X[:4, 0].astype(float).tolist()
    assert found["duration"][0] > 0


def test_an_asynchronous_run_that_fails_is_recorded_with_its_error(sessions: Any) -> None:
    made = session(converted(LinearRegression().fit(X, X[:, 0])))
    done, seen = threading.Event(), []
    made.run_async(None, {"X": X[:4, :2]}, lambda *told: (seen.append(told), done.set()), None)
    assert done.wait(10)
    assert seen[0][2]
    assert rows(sessions, "error_type") == {"error_type": ["RuntimeError"] * 4}


def test_an_error_passes_and_is_recorded(sessions: Any) -> None:
    made = session(converted(LinearRegression().fit(X, X[:, 0])))
    with pytest.raises(Exception, match="dimensions") as raised:
        made.run(None, {"X": X[:2, :2]})
    assert rows(sessions, "error_type") == {"error_type": [type(raised.value).__qualname__] * 2}


def test_arguments_that_make_no_run_raise_as_they_do_without(sessions: Any) -> None:
    made = session(converted(LinearRegression().fit(X, X[:, 0])))
    with pytest.raises(ValueError, match="missing from input feed"):
        made.run(None, {})
    with pytest.raises(TypeError):
        made.run()
    with pytest.raises(AttributeError):
        made.run(None, None)


def test_nothing_is_recorded_under_suppression(sessions: Any) -> None:
    made = session(converted(LinearRegression().fit(X, X[:, 0])))
    done = threading.Event()
    with suppress_instrumentation():
        made.run(None, {"X": X[:1]})
        made.run_async(None, {"X": X[:1]}, lambda *told: done.set(), None)
    assert done.wait(10)  # a session that goes before takes the process with it
    assert sessions.batches() == []


def test_large_calls_are_sampled_with_their_labels(sessions_with: Any) -> None:
    sessions = sessions_with(call_bytes=3000)
    made = session(converted(LogisticRegression().fit(X, Y)))
    many = np.tile(X, (10, 1))
    labels, _ = made.run(None, {"X": many})
    found = rows(sessions, "label", "weight", "feature.x0")
    assert 0 < len(found["label"]) < 600
    assert sum(found["weight"]) == pytest.approx(600)
    by_feature = dict(zip(many[:, 0].astype(float).tolist(), map(str, labels), strict=True))
    assert found["label"] == [by_feature[x] for x in found["feature.x0"]]


def test_large_calls_are_left_out_above_the_share_of_the_time_and_counted(sessions_with: Any) -> None:
    model, many = session(converted(LogisticRegression().fit(X, Y))), np.tile(X, (20, 1))
    labels, _ = model.run(None, {"X": many})
    telemetry = sessions_with(overhead=1e-9)
    for _ in range(6):
        np.testing.assert_array_equal(model.run(None, {"X": many})[0], labels)
    model.run(None, {"X": X[:5]})
    last = telemetry.numbered()[-1]
    assert last["modelspan.recorder.rows.unsampled"] >= 3 * 1200
    assert last["modelspan.recorder.rows.recorded"] + last["modelspan.recorder.rows.unsampled"] == 6 * 1200 + 5


def test_inputs_that_are_no_mapping_raise_as_they_do_without_and_are_no_fault(
    sessions: Any, caplog: pytest.LogCaptureFixture
) -> None:
    made = session(converted(LinearRegression().fit(X, X[:, 0])))
    with pytest.raises(AttributeError, match="keys"):
        made.run(None, [X[:2]])
    assert rows(sessions, "error_type") == {"error_type": ["AttributeError"]}
    assert not caplog.records


def test_a_run_of_no_rows_is_recorded_with_none(sessions: Any, caplog: pytest.LogCaptureFixture) -> None:
    session(converted(LogisticRegression().fit(X, X[:, 0] > 0), zipmap=False)).run(None, {"X": X[:0]})
    assert sessions.rows() == 0
    assert not caplog.records
