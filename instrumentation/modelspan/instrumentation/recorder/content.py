"""A digest of data: what tells whether two models were fitted on the same rows.

SHA-256 over the features in their order, as they may leave the process: of each its name, which of its values are missing, and
its numbers as float64 or its texts, as Arrow would lay them out; of one with both, its numbers and then its texts. So the same values
have the same digest whatever held them, in every process.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

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
    is_text = isinstance(column.values, Texts)
    yield name.encode("utf-8", "replace")
    yield b"text" if is_text else b"number"
    yield b"" if column.valid is None else np.packbits(column.valid).tobytes()
    if is_text:
        offsets, data = column.values.buffers()
        yield offsets.astype("<i4").tobytes()
        yield data
    else:
        yield column.values.astype("<f8").tobytes()
    if column.texts is not None:
        yield from _parts(name, column.texts)
