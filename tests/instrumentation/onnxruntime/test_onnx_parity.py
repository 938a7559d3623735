"""ONNX Runtime does what it does without instrumentation."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from onnxruntime.capi import onnxruntime_inference_collection as module
from sklearn.linear_model import LogisticRegression

from modelspan.instrumentation.onnxruntime import OnnxRuntimeInstrumentor
from tests.instrumentation.onnxruntime.conftest import X, Y, converted, session

CLASSES = (module.Session, module.InferenceSession, module.IOBinding)


def test_results_are_those_of_an_uninstrumented_session(telemetry: Any) -> None:
    made = converted(LogisticRegression().fit(X, Y))
    runs = []
    for _ in range(2):
        runs.append(session(made).run(None, {"X": X}))
        OnnxRuntimeInstrumentor().instrument()
    OnnxRuntimeInstrumentor().uninstrument()
    (labels, scores), (labels_again, scores_again) = runs
    assert type(runs[1]) is list
    assert type(scores_again[0]) is dict
    np.testing.assert_array_equal(labels, labels_again)
    assert scores == scores_again


def test_nothing_is_left_after_uninstrumenting(telemetry: Any) -> None:
    before = [dict(vars(cls)) for cls in CLASSES]
    for _ in range(2):
        OnnxRuntimeInstrumentor().instrument()
        assert vars(module.Session)["run"] is not before[0]["run"]
        OnnxRuntimeInstrumentor().uninstrument()
        assert [dict(vars(cls)) for cls in CLASSES] == before


def test_signatures_and_names_stay(sessions: Any) -> None:
    for cls, name in ((module.Session, "run"), (module.Session, "run_async"), (module.InferenceSession, "__init__")):
        replaced = vars(cls)[name]
        assert replaced.__name__ == name
        assert inspect.signature(replaced) == inspect.signature(replaced.__wrapped__)


def test_a_subclass_is_recorded_once_and_keeps_its_pickles(sessions: Any) -> None:
    class Portable(ort.InferenceSession):
        """Pickled by the bytes of its model, as people do."""

        def __init__(self, content: bytes) -> None:
            super().__init__(content, providers=["CPUExecutionProvider"])
            self.content = content

        def run(self, output_names: Any, input_feed: Any, run_options: Any = None) -> Any:
            return super().run(output_names, input_feed, run_options)[0]

        def __reduce__(self) -> Any:
            return type(self), (self.content,)

    made = Portable(converted(LogisticRegression().fit(X, Y)).SerializeToString())
    cls, arguments = made.__reduce__()
    again = cls(*arguments)
    np.testing.assert_array_equal(made.run(None, {"X": X[:5]}), again.run(None, {"X": X[:5]}))
    assert sessions.rows() == 10


def test_a_session_that_cannot_be_made_raises_its_own_error(sessions: Any) -> None:
    with pytest.raises(Exception, match=r"nowhere\.onnx"):
        session("nowhere.onnx")
    with pytest.raises(TypeError):
        ort.InferenceSession()


def test_a_session_of_before_is_recorded(telemetry: Any) -> None:
    made = session(converted(LogisticRegression().fit(X, Y)))
    OnnxRuntimeInstrumentor().instrument()
    made.run(None, {"X": X[:2]})
    OnnxRuntimeInstrumentor().uninstrument()
    made.run(None, {"X": X[:2]})
    assert telemetry.rows() == 2


def test_importing_the_instrumentor_imports_no_numpy_and_no_onnx_runtime(program: Callable[..., str]) -> None:
    source = """
    import sys
    from modelspan.instrumentation.onnxruntime import OnnxRuntimeInstrumentor
    OnnxRuntimeInstrumentor().instrument()
    print(*({"numpy", "onnxruntime"} & set(sys.modules)))
    import onnxruntime
    from onnxruntime.capi.onnxruntime_inference_collection import Session
    print(hasattr(Session.run, "__wrapped__"))
    """
    assert program(source, prelude="").split() == ["True"]


def test_a_session_and_its_binding_are_not_kept_alive(sessions: Any) -> None:
    import gc
    import weakref

    made = session(converted(LogisticRegression().fit(X, Y), zipmap=False))
    binding = made.io_binding()
    binding.bind_cpu_input("X", X[:2])
    binding.bind_output("label")
    made.run_with_iobinding(binding)
    assert sessions.rows() == 2
    gone = [weakref.ref(made), weakref.ref(binding)]
    del made, binding
    gc.collect()
    assert [one() for one in gone] == [None, None]


def test_a_file_that_is_gone_costs_only_its_digest(sessions: Any, tmp_path: Path) -> None:
    path = tmp_path / "fraud.onnx"
    path.write_bytes(converted(LogisticRegression().fit(X, Y)).SerializeToString())
    made = session(path)
    path.unlink()
    made.run(None, {"X": X[:2]})
    ((attributes, table),) = sessions.batches()
    assert (attributes["ml.model.name"], table.num_rows) == ("fraud", 2)
    assert attributes["ml.model.version"].startswith("fit-")
