"""Rows of `ml_predictions`, from batches and from single records, until they become one Arrow table for the block."""

from __future__ import annotations

from typing import Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from modelspan.processor.decode.maps import Codes, Entries, Names, concatenated, joined, map_array
from modelspan.processor.decode.tables import PREDICTIONS, SCHEMAS, Model

SECOND: Final = 1_000_000_000

Touched: TypeAlias = dict[Model, set[int]]
"""Seconds of event time (since 1970) into which a block brings predictions, by model."""


class Part(NamedTuple):
    """Some rows: columns and maps by their names in the table, all but the model and the time of insertion."""

    models: Codes
    columns: dict[str, pa.Array]
    maps: dict[str, Entries]


class Predictions:
    """The rows of one block."""

    def __init__(self) -> None:
        self.names = Names()
        self.touched: Touched = {}
        self._codes: dict[Model, int] = {}
        self._parts: list[Part] = []

    def code(self, model: Model) -> int:
        """The number of the model in this block."""
        return self._codes.setdefault(model, len(self._codes))

    @property
    def models(self) -> list[Model]:
        """By code."""
        return list(self._codes)

    def add(self, part: Part) -> None:
        """Append rows."""
        self._parts.append(part)

    def touch(self, model: Model, times: npt.NDArray[np.int64]) -> None:
        """Note the seconds of `times`, nanoseconds."""
        if len(times):
            seconds = self.touched.setdefault(model, set())
            first, last = int(times.min()) // SECOND, int(times.max()) // SECOND
            seconds.update((first, last) if last - first < 2 else np.unique(times // SECOND).tolist())

    def model_codes(self) -> Codes:
        """int32 [rows]: the model of each row."""
        return joined([part.models for part in self._parts])

    def arrow(self, now: int) -> pa.Table:
        """All rows in the order in which they were added. `now`: milliseconds since 1970."""
        codes = self.model_codes()
        names = self.names.array()
        columns = []
        for field in SCHEMAS[PREDICTIONS]:
            if field.name in Model._fields:
                columns.append(self._identity(Model._fields.index(field.name), codes))
            elif field.name == "inserted_at":
                columns.append(pa.repeat(pa.scalar(now, field.type), len(codes)))
            elif pa.types.is_map(field.type):
                columns.append(map_array([part.maps[field.name] for part in self._parts], names, field.type.item_type))
            else:
                columns.append(concatenated([part.columns[field.name] for part in self._parts], field.type))
        return pa.table(columns, names=SCHEMAS[PREDICTIONS].names)

    def _identity(self, place: int, codes: Codes) -> pa.Array:
        values = Names()
        of_model = values.codes([model[place] for model in self._codes])
        return pa.DictionaryArray.from_arrays(pa.array(of_model[codes]), values.array())
