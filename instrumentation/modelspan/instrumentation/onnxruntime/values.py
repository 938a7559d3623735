"""Inputs and outputs of a session as what the recorder copies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from modelspan.instrumentation.onnxruntime.packing import MAX_WIDTH, pack
from modelspan.instrumentation.recorder.snapshot import Named
from modelspan.semconv.attributes import MlOperationNameValues

PREDICT = MlOperationNameValues.PREDICT.value


class Unread:
    """A tensor of which only the shape is known."""

    __slots__ = ("shape",)

    def __init__(self, shape: Sequence[int]) -> None:
        self.shape = tuple(map(int, shape))


def input_of(feed: Mapping[str, Any]) -> Any:
    """The only input, which needs no name, or all by name."""
    if len(feed) == 1:
        for value in feed.values():
            only = readable(value)
            if type(only) is np.ndarray:
                return only
    return Named({name: readable(value) for name, value in feed.items()})


def output_of(names: Sequence[str], values: Sequence[Any], session: Any) -> Any:
    """The output of a session that has one, or all by name."""
    if len(values) == 1 and len(output_names(session)) == 1:
        only = readable(values[0])
        if type(only) is np.ndarray:
            return only
    packed = pack(tuple(names), values)
    if packed is not None:
        return packed
    return Named({name: readable(value) for name, value in zip(names, values, strict=False)})


def readable(value: Any) -> Any:
    """An array, or list, of rows that can be recorded; of any other value its shape."""
    if type(value) is np.ndarray:
        wide = value.ndim > 2 or (value.ndim == 2 and value.shape[1] > MAX_WIDTH)
        return Unread(value.shape) if wide else value
    if hasattr(value, "device_name"):
        return _of_ort_value(value)
    return value


def _of_ort_value(value: Any) -> Any:
    if not value.is_tensor():
        return Unread(())
    shape = value.shape()
    if value.device_name() != "cpu" or len(shape) > 2:  # reading from another device would wait for it
        return Unread(shape)
    return value.numpy()


_output_names: WeakKeyDictionary[Any, tuple[str, ...]] = WeakKeyDictionary()


def output_names(session: Any) -> tuple[str, ...]:
    """Names of all outputs of a session."""
    found = _output_names.get(session)
    if found is None:
        found = _output_names[session] = tuple(output.name for output in session.get_outputs())
    return found
