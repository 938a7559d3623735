"""Snapshots of what a model returned to output columns."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from modelspan.instrumentation.recorder import columns, kinds, series, tensors
from modelspan.instrumentation.recorder import snapshot as snap
from modelspan.instrumentation.recorder.columns import Column
from modelspan.instrumentation.recorder.snapshot import Snapshot
from modelspan.instrumentation.recorder.values import form, label_text, seconds
from modelspan.semconv import columns as names
from modelspan.semconv.attributes import MlOperationNameValues

PREDICT = MlOperationNameValues.PREDICT.value

Outputs = dict[str, Column]

MAX_CLASSES = 100
"""Classes named one by one, in `ml.model.classes` and as score columns."""


def outputs(parts: Sequence[Snapshot], operation: str, model: Any) -> Outputs:
    """Output columns of snapshots that share kind and layout, one below the other."""
    if parts[0].kind == snap.TENSORS:
        return tensors.outputs(parts)
    if parts[0].kind == snap.SEVERAL:
        return _several(parts, model)
    if parts[0].kind == snap.NAMED or (parts[0].kind == snap.ARRAY and parts[0].layout[0].names):
        return _named(_by_name(parts)) | _tensors(parts)
    values = _values(parts)
    if values is None or _is_empty(values):
        return {}
    # By the first call alone: which others share its batch is chance.
    role = kinds.kind_of(model).role(model, operation, _is_float(values[: max(parts[0].rows, 1)]))
    if role == kinds.SCORE:
        return _scores(values, kinds.classes(model))
    labels, numbers = (values, None) if role == kinds.LABEL else _told_apart(values)
    found = {} if numbers is None else _by_output(numbers, names.VALUE, names.VALUE_PREFIX, _number)
    return found if labels is None else found | _by_output(labels, names.LABEL, names.LABEL_PREFIX, columns.labels)


def _is_empty(values: npt.NDArray[Any]) -> bool:
    """True if there are values, and all are missing: they do not show what the model predicts."""
    return values.dtype.kind == "O" and values.size > 0 and all(form(one) is None for one in values.flat)


def _is_float(values: npt.NDArray[Any]) -> bool:
    """True if the values hold floating-point numbers, missing values aside, and no texts."""
    if values.dtype.kind != "O":
        return values.dtype.kind in "fm"
    forms = [form(one) for one in values.flat]
    return any(isinstance(one, float) for one in forms) and not any(isinstance(one, str) for one in forms)


def _told_apart(values: npt.NDArray[Any]) -> tuple[npt.NDArray[Any] | None, npt.NDArray[Any] | None]:
    """The texts among predicted numbers, which are labels, and the numbers; None where there are none."""
    if values.dtype.kind in "fiubm":
        return None, values
    if values.dtype.kind != "O":
        return values, None
    is_text = np.array([isinstance(form(one), str) for one in values.flat], dtype=bool).reshape(values.shape)
    texts, numbers = values.copy(), values.copy()
    texts[~is_text] = numbers[is_text] = None
    return texts if is_text.any() else None, None if is_text.all() else numbers


def is_number(values: npt.NDArray[Any]) -> bool:
    """True if all values are numbers or missing."""
    return _told_apart(values)[0] is None


def array_of(one: Snapshot) -> npt.NDArray[Any] | None:
    """The values of an output; None of one that has several parts, or cannot be read."""
    found = None if one.kind == snap.ARRAY and one.layout[0].names else _values([one])
    return None if found is None else _flat(found)


def _values(parts: Sequence[Snapshot]) -> npt.NDArray[Any] | None:
    kind = parts[0].kind
    if kind == snap.ARRAY:
        dtype, row_shape = parts[0].layout
        flat = np.frombuffer(b"".join([part.payload for part in parts]), dtype=dtype)
        return flat.reshape(sum(part.rows for part in parts), *row_shape)
    if kind == snap.OBJECTS:
        return np.concatenate([part.payload for part in parts])
    if kind == snap.FRAME_ARRAY:
        by_column = snap.by_column(parts[0].layout, len(parts[0].payload[1]), [part.payload[0] for part in parts])
        return np.transpose(by_column)
    if kind in (snap.PANDAS, snap.POLARS, snap.ARROW):
        return _side_by_side(
            [series.joined([series.column(part, i) for part in parts]) for i in range(parts[0].payload.shape[1])]
        )
    if kind == snap.SPARSE:
        return np.concatenate([part.payload.toarray() for part in parts])
    if kind == snap.SEQUENCE:
        return _table([row for part in parts for row in part.payload])
    return None


def _side_by_side(table: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """Columns as one array, of objects where they differ in type."""
    if len(table) == 1:
        return table[0]
    if len({one.dtype for one in table}) > 1:
        table = [series.as_objects(one) for one in table]
    return np.stack(table, axis=1) if table else np.empty((0, 0))


def _table(rows: list[Any]) -> npt.NDArray[Any]:
    """Rows of a list as an array, of objects where they are not all of one type, so that no value becomes another."""
    width = len(rows[0]) if rows and isinstance(rows[0], list) else 0
    if width and all(isinstance(row, list) and len(row) == width for row in rows):
        return _of_one_type([one for row in rows for one in row]).reshape(len(rows), width)
    return _of_one_type(rows)


def _of_one_type(values: list[Any]) -> npt.NDArray[Any]:
    return np.array(values) if set(map(type, values)) in _TYPES else series.objects(values, len(values))


_TYPES = {float}, {str}, {bool}


def _flat(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values


def _by_output(values: npt.NDArray[Any], whole: str, prefix: str, convert: Any) -> Outputs:
    if values.ndim == 1:
        return {whole: convert(values)}
    values = _matrix(values)
    if values.shape[1] == 1:
        return {whole: convert(values[:, 0])}
    return {f"{prefix}{i}": convert(values[:, i]) for i in range(min(values.shape[1], MAX_CLASSES))}


def _matrix(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The numbers of each row side by side, also of no rows."""
    return values.reshape(len(values), math.prod(values.shape[1:]))


def _number(values: npt.NDArray[Any]) -> Column:
    return columns.from_array(_doubles(values))


def _doubles(values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    if values.dtype.kind == "m":
        return seconds(values)
    if values.dtype.kind == "O":
        values = np.array([form(one) for one in values.flat], dtype=np.float64).reshape(values.shape)
    return np.ascontiguousarray(values, dtype=np.float64)


def _scores(values: npt.NDArray[Any], classes: list[Any] | None) -> Outputs:
    """`score` of the positive class of two, else the highest; and the score of each class."""
    if values.dtype.kind not in "fiub":
        return {}
    if values.ndim == 1:
        return {names.SCORE: _number(values)}
    table = _matrix(values)
    if classes and isinstance(classes[0], list):  # of several outputs, each with the score of its last class
        return {
            f"{names.SCORE_PREFIX}{i}.{label_text(own[-1])}": _number(table[:, i])
            for i, own in enumerate(classes[: table.shape[1]])
        }
    if table.shape[1] < 2:
        return {names.SCORE: _number(table[:, 0])} if table.size else {}
    chosen = table[:, 1] if table.shape[1] == 2 else table.max(axis=1)
    by_class = {
        names.SCORE_PREFIX + name: _number(table[:, i]) for i, name in enumerate(_class_names(classes, table.shape[1]))
    }
    return {names.SCORE: _number(chosen), **by_class}


def _several(parts: Sequence[Snapshot], model: Any) -> Outputs:
    """Scores of a model with several outputs: one array of class scores for each output."""
    classes = kinds.classes(model) or []
    result: Outputs = {}
    for output in range(len(parts[0].payload)):
        values = _values([part.payload[output] for part in parts])
        if values is None or values.ndim != 2 or values.dtype.kind not in "fiub":
            continue
        own = classes[output] if output < len(classes) and isinstance(classes[output], list) else None
        for i, name in enumerate(_class_names(own, values.shape[1])):
            result[f"{names.SCORE_PREFIX}{output}.{name}"] = _number(values[:, i])
    return result


def _tensors(parts: Sequence[Snapshot]) -> Outputs:
    """Tensors among outputs that have names: further outputs by theirs."""
    result: Outputs = {}
    for name, first in parts[0].payload.items() if parts[0].kind == snap.NAMED else ():
        if first.kind == snap.TENSORS:
            result |= tensors.further_outputs([part.payload[name] for part in parts])
    return result


class _ByClass(NamedTuple):
    """A score of each class for each row."""

    classes: list[Any]
    table: npt.NDArray[Any]


def _by_name(parts: Sequence[Snapshot]) -> dict[str, npt.NDArray[Any] | _ByClass | None]:
    """The values of outputs that have names."""
    if parts[0].kind == snap.ARRAY:
        flat = np.frombuffer(b"".join([part.payload for part in parts]), dtype=parts[0].layout[0])
        return {name: _field(flat[name]) for name in flat.dtype.names or ()}
    result: dict[str, npt.NDArray[Any] | _ByClass | None] = {}
    for name in parts[0].payload:
        own = [part.payload[name] for part in parts]
        result[name] = _by_class(own) if _is_by_class(own) else _values(own)
    return result


def _field(values: npt.NDArray[Any]) -> npt.NDArray[Any] | _ByClass:
    classes = values.dtype.names
    if not classes:
        return values
    return _ByClass(list(classes), np.stack([values[name] for name in classes], axis=1))


def _named(outputs: Mapping[str, npt.NDArray[Any] | _ByClass | None]) -> Outputs:
    """Outputs that have names: labels are what is no floating-point number; beside labels, and by their names, numbers are
    scores; what is left are values.
    """
    labels: dict[str, npt.NDArray[Any]] = {}
    numbers: dict[str, npt.NDArray[Any]] = {}
    result: Outputs = {}
    for name, values in outputs.items():
        if isinstance(values, _ByClass):
            result |= _scores(values.table, values.classes)
        elif values is not None and values.ndim:
            (numbers if values.dtype.kind == "f" else labels)[name] = _flat(values)
    scores = {name: values for name, values in numbers.items() if labels or _SCORES.search(name)}
    for name, values in scores.items():
        if values.ndim == 1:
            result[names.SCORE if len(scores) == 1 else names.SCORE_PREFIX + name] = _number(values)
        elif _PROBABILITIES.search(name):
            result |= _scores(values, None)
        else:
            result |= _by_output(values, names.SCORE, names.SCORE_PREFIX, _number)
    result |= _each(labels, names.LABEL, names.LABEL_PREFIX, columns.labels)
    return result | _each(
        {name: numbers[name] for name in numbers if name not in scores}, names.VALUE, names.VALUE_PREFIX, _number
    )


_PROBABILITIES = re.compile("prob", re.IGNORECASE)
_SCORES = re.compile("prob|score", re.IGNORECASE)


def _each(found: Mapping[str, npt.NDArray[Any]], whole: str, prefix: str, convert: Any) -> Outputs:
    """One output alone, or each of several by its name."""
    result: Outputs = {}
    for name, values in found.items():
        alone = len(found) == 1
        own = _by_output(values, whole, prefix if alone else f"{prefix}{name}.", convert)
        result |= own if alone else {key if key != whole else prefix + name: column for key, column in own.items()}
    return result


def _is_by_class(parts: Sequence[Snapshot]) -> bool:
    return all(part.kind == snap.SEQUENCE and part.payload and type(part.payload[0]) is dict for part in parts)


def _by_class(parts: Sequence[Snapshot]) -> _ByClass:
    """Scores as one map of class to score for each row, as converters of scikit-learn models write them."""
    rows = [row for part in parts for row in part.payload]
    classes = list(rows[0])
    table = np.array([[row.get(name, np.nan) for name in classes] for row in rows], dtype=np.float64)
    return _ByClass(classes, table)


def _class_names(classes: list[Any] | None, width: int) -> list[str]:
    if classes is None or len(classes) != width:
        return [str(i) for i in range(min(width, MAX_CLASSES))]
    return [label_text(name) or "" for name in classes[:MAX_CLASSES]]
