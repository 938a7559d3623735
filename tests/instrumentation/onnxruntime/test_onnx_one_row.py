"""Calls of one row, of which one like the one before takes a way of its own, are recorded as any other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.trace import get_current_span
from sklearn.linear_model import LinearRegression, LogisticRegression

from modelspan.instrumentation import prediction_context
from tests.instrumentation.onnxruntime.conftest import X, Y, converted, session

ROWS = [X[i : i + 1] for i in range(6)]


def columns(telemetry: Any, *prefixes: str) -> dict[str, list[Any]]:
    """Columns of all batches whose names begin so, each below those before."""
    found: dict[str, list[Any]] = {}
    for _, table in telemetry.batches():
        for name in table.column_names:
            if name.startswith(prefixes):
                found.setdefault(name, []).extend(table.column(name).to_pylist())
    return found


def test_one_after_the_other_they_give_what_a_table_of_them_gives(sessions: Any) -> None:
    made = session(converted(LogisticRegression().fit(X, Y), zipmap=False))
    one_by_one = [made.run(None, {"X": row}) for row in ROWS]
    labels, _ = made.run(None, {"X": np.concatenate(ROWS)})
    found = columns(sessions, "label", "score", "feature")
    assert {"label", "score.0", "score.1", "feature.x2"} < found.keys()
    for column in found.values():
        assert column[: len(ROWS)] == column[len(ROWS) :]
    assert [label for (label,), _ in one_by_one] == labels.tolist()


def test_other_outputs_may_be_asked_for_each_time(sessions: Any) -> None:
    made = session(converted(LogisticRegression().fit(X, Y), zipmap=False))
    for _ in range(2):
        made.run(None, {"X": ROWS[0]}), made.run(None, {"X": ROWS[0]})
        made.run(["probabilities"], {"X": ROWS[1]}), made.run(["label"], {"X": ROWS[2]})
    found = columns(sessions, "label", "score", "feature.x0")
    assert (len(found["feature.x0"]), len(found["label"]), len(found["score.1"])) == (8, 6, 6)


def test_their_outputs_may_change_their_widths(sessions: Any) -> None:
    """The first number of a row says how many of the numbers go to the one output, the rest goes to the other."""
    one = helper.make_tensor("one", TensorProto.INT64, [1], [1])
    zero = helper.make_tensor("zero", TensorProto.INT64, [1], [0])
    four = helper.make_tensor("four", TensorProto.INT64, [1], [4])
    nodes = [
        helper.make_node("Slice", ["x", "zero", "one", "one"], ["first"]),
        helper.make_node("Reshape", ["first", "one"], ["flat"]),
        helper.make_node("Cast", ["flat"], ["width"], to=TensorProto.INT64),
        helper.make_node("Slice", ["x", "zero", "width", "one"], ["a"]),
        helper.make_node("Slice", ["x", "width", "four", "one"], ["b"]),
    ]
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, None]) for name in ("a", "b")]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 4])
    made = helper.make_model(
        helper.make_graph(nodes, "g", [x], outputs, [one, zero, four]), opset_imports=[helper.make_opsetid("", 15)]
    )
    made.ir_version = 8
    run = session(made).run
    widths = [1, 1, 3, 3, 1]
    for width in widths:
        a, b = run(None, {"x": np.array([[width, 7, 8, 9]], dtype=np.float32)})
        assert (a.shape, b.shape) == ((1, width), (1, 4 - width))
    seen = [
        (name, table.column(name).to_pylist())
        for _, table in sessions.batches()
        for name in table.column_names
        if name.startswith("value")
    ]
    one_to_a = [("value.a", 1.0), ("value.b.0", 7.0), ("value.b.1", 8.0), ("value.b.2", 9.0)]
    three_to_a = [("value.a.0", 3.0), ("value.a.1", 7.0), ("value.a.2", 8.0), ("value.b", 9.0)]
    flat = sorted((name, value) for name, values in seen for value in values)
    assert flat == sorted(3 * one_to_a + 2 * three_to_a)


def test_an_error_in_one_passes_and_is_recorded(sessions: Any) -> None:
    made = session(converted(LinearRegression().fit(X, X[:, 0])))
    made.run(None, {"X": ROWS[0]}), made.run(None, {"X": ROWS[1]})
    with pytest.raises(ValueError, match="missing from input feed") as raised:
        made.run(None, {"Z": ROWS[2]})
    made.run(None, {"X": ROWS[3]})
    found = columns(sessions, "error_type", "value", "feature.x0")
    assert found["error_type"] == [type(raised.value).__qualname__]
    assert sorted(found["feature.x0"]) == sorted(float(row[0, 0]) for row in ROWS[:4])
    assert len(found["value"]) == 3


def test_they_have_their_trace_and_what_the_program_says_of_them(sessions: Any) -> None:
    made = session(converted(LinearRegression().fit(X, X[:, 0])))
    made.run(None, {"X": ROWS[0]}), made.run(None, {"X": ROWS[1]})
    with sessions.tracer_provider.get_tracer("t").start_as_current_span("request"):
        trace = format(get_current_span().get_span_context().trace_id, "032x")
        made.run(None, {"X": ROWS[2]})
    with prediction_context(ids=["mine"]):
        made.run(None, {"X": ROWS[3]})
    with suppress_instrumentation():
        made.run(None, {"X": ROWS[4]})
    found = columns(sessions, "prediction_id", "trace_id", "feature.x0")
    assert len(found["feature.x0"]) == 4
    assert "mine" in found["prediction_id"]
    assert dict(zip(found["feature.x0"], found["trace_id"], strict=True))[float(ROWS[2][0, 0])] == trace


def test_a_changed_input_is_recorded_as_it_was(sessions: Any) -> None:
    made = session(converted(LinearRegression().fit(X, X[:, 0])))
    row = ROWS[0].copy()
    for i in range(4):
        row[0, 0] = i
        made.run(None, {"X": row})
    row[0, 0] = -1
    assert columns(sessions, "feature.x0") == {"feature.x0": [0.0, 1.0, 2.0, 3.0]}
