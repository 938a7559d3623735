"""Inputs and outputs of a session as what the recorder copies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from modelspan.instrumentation.onnxruntime.packing import MAX_WIDTH, pack
from modelspan.instrumentation.onnxruntime.tensors import Input, Output, Tensor, of_array, of_ort_value
from modelspan.instrumentation.recorder.snapshot import Named, Unreadable
from modelspan.semconv.attributes import MlCaptureUnreadableValues as Reason
from modelspan.semconv.attributes import MlOperationNameValues

PREDICT = MlOperationNameValues.PREDICT.value


def input_of(feed: Mapping[str, Any]) -> Any:
    """The only input, which needs no name, or all by name."""
    if not isinstance(feed, Mapping):  # which the session refuses
        return Unreadable(Reason.UNKNOWN_TYPE, ())
    if len(feed) == 1:
        for name, value in feed.items():
            only = readable(value, name)
            if type(only) is np.ndarray:
                return only
            return Named({name: only})
    return Named({name: readable(value, name) for name, value in feed.items()})


def output_of(names: Sequence[str], values: Sequence[Any], session: Any) -> Any:
    """The output of a session that has one, or all by name."""
    if len(values) == 1 and len(output_names(session)) == 1:
        only = readable(values[0], "", Output)
        if type(only) in (np.ndarray, Output):
            return only
    packed = pack(tuple(names), values)
    if packed is not None:
        return packed
    parts = {name: readable(value, name, Output) for name, value in zip(names, values, strict=False)}
    # An array without dimensions, as a loss, is of no row, and would leave the rows of the others unknown.
    of_rows = {name: part for name, part in parts.items() if type(part) is not np.ndarray or part.shape}
    return Named(of_rows or parts)


def readable(value: Any, name: str, kind: type[Tensor] = Input) -> Any:
    """A table, list of rows or tensor that can be recorded; of any other value its shape."""
    if type(value) is np.ndarray:
        return (
            (of_array(kind, value, name) or Unreadable(Reason.UNKNOWN_TYPE, value.shape))
            if _is_large(value.shape)
            else value
        )
    if hasattr(value, "device_name"):
        return _of_ort_value(value, name, kind)
    return value


def _is_large(shape: Sequence[int]) -> bool:
    return len(shape) > 2 or (len(shape) == 2 and shape[1] > MAX_WIDTH)


def _of_ort_value(value: Any, name: str, kind: type[Tensor]) -> Any:
    if not value.is_tensor():
        return Unreadable(Reason.UNKNOWN_TYPE, ())
    shape = value.shape()
    if value.device_name() != "cpu":  # reading from another device would wait for it
        return Unreadable(Reason.DEVICE, shape)
    if not _is_large(shape):
        try:
            return value.numpy()
        except RuntimeError:  # of a type that NumPy does not have, as bfloat16
            if not shape:
                return Unreadable(Reason.UNKNOWN_TYPE, shape)
    return of_ort_value(kind, value, shape, name) or Unreadable(Reason.UNKNOWN_TYPE, shape)


_output_names: WeakKeyDictionary[Any, tuple[str, ...]] = WeakKeyDictionary()


def output_names(session: Any) -> tuple[str, ...]:
    """Names of all outputs of a session."""
    found = _output_names.get(session)
    if found is None:
        found = _output_names[session] = tuple(output.name for output in session.get_outputs())
    return found
