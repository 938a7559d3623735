"""Array-likes that a program gives beside the inputs of a model: ids, times, segments, labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np


def elements(given: Any) -> list[Any] | None:
    """Elements of a list, array, series, table of one column or other iterable; None where it is one value."""
    if isinstance(given, (str, bytes, bytearray, memoryview, Mapping)):
        return None
    shape = getattr(given, "shape", None)
    if isinstance(shape, tuple) and len(shape) != 1:
        if not shape:
            return None
        if len(shape) != 2 or shape[1] != 1:
            raise ValueError(f"an array of shape {shape} was given: give one value for each row")
        given = _only_column(given)
    if isinstance(given, np.ndarray):
        return list(given) if given.dtype.kind in "Mm" else list(given.tolist())
    for method in ("to_pylist", "to_list", "tolist"):  # of pyarrow, of pandas and polars, of PyTorch and pandas' arrays
        if hasattr(given, method):
            return list(getattr(given, method)())
    if not hasattr(given, "__iter__"):
        return None
    found = list(given)
    of_rows = bool(found) and all(isinstance(row, (list, tuple)) and len(row) == 1 for row in found)
    return [row[0] for row in found] if of_rows else found


def _only_column(given: Any) -> Any:
    """The only column of a table, or of an array of two dimensions."""
    if hasattr(given, "iloc"):
        return given.iloc[:, 0]
    if hasattr(given, "to_series"):
        return given.to_series(0)
    return given.column(0) if hasattr(given, "column") else np.asanyarray(given).reshape(-1)
