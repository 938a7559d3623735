"""Validation of what a reference holds: values and predictions that the model can have."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from opentelemetry.instrumentation.utils import suppress_instrumentation

from modelspan.instrumentation.recorder import columns, kinds
from modelspan.instrumentation.recorder import snapshot as snap
from modelspan.instrumentation.recorder.attribute import has_method, is_of_library
from modelspan.instrumentation.recorder.columns import Column
from modelspan.instrumentation.recorder.feature_names import given_names
from modelspan.instrumentation.recorder.features import EVERYTHING, Features, features
from modelspan.instrumentation.recorder.outputs import PREDICT, array_of, is_number, outputs
from modelspan.instrumentation.recorder.reference_check import listed
from modelspan.instrumentation.recorder.snapshot import Snapshot
from modelspan.instrumentation.recorder.values import label_text
from modelspan.semconv.attributes import MlOperationNameValues as Operation

_LOOKED_AT = 200
"""Rows of which the types are looked at."""
_TRIED = 5
"""Rows that the model is asked to predict."""
_TABLES = snap.ARRAY, snap.OBJECTS, snap.FRAME_ARRAY, snap.PANDAS, snap.POLARS
_LABELS = 10_000
"""Predicted labels that are looked at."""
_PROBA = Operation.PREDICT_PROBA.value
_ROUNDING = 1e-6


def refusal(model: Any, x: Any, copied: Snapshot) -> Exception | None:
    """The error with which a model refuses to predict some rows; None if it takes any of them, or is not asked.

    Asked are models of libraries alone: what the `predict` of a class of the program does besides, is not known.
    """
    if copied.kind not in _TABLES or not is_of_library(type(model)) or not has_method(model, "get_params"):
        return None
    if not has_method(model, PREDICT) or (has_method(model, "is_fitted") and not model.is_fitted()):
        return None
    places = _spread(copied.rows, _TRIED)
    first, order = None, given_names(model)
    labels = {str(label): label for label in getattr(x, "columns", ())}
    in_order = order is not None and labels.keys() == set(order)
    for some in (places, *places[:, None]):
        rows = snap.pick(x, some)
        error = _error(model, rows[[labels[name] for name in order]] if order is not None and in_order else rows)
        if error is None or type(error).__name__ == "NotFittedError":
            return None
        first = first or error
    return first


def _error(model: Any, rows: Any) -> Exception | None:
    try:
        with suppress_instrumentation(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.predict(rows)
    except Exception as error:
        return error
    return None


def wrong_values(model: Any, x: Any, copied: Snapshot) -> str | None:
    """Return a sentence on values that the model cannot have; None if there are none."""
    if not isinstance(x, (list, tuple)) and not hasattr(x, "shape"):
        return None
    some = _read(snap.copy(snap.pick(x, _spread(copied.rows, _LOOKED_AT))), model)
    if some and _are_empty(some) and _are_empty(_read(copied, model)):
        return "every value is missing"
    if model is None or kinds.takes_texts(model):
        return None
    texts = [name for name, column in some.items() if _has_texts(column)]
    if texts:
        return (
            f"it has texts in {listed(texts)}, and the model takes numbers; convert them first, as before a prediction"
        )
    return None


def _spread(rows: int, most: int) -> Any:
    return np.unique(np.linspace(0, rows - 1, most).astype(np.int64))


def _read(copied: Snapshot, model: Any) -> Features:
    return features([copied], model, EVERYTHING)


def _are_empty(found: Features) -> bool:
    return all(column.is_empty() for column in found.values())


def _has_texts(column: Column) -> bool:
    return column.texts is not None or (column.type == columns.UTF8 and not column.is_empty())


def suspicious(found: Features, rows: int) -> str | None:
    """Return a sentence on features that are possible and seldom meant; None if there are none."""
    if rows > 1 and found and all(_is_constant(column) for column in found.values()):
        return (
            f"all {rows:,} rows are the same: whatever varies in predictions will have changed. Give rows as they come"
        )
    empty = [name for name, column in found.items() if column.is_empty()]
    return f"it has no value of {listed(empty)}: once there are any, they will have changed" if empty else None


def _is_constant(column: Column) -> bool:
    return len(set(column.objects())) < 2


def wrong_predictions(model: Any, operation: str, copied: Snapshot, rows: int) -> str | None:
    """Return a sentence on predictions that the model cannot have made of so many rows; None if it can."""
    if operation not in {one.value for one in Operation}:
        return f"predictions of {operation!r}: operations are {', '.join(one.value for one in Operation)}"
    if copied.rows != rows:
        return f"it has {rows:,} rows and {copied.rows:,} predictions; give the predictions of these rows"
    found, values = outputs([copied], operation, model), array_of(copied)
    if found and all(column.is_empty() for column in found.values()):
        return "every prediction is missing"
    problem = None if model is None or values is None else _unlike(model, operation, values)
    return problem or (None if found else "no predictions can be read")


def _unlike(model: Any, operation: str, values: Any) -> str | None:
    labels = kinds.classes(model)
    role = kinds.kind_of(model).role(model, operation, values.dtype.kind == "f")
    if role != kinds.LABEL and not is_number(values):
        return f"predictions of {operation} are numbers, and texts were given"
    if role == kinds.SCORE and operation in (PREDICT, _PROBA) and values.dtype.kind in "iub":
        return f"predictions of {operation} are scores, and whole numbers were given, as labels are"
    if labels is None or not labels or isinstance(labels[0], list):
        return None
    if operation == _PROBA:
        return _no_probabilities(labels, values)
    return _other_labels(labels, values) if role == kinds.LABEL and values.ndim < 2 else None


def _no_probabilities(labels: Sequence[Any], values: Any) -> str | None:
    if values.ndim == 2 and values.shape[1] != len(labels):
        width = values.shape[1]
        return f"predictions have {width:,} column{'s'[: width != 1]}, and the model knows {len(labels)} classes"
    if np.nanmin(values) < -_ROUNDING or np.nanmax(values) > 1 + _ROUNDING:
        return f"probabilities are between 0 and 1, and these are between {np.nanmin(values):.6g} and {np.nanmax(values):.6g}"
    return None


def _other_labels(labels: Sequence[Any], values: Any) -> str | None:
    known = {label_text(label) for label in labels}
    found = {label_text(value) for value in values[:_LABELS].tolist()} - known - {None}
    if not found:
        return None
    scores = " (scores? give what predict_proba returned)" if values.dtype.kind == "f" else ""
    return f"predicted labels {listed(sorted(map(str, found)))}, which are no classes of the model{scores}"
