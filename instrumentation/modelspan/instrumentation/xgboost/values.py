"""The values of a `DMatrix`, by the function of XGBoost's C interface that `DMatrix.get_data` calls. What that does around it takes ten
times as long for one row.
"""

from __future__ import annotations

import ctypes
import sys
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt


class Compressed(NamedTuple):
    """Compressed sparse rows, under SciPy's names."""

    shape: tuple[int, int]
    data: npt.NDArray[np.float32]
    indices: npt.NDArray[np.uint32]
    indptr: npt.NDArray[np.uint64]

    @property
    def nnz(self) -> int:
        """Values that are not missing."""
        return len(self.data)


def compressed(matrix: Any) -> Any:
    """`Compressed`, or SciPy's matrix where this version of XGBoost is not as expected. Raises XGBoost's error if it cannot be read."""
    library = getattr(sys.modules.get("xgboost.core"), "_LIB", None)
    read = getattr(library, "XGDMatrixGetDataAsCSR", None)
    if read is None:
        return matrix.get_data()
    rows, width, filled = matrix.num_row(), matrix.num_col(), matrix.num_nonmissing()
    found = Compressed(
        (rows, width), np.empty(filled, np.float32), np.empty(filled, np.uint32), np.empty(rows + 1, np.uint64)
    )
    to = [ctypes.c_void_p(part.ctypes.data) for part in (found.indptr, found.indices, found.data)]
    return found if read(matrix.handle, b"{}", *to) == 0 else matrix.get_data()


def without(data: Any, missing: float) -> Any:
    """A copy of the input of `inplace_predict`, with NaN for the number that stands for missing."""
    if missing != missing:
        return data
    if hasattr(data, "tocsr"):
        data = data.copy()
        data.data = np.where(data.data == missing, np.nan, data.data)
        return data
    if hasattr(data, "mask"):  # pandas
        return data.mask(data == missing)
    values = np.asarray(data)
    return np.where(values == missing, np.nan, values) if values.dtype.kind in "fiub" else data
