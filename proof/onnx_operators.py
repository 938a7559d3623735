"""The tests that ONNX ships for what runs its models, of ONNX Runtime: `pytest --pyargs proof.onnx_operators`."""

from __future__ import annotations

import onnxruntime.backend
from onnx.backend.test import BackendTest

globals().update(BackendTest(onnxruntime.backend, __name__).test_cases)
