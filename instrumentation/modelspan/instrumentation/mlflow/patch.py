"""Predictions of pyfunc models."""

from __future__ import annotations

from typing import Any

import numpy as np

from modelspan.instrumentation.patching.patches import Patches
from modelspan.instrumentation.patching.wrappers import Described, described
from modelspan.instrumentation.recorder.snapshot import Named
from modelspan.semconv.attributes import MlOperationNameValues

_PREDICT = MlOperationNameValues.PREDICT.value
_OPERATIONS = frozenset(operation.value for operation in MlOperationNameValues)


def predictions(patches: Patches, module: Any) -> None:
    """Record `PyFuncModel.predict`."""
    patches.wrap(module, "PyFuncModel.predict", lambda original: described(original, _described, patches.recorder))


def _described(model: Any, data: Any, params: Any = None) -> Described:
    function = getattr(getattr(model, "_predict_fn", None), "__name__", _PREDICT)
    return Described(model, function if function in _OPERATIONS else _PREDICT, _input_of(data), _output_of)


def _input_of(data: Any) -> Any:
    """A mapping is a table by columns, or one row."""
    if not isinstance(data, dict):
        return data
    if any(isinstance(value, (list, np.ndarray)) for value in data.values()):
        return Named(data)
    return [data]


def _output_of(result: Any) -> Any:
    """The columns of a frame with several of them are outputs that have names."""
    if hasattr(result, "iloc") and len(result.shape) == 2 and result.shape[1] > 1:
        return Named({str(name): result.iloc[:, i].to_numpy() for i, name in enumerate(result.columns)})
    return result
