"""Tensors to columns: each row of one as a few numbers that tell when its distribution changes, or as its values.

Only bytes come in here, whatever library the tensors were of.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from modelspan.instrumentation.recorder import columns, kinds
from modelspan.instrumentation.recorder.columns import Column
from modelspan.instrumentation.recorder.feature_names import names_of
from modelspan.instrumentation.recorder.snapshot import Snapshot
from modelspan.semconv import columns as names

SUMMARY, VALUES, NONE = "summary", "values", "none"

MAX_OUTPUTS = 100
"""Numbers in a row up to which an output is the prediction itself. Of a longer one, an embedding or an image, a summary is kept."""
MAX_VALUES = 1000
"""Numbers in a row up to which the values of an input are features, where they are asked for."""
MAX_WIDTH = 16_384
"""Numbers of a row from which its summary is worked out. Of a longer row these are every k-th, k odd."""
PROJECTIONS = 8

Numbers = npt.NDArray[Any]
Path = tuple[int | str, ...]
Columns = dict[str, Column]


class Part(NamedTuple):
    """One tensor of an input or output."""

    path: Path
    """Where it was found: position or name of the argument, then keys and positions within that."""
    dtype: str
    shape: tuple[int, ...]
    """Of a row; of the whole tensor if it has no dimension for the rows."""
    per_row: bool
    step: int
    """1 if all numbers of a row were taken, else k of every k-th."""
    missing: str | None = None
    """Why its bytes were not taken, a value of `ml.capture.unreadable`; None where they were."""


def step_of(width: int) -> int:
    """Every how manieth number of a row of `width` is taken. Odd, so that no power of two hides a part of the row."""
    return 1 if width <= MAX_WIDTH else -(-width // MAX_WIDTH) | 1


def features(parts: Sequence[Snapshot], model: Any, policy: Any) -> Columns:
    """Feature columns of snapshots of one layout: summaries of each tensor, or its values."""
    mode, tensors = parts[0].layout
    labels = kinds.input_names(model)
    found: Columns = {}
    for i, part in enumerate(tensors):
        name = _name(part.path, labels)
        values = _rows([one.payload[i] for one in parts], part, [one.rows for one in parts])
        if mode == VALUES and values is not None and part.step == 1 and values.shape[1] <= MAX_VALUES:
            alone = len(tensors) == 1
            width = values.shape[1]
            heads = names_of(model, width) if alone else [f"{name}.{j}" for j in range(width)]
            found |= {head: columns.from_array(np.ascontiguousarray(values[:, j])) for j, head in enumerate(heads)}
            continue
        rows = sum([one.rows for one in parts])
        found[f"{name}.shape"] = _constant("x".join(map(str, part.shape)), rows)
        found[f"{name}.dtype"] = _constant(part.dtype, rows)
        if values is not None:
            found |= {f"{name}.{key}": column for key, column in summary(values, name, part).items()}
    kept = list(found)
    return {kept[i]: found[kept[i]] for i in policy.choose(kept)}


def outputs(parts: Sequence[Snapshot]) -> Columns:
    """Output columns of snapshots of one layout. The first tensor with at most MAX_OUTPUTS numbers in a row is the prediction;
    the others are named by where they were found.
    """
    return _outputs(parts, _prediction)


def further_outputs(parts: Sequence[Snapshot]) -> Columns:
    """Output columns of snapshots of one layout, none of which is the prediction."""
    return _outputs(parts, None)


def _outputs(parts: Sequence[Snapshot], primary: Callable[[Numbers, Part], Columns] | None) -> Columns:
    _, tensors = parts[0].layout
    found: Columns = {}
    for i, part in enumerate(tensors):
        values = _rows([one.payload[i] for one in parts], part, [one.rows for one in parts]) if part.per_row else None
        if values is None:
            continue
        name = _name(part.path, ())
        if values.shape[1] > MAX_OUTPUTS or part.step > 1:
            prefix = f"{names.VALUE_PREFIX}{name}." if name else names.VALUE_PREFIX
            found |= {prefix + key: column for key, column in summary(values, name or "output", part).items()}
        elif primary is not None:
            found |= primary(values, part)
            primary = None
        else:
            found |= _other(values, name)
    return found


@np.errstate(all="ignore")  # what is too large becomes infinite; the program need not read of it
def summary(values: Numbers, name: str, part: Part) -> Columns:
    """Of each row: Euclidean norm, mean, standard deviation, shares of zeros and of numbers that are not finite, and
    PROJECTIONS random projections (Johnson and Lindenstrauss 1984), whose distribution follows that of the rows.

    `values` is (rows, numbers). Numbers that are not finite count as zero in all but their share.
    """
    real = np.abs(values) if values.dtype.kind == "c" else values
    matrix = real.astype(np.float64 if real.dtype.itemsize > 4 else np.float32, copy=False)
    width = max(1, matrix.shape[1])
    finite = np.isfinite(matrix)
    broken = 1 - finite.sum(axis=1) / width
    if broken.any():
        matrix = np.where(finite, matrix, 0)
    # In doubles: the squares of a long row of numbers are summed.
    squares = np.einsum("ij,ij->i", matrix, matrix, dtype=np.float64)
    mean = matrix.sum(axis=1, dtype=np.float64) / width
    spread = np.sqrt(np.maximum(squares / width - mean**2, 0))
    numbers = int(np.prod(part.shape)) or 1
    found = {
        "norm": np.sqrt(squares * (numbers / width)),
        "mean": mean,
        "std": spread,
        "zeros": 1 - np.count_nonzero(matrix, axis=1) / width - broken,
        "nan": broken,
    }
    projected = matrix.astype(np.float32, copy=False) @ projection(name, matrix.shape[1])
    found |= {f"p{j}": projected[:, j].astype(np.float64) for j in range(PROJECTIONS)}
    return {key: columns.from_array(column) for key, column in found.items()}


def projection(name: str, width: int) -> npt.NDArray[np.float32]:
    """Matrix (width, PROJECTIONS) of normal numbers with variance 1/width, the same in every process.

    One sequence of rows for each name, of which `width` are taken: inputs of different lengths share those that they have.
    """
    drawn = _drawn.get(name)
    if drawn is None or len(drawn) < width:
        # Pythons' own hash of a string differs between processes.
        random = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode())))
        drawn = random.standard_normal((width, PROJECTIONS), dtype=np.float32)
        if len(_drawn) >= _MAX_DRAWN:
            _drawn.pop(next(iter(_drawn)))
        _drawn[name] = drawn
    scale = np.float32(np.sqrt(max(width, 1)))
    return np.asarray(drawn[:width] / scale, dtype=np.float32)


_MAX_DRAWN = 32
_drawn: dict[str, npt.NDArray[np.float32]] = {}


def _rows(data: Sequence[bytes | None], part: Part, rows: Sequence[int]) -> Numbers | None:
    """The numbers (rows, numbers of a row); those of a tensor without rows are repeated. None if they are not known."""
    if part.missing:
        return None
    if part.per_row:
        total = sum(rows)
        flat = decoded(b"".join([one or b"" for one in data]), part.dtype)
        return flat.reshape(total, len(flat) // total) if total else flat.reshape(0, 1)
    return np.concatenate(
        [np.repeat(decoded(one or b"", part.dtype)[None], n, axis=0) for one, n in zip(data, rows, strict=True)]
    )


def decoded(data: bytes, dtype: str) -> Numbers:
    """The numbers in `data`; bfloat16, which NumPy does not have, as float32."""
    if dtype == "bfloat16":
        return (np.frombuffer(data, dtype=np.uint16).astype(np.uint32) << 16).view(np.float32)
    return np.frombuffer(data, dtype=dtype)


def _prediction(values: Numbers, part: Part) -> Columns:
    width = values.shape[1]
    if values.dtype.kind in "iub":
        return _each(values, names.LABEL, names.LABEL_PREFIX, columns.labels)
    if values.dtype.kind == "c":
        values = np.abs(values)
    if width == 1 or len(part.shape) > 1:
        return _each(values, names.VALUE, names.VALUE_PREFIX, _number)
    chosen = values[:, 1] if width == 2 else values.max(axis=1) if width else None
    by_class = {f"{names.SCORE_PREFIX}{j}": _number(values[:, j]) for j in range(width)}
    return by_class if chosen is None else {names.SCORE: _number(chosen), **by_class}


def _other(values: Numbers, name: str) -> Columns:
    if values.dtype.kind in "iub":
        return _each(values, names.LABEL_PREFIX + name, f"{names.LABEL_PREFIX}{name}.", columns.labels)
    real = np.abs(values) if values.dtype.kind == "c" else values
    return _each(real, names.VALUE_PREFIX + name, f"{names.VALUE_PREFIX}{name}.", _number)


def _each(values: Numbers, whole: str, prefix: str, convert: Any) -> Columns:
    if values.shape[1] == 1:
        return {whole: convert(values[:, 0])}
    return {f"{prefix}{j}": convert(values[:, j]) for j in range(values.shape[1])}


def _number(values: Numbers) -> Column:
    return columns.from_array(np.ascontiguousarray(values, dtype=np.float64))


def _constant(value: str, rows: int) -> Column:
    return columns.from_texts([value] * rows)


def _name(path: Path, labels: Sequence[str]) -> str:
    """Name of a tensor by where it was found. `labels` are the names of the positional arguments."""
    if not path:
        return ""
    first, *rest = path
    head = first if isinstance(first, str) else labels[first] if first < len(labels) else _unnamed(first, labels)
    return ".".join([head, *map(str, rest)])


def _unnamed(position: int, labels: Sequence[str]) -> str:
    return str(position) if not labels else f"{labels[-1]}.{position - len(labels) + 1}"
