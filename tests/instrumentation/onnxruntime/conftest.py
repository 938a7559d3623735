"""ONNX models and an instrumented ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from onnx import ModelProto
from skl2onnx import to_onnx

from modelspan.instrumentation.onnxruntime import OnnxRuntimeInstrumentor

X = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
Y = (X[:, 0] > 0).astype(int)


def converted(model: Any, **options: Any) -> ModelProto:
    """A fitted scikit-learn model of three numbers as an ONNX model."""
    return to_onnx(
        model, X[:1], options={id(model): options} if options else None, target_opset={"": 15, "ai.onnx.ml": 3}
    )


def session(model: Any) -> ort.InferenceSession:
    """A session of an ONNX model, of its bytes or its file."""
    source = model.SerializeToString() if isinstance(model, ModelProto) else model
    return ort.InferenceSession(source, providers=["CPUExecutionProvider"])


@pytest.fixture
def sessions(telemetry: Any) -> Iterator[Any]:
    """Telemetry of ONNX Runtime."""
    OnnxRuntimeInstrumentor().instrument()
    yield telemetry
    OnnxRuntimeInstrumentor().uninstrument()


@pytest.fixture
def sessions_with(telemetry: Any, again: Callable[..., Any]) -> Iterator[Callable[..., Any]]:
    """Telemetry of ONNX Runtime with options."""

    def instrument(**options: Any) -> Any:
        again(**options)
        OnnxRuntimeInstrumentor().instrument()
        return telemetry

    yield instrument
    OnnxRuntimeInstrumentor().uninstrument()
