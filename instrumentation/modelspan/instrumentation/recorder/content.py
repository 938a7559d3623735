"""A digest of data: what tells whether two models were fitted on the same rows.

SHA-256 over the features in their order, as they may leave the process: of each its name, its type, which of its values are
missing, and its values, as Arrow would lay them out. So the same values have the same digest whatever held them, in every process.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from modelspan.instrumentation.recorder.columns import Column
from modelspan.instrumentation.recorder.texts import Texts

WHOLE, SAMPLE = "sha256", "sample-sha256"


def digest(features: Mapping[str, Column], rows: int) -> str:
    """`sha256:` and the digest of all rows; where the columns hold fewer than `rows`, `sample-sha256:` and that of the sample."""
    sha = hashlib.sha256()
    for name, column in features.items():
        for part in _parts(name, column):
            sha.update(len(part).to_bytes(8, "little"))
            sha.update(part)
    if all(len(column) == rows for column in features.values()):
        return f"{WHOLE}:{sha.hexdigest()}"
    sha.update(rows.to_bytes(8, "little"))
    return f"{SAMPLE}:{sha.hexdigest()}"


def _parts(name: str, column: Column) -> Iterable[bytes]:
    yield name.encode("utf-8", "replace")
    yield column.type.encode()
    yield b"" if column.valid is None else np.packbits(column.valid).tobytes()
    if isinstance(column.values, Texts):
        offsets, data = column.values.buffers()
        yield _little(offsets)
        yield data
    else:
        yield _little(column.values)


def _little(values: Any) -> bytes:
    """The values, little-endian."""
    written: bytes = (values if sys.byteorder == "little" else values.byteswap()).tobytes()
    return written
