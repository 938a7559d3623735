"""Many strings in one run of bytes, as Arrow lays them out, made without a Python object for each where possible."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt


class Texts:
    """UTF-8 strings: string i is `data[offsets[i]:offsets[i + 1]]`."""

    __slots__ = ("data", "offsets")

    def __init__(self, data: bytes, offsets: npt.NDArray[np.int32]) -> None:
        self.data = data
        self.offsets = offsets

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, rows: slice) -> Texts:
        return Texts(self.data, self.offsets[rows.start : rows.stop + 1])

    def taken(self, rows: npt.NDArray[np.intp]) -> Texts:
        """The strings at these places, in this order."""
        starts = self.offsets[:-1][rows].astype(np.int64)
        lengths = np.diff(self.offsets)[rows]
        offsets = _offsets(lengths)
        # Byte k of the result is byte k - offsets[i] of its string i.
        places = np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], lengths)
        return Texts(np.frombuffer(self.data, np.uint8)[places].tobytes(), offsets)

    def size(self) -> int:
        """Bytes of all strings."""
        return int(self.offsets[-1] - self.offsets[0])

    def tolist(self) -> list[str]:
        """The strings."""
        edges = self.offsets.tolist()
        return [self.data[start:stop].decode() for start, stop in itertools.pairwise(edges)]

    def buffers(self) -> tuple[npt.NDArray[np.int32], bytes]:
        """Offsets that start at zero, and only the bytes of these strings."""
        first, last = int(self.offsets[0]), int(self.offsets[-1])
        return (self.offsets, self.data[:last]) if first == 0 else (self.offsets - first, self.data[first:last])


def readable(value: str) -> str:
    """The string, with `?` for what UTF-8 cannot write (surrogates). One such name would cost the SDK a whole export."""
    return value if value.isascii() else value.encode("utf-8", "replace").decode()


MAX_NAME = 900
"""Bytes of a name; a receiver takes 1,024, with what stands before it."""


def short(name: str) -> str:
    """The name; of one that is too long its beginning, and a digest of all of it."""
    if 4 * len(name) <= MAX_NAME or len(encoded := name.encode()) <= MAX_NAME:
        return name
    return f"{encoded[: MAX_NAME - 40].decode(errors='ignore')}...{hashlib.sha256(encoded).hexdigest()[:16]}"


def distinct(labels: Iterable[Any]) -> list[str]:
    """Labels of columns as names that Arrow can write, where a NUL would end them, and not too long; one that was there before gets a
    number: `a`, `a.1`, `a.2`.
    """
    names = [short(readable(str(label)).replace("\0", "?")) for label in labels]
    if len(set(names)) == len(names):
        return names
    taken = set(names)
    found: list[str] = []
    for name in names:
        new = name
        if name in found:
            new = next(other for i in itertools.count(1) if (other := f"{name}.{i}") not in taken)
            taken.add(new)
        found.append(new)
    return found


def from_strings(values: Sequence[str]) -> Texts:
    """The strings in their order."""
    joined = "".join(values)
    if joined.isascii():
        return Texts(joined.encode(), _offsets(np.fromiter(map(len, values), np.int32, len(values))))
    return _from_bytes([value.encode("utf-8", "replace") for value in values])


def chosen(distinct: Sequence[str], place: npt.NDArray[np.intp]) -> Texts:
    """`distinct[i]` for each i of `place`."""
    encoded = [value.encode("utf-8", "replace") for value in distinct]
    if len({len(value) for value in encoded}) == 1 and b"\0" not in b"".join(encoded):
        table = np.array(encoded, dtype=f"S{max(1, len(encoded[0]))}")
        if len(encoded[0]):
            return Texts(table[place].tobytes(), _even(len(place), len(encoded[0])))
    return _from_bytes([encoded[i] for i in place.tolist()])


def numbered(prefix: str, numbers: npt.NDArray[np.int64]) -> Texts:
    """`prefix` and each number as 10 hexadecimal digits."""
    head = np.frombuffer(prefix.encode(), dtype=np.uint8)
    written = np.empty((len(numbers), len(head) + 10), dtype=np.uint8)
    written[:, : len(head)] = head
    pairs = _hex_pairs()
    for digit, shift in enumerate((32, 24, 16, 8, 0)):
        written[:, len(head) + 2 * digit : len(head) + 2 * digit + 2] = pairs[(numbers >> shift) & 255]
    return Texts(written.tobytes(), _even(*written.shape))


def scattered(values: Sequence[str], valid: npt.NDArray[np.bool_]) -> Texts:
    """The strings at the rows that are valid, empty ones elsewhere."""
    dense = from_strings(values)
    lengths = np.zeros(len(valid), dtype=np.int32)
    lengths[valid] = np.diff(dense.offsets)
    return Texts(dense.data, _offsets(lengths))


def joined(parts: Sequence[Texts]) -> Texts:
    """The strings of all parts, one after the other."""
    if len(parts) == 1:
        return parts[0]
    based = [part.buffers() for part in parts]
    lengths = np.concatenate([np.diff(offsets) for offsets, _ in based])
    return Texts(b"".join([data for _, data in based]), _offsets(lengths))


def _from_bytes(values: Sequence[bytes]) -> Texts:
    return Texts(b"".join(values), _offsets(np.fromiter(map(len, values), np.int32, len(values))))


def _offsets(lengths: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    offsets = np.zeros(len(lengths) + 1, dtype=np.int32)
    np.cumsum(lengths, out=offsets[1:])
    return offsets


def _even(count: int, width: int) -> npt.NDArray[np.int32]:
    return np.arange(0, count * width + 1, width, dtype=np.int32)


@lru_cache(maxsize=1)
def _hex_pairs() -> npt.NDArray[np.uint8]:
    return np.frombuffer("".join(f"{value:02x}" for value in range(256)).encode(), dtype=np.uint8).reshape(256, 2)
