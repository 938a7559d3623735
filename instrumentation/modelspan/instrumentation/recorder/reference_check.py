"""Validation of references: columns that the model takes, enough rows, known operations and classes of predictions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from modelspan.instrumentation.failure import failed
from modelspan.instrumentation.recorder.feature_names import as_fitted, columns_of, given_names, used_names
from modelspan.instrumentation.recorder.kinds import LABEL, classes, kind_of, width_of
from modelspan.instrumentation.recorder.values import label_text
from modelspan.semconv.attributes import MlOperationNameValues as Operation

ENOUGH_ROWS = 100
"""With fewer the service tests nothing (`drift.min_rows`)."""
_SHOWN = 5
_LABELS = 10_000
"""Predicted labels that are looked at."""


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
        return f"it has more than one column called {_listed(twice)}"
    if own is not None and known is not None:
        return _difference(own, known, used_names(model))
    takes = len(known) if known is not None else takes
    dimensions = _dimensions(x)
    if takes is not None and dimensions not in (None, 2):
        return f"it has {_count(dimensions, 'dimension')}, and the model takes a table of {_count(takes, 'column')}"
    if takes is not None and width is not None and width != takes:
        return f"it has {_count(width, 'column')}, and the model takes {takes:,}"
    return None


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
    parts = [f"it lacks {_listed(missing)}"] if missing else []
    parts += [f"the model does not take {_listed(extra)}"] if extra else []
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


def _listed(names: Sequence[str]) -> str:
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


def wrong_predictions(model: Any, operation: str, values: Any) -> str | None:
    """Return a sentence on predictions of a reference that do not fit the model; None if they do."""
    if operation not in {one.value for one in Operation}:
        return f"predictions of {operation!r}: operations are {', '.join(one.value for one in Operation)}"
    labels = classes(model)
    if labels is None or not labels or isinstance(labels[0], list):
        return None
    shape: tuple[Any, ...] = getattr(values, "shape", ())
    if operation == Operation.PREDICT_PROBA.value and len(shape) == 2 and shape[1] != len(labels):
        return f"predictions have {_count(shape[1], 'column')}, and the model knows {len(labels)} classes"
    is_float = getattr(getattr(values, "dtype", None), "kind", "") == "f"
    if len(shape) < 2 and kind_of(model).role(model, operation, is_float) == LABEL:
        known = {label_text(label) for label in labels}
        found = {label_text(value) for value in list(values)[:_LABELS]} - known - {None}
        if found:
            return f"predicted labels {_listed(sorted(map(str, found)))}, which are no classes of the model"
    return None
