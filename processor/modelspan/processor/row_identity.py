"""Telling rows apart by what they hold: the same row of the same request has the same identity in every table it comes in."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import pyarrow as pa
import pyarrow.compute as pc
import xxhash

_GLANCE = 64
"""Characters of a text by which rows are told apart at first."""


def identities(rows: pa.Table, places: Collection[int]) -> list[tuple[str, str]]:
    """For each of the places: the row at a glance, and the digest of all of it."""
    glances = _glances(rows)
    return [(glances[place].as_py(), _digest(rows, place)) for place in places]


def found(rows: pa.Table, wanted: Collection[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Yield the wanted rows that the table holds."""
    alike = pc.is_in(_glances(rows), pa.array({glance for glance, _ in wanted}, pa.string()))
    for place in pc.indices_nonzero(alike).to_pylist():
        identity = (_glances(rows.slice(place, 1))[0].as_py(), _digest(rows, place))
        if identity in wanted:
            yield identity


def _glances(rows: pa.Table) -> pa.ChunkedArray:
    texts = [_text(column) for column in rows.columns if not pa.types.is_nested(column.type)]
    return pc.binary_join_element_wise(*texts, "\0", null_handling="replace", null_replacement="-")


def _text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_fixed_size_binary(column.type):
        return pa.chunked_array([pa.array([value.hex() for value in column.to_pylist()], pa.string())])
    return pc.utf8_slice_codeunits(column.cast(pa.string()), 0, _GLANCE)


def _digest(rows: pa.Table, place: int) -> str:
    return xxhash.xxh3_128_hexdigest(repr(rows.slice(place, 1).to_pylist()).encode("utf-8", "surrogatepass"))
