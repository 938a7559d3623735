"""What surrounds a call: whether it is nested in another, and what the user said about its rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

PerRow = str | Sequence[str | None]
"""One value for all rows of a prediction, or one for each, None where there is none."""


@dataclass
class PredictionScope:
    """What `prediction_context` says about the predictions made within it."""

    ids: Sequence[str] | None = None
    segment: Mapping[str, PerRow] | None = None
    variant: PerRow | None = None
    times: int | npt.NDArray[np.int64] | None = None
    prediction_ids: Sequence[str] = ()
    """Identifiers of the rows of the last prediction made in the context, in their order."""

    @property
    def identifies(self) -> bool:
        """True if actuals must find each row: the program gave ids, or opened the context for the generated ids alone."""
        return self.ids is not None or (self.segment is None and self.variant is None and self.times is None)

    def of_rows(self, rows: Sequence[int], total: int) -> PredictionScope:
        """Return the scope of some of the `total` rows of a call."""

        def picked(given: Any) -> Any:
            if given is None or isinstance(given, (str, int)) or len(given) != total:
                return given
            return given[rows] if hasattr(given, "dtype") else [given[i] for i in rows]

        segment = None if self.segment is None else {key: picked(value) for key, value in self.segment.items()}
        return PredictionScope(picked(self.ids), segment, picked(self.variant), picked(self.times))


INSIDE = PredictionScope()
"""Stands for an outermost prediction, a fit or a scoring, within which nothing is recorded."""

around: ContextVar[PredictionScope | None] = ContextVar("modelspan_around", default=None)
"""What surrounds the code that runs: INSIDE, what `prediction_context` said, or None."""
