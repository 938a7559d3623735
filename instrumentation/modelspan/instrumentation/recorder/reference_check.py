"""Validation of references: columns that the model takes, and enough rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from modelspan.instrumentation.failure import failed
from modelspan.instrumentation.recorder.attribute import has_method
from modelspan.instrumentation.recorder.feature_names import as_fitted, columns_of, given_names, used_names
from modelspan.instrumentation.recorder.kinds import width_of
from modelspan.instrumentation.recorder.takers import takers

ENOUGH_ROWS = 100
"""With fewer the service tests nothing (`drift.min_rows`)."""
_SHOWN = 5


def wrong_columns(model: Any, x: Any) -> str | None:
    """Return a sentence on the columns that do not fit the model; None if all fit or the model does not know its columns."""
    try:
        own, width = columns_of(x)
        known, takes = given_names(model), width_of(model)
        own = None if own is None else as_fitted(own, known)
    except Exception as error:  # of a class of the program
        failed("compare the columns of a reference with those of the model", error)
        return None
    twice = (
        []
        if own is None or known is None or list(own) == known
        else [name for name, times in Counter(own).items() if times > 1]
    )
    if twice:
        return f"it has more than one column called {listed(twice)}"
    if own is not None and known is not None:
        return _difference(own, known, used_names(model))
    takes = len(known) if known is not None else takes
    dimensions = _dimensions(x)
    if takes is not None and dimensions not in (None, 2):
        return f"it has {_count(dimensions, 'dimension')}, and the model takes a table of {_count(takes, 'column')}"
    if takes is not None and width is not None and width != takes:
        return f"it has {_count(width, 'column')}, and the model takes {takes:,}"
    return None


def chooses_columns(model: Any, x: Any) -> bool:
    """True if the model is a pipeline that may take columns other than those it was fitted with: by their names it takes some of them."""
    inner = takers(model)
    while inner and takers(inner[0]):
        inner = takers(inner[0])
    return bool(inner) and has_method(inner[0], "transform") and hasattr(x, "columns")


def _dimensions(x: Any) -> int | None:
    """Dimensions of an array or a list; None of anything else."""
    shape = getattr(x, "shape", None)
    if shape is not None:
        return len(shape)
    first: Any = x[0] if isinstance(x, (list, tuple)) and x else None
    return 1 if isinstance(first, (bool, int, float, str)) else None


def _difference(own: Sequence[str], known: Sequence[str], used: set[str] | None) -> str | None:
    """How the columns differ from those that the model was fitted with; of those that it does not use none need be there."""
    missing = [name for name in known if name not in own and (used is None or name in used)]
    extra = [] if used is not None else [name for name in own if name not in known]
    if not missing and not extra:
        return None
    parts = [f"it lacks {listed(missing)}"] if missing else []
    parts += [f"the model does not take {listed(extra)}"] if extra else []
    cause = ""
    if missing and {_plain(name) for name in missing} == {_plain(name) for name in extra}:
        cause = " (the names differ in case or separators alone)"
    elif len(extra) == 1 and not missing:
        cause = " (the target?)"
    elif not extra and len(own) < len(known):
        cause = f" ({len(own):,} of {len(known):,} columns)"
    return " and ".join(parts) + cause


def _plain(name: str) -> str:
    return "".join(filter(str.isalnum, name.casefold()))


def listed(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    shown = ", ".join(repr(name) for name in names[:_SHOWN])
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return shown + more


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" + ("" if number == 1 else "s")


def few_rows(rows: int) -> str | None:
    """Return a warning for a reference of too few rows; None if there are enough."""
    if rows >= ENOUGH_ROWS:
        return None
    return (
        f"{_count(rows, 'row')} decide nothing: below {ENOUGH_ROWS} (drift.min_rows of the service) nothing is tested, and a larger reference"
        " stays in force. With 1,000 a change of some 10 % of the rows is found, with 10,000 one of some 3 %."
    )
