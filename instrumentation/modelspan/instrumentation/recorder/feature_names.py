"""Names of features: those of the columns that the model was fitted with, whatever container the program passes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any
from weakref import ref

from modelspan.instrumentation.failure import failed, heard
from modelspan.instrumentation.recorder.kinds import Kind, kind_of
from modelspan.instrumentation.recorder.takers import held_models, takers, used_columns
from modelspan.instrumentation.recorder.texts import distinct

Names = Sequence[Any]
"""Labels of columns, or a range where they have only positions."""

_DEPTH = 5
_seen: dict[int, tuple[ref[Any], Names]] = {}
"""By `id` of a model, whose own hash and equality are never asked: the columns of its fit in this process, or of its reference."""


def names_of(model: Any, width: int, own: Sequence[Any] | None = None) -> list[str]:
    """Names of the features of an input of so many columns, which the input calls `own`, or nothing.

    A feature has one name, however the program passes it: that of the column that the model was fitted with; x0, x1, ... where those
    had no names; its own where the model does not know. Labels that are positions, as pandas, polars and LightGBM make them up,
    are no names.
    """
    known = _known_names(model, width)
    if known is not None and are_positions(known):
        return _positions(width)
    if own is not None and not are_positions(own):
        return distinct(as_fitted(own, known if known is not None else _known_names(model, None)))
    return _positions(width) if known is None else distinct(known)


def order_of(model: Any, names: Sequence[str]) -> Sequence[int]:
    """Positions of names in the order in which the model was fitted with them, then the others: in theirs if they are positions, else
    alphabetically.
    """
    known = _known_names(model, None)
    places = {} if known is None else {str(name): place for place, name in enumerate(known)}
    by_place = are_positions(names)
    return sorted(range(len(names)), key=lambda i: (places.get(names[i], len(places)), "" if by_place else names[i]))


def used_names(model: Any) -> set[str] | None:
    """Names of the features that the model uses, where it says that it leaves out columns of what it is passed; else None."""
    try:
        used = used_columns(model)
        names = None if used is None else _declared(model)
    except Exception as error:
        failed("find out which columns a model uses", error)
        return None
    if used is None or names is None:
        return None
    called = _positions(len(names)) if are_positions(names) else distinct(names)
    return {called[i] for i in used if i < len(called)}


def given_names(model: Any) -> list[str] | None:
    """Names of the columns that a model was fitted with; None where it had none, or does not say."""
    known = _declared(model)
    return None if known is None or not len(known) or are_positions(known) else [str(name) for name in known]


def note_columns(model: Any, x: Any) -> None:
    """Keep the names of the columns that a model is fitted on, where it does not keep them itself."""
    if _declared(model) is not None:
        return
    names, width = columns_of(x)
    columns: Names | None = names if names is not None else None if width is None else range(width)
    if columns is not None:
        key = id(model)
        with suppress(TypeError):  # it cannot be referred to weakly
            _seen[key] = ref(model, lambda _: _seen.pop(key, None)), columns


def columns_of(x: Any) -> tuple[list[Any] | None, int | None]:
    """Labels and number of the columns of an input; None where it has none but positions, or is not a table."""
    names = getattr(x, "column_names", None)  # of Arrow tables, whose `columns` are the values
    if not isinstance(names, list):
        names = getattr(x, "columns", None)
    if names is None and isinstance(x, (list, tuple)) and x and isinstance(x[0], Mapping):
        names = list(dict.fromkeys(key for row in x[:_ROWS] for key in row))
    if names is not None and not callable(names):
        listed = list(names)
        return None if are_positions(listed) else listed, len(listed)
    shape = getattr(x, "shape", None)
    if shape is not None:
        return None, int(shape[1]) if len(shape) == 2 else None
    first: Any = x[0] if isinstance(x, (list, tuple)) and x else None
    is_row = isinstance(first, (list, tuple)) or len(getattr(first, "shape", [])) == 1
    return None, len(first) if is_row else None


_ROWS = 10_000
"""Dicts that are asked for their keys."""


def _known_names(model: Any, width: int | None) -> Names | None:
    """Names of the columns of the model: as it says itself; as its fit in this process was given them; as the first estimator within
    it says that has some for as many columns.
    """
    declared = _declared(model, width or 0)
    if declared is not None:
        return declared if width in (None, len(declared)) else None
    known = _seen.get(id(model))
    seen = known[1] if known is not None and known[0]() is model and width in (None, len(known[1])) else None
    if seen is not None and not are_positions(seen):
        return seen
    return next((names for names in _within(model, _DEPTH) if width in (None, len(names))), seen)


def _declared(model: Any, width: int = 0) -> Names | None:
    """The columns of the model as it says itself; some say it of an input of so many only."""
    kind = kind_of(model)
    try:
        return kind.feature_names(model, width)
    except Exception as error:
        if type(kind) is Kind:
            failed("find out which columns a model was fitted with", error)
        heard(error)  # else it is a model of a library that is not fitted
        return None


def _within(model: Any, depth: int) -> Iterator[Names]:
    """Names that the models within one know, where this does not know what it was fitted on."""
    for inner in (*takers(model), *held_models(model)) if depth else ():
        names = _declared(inner)
        if names is None:
            yield from _within(inner, depth - 1)
        elif not are_positions(names):
            yield names


_MADE_UP = re.compile("(?:x|[Cc]olumn_)?([0-9]+)")


def are_positions(names: Sequence[Any]) -> bool:
    """True if the column names are only positions (0, 1, ...; `x0`; `Column_0`)."""
    return isinstance(names, range) or all(
        (found := _MADE_UP.fullmatch(str(name))) is not None and found[1] == str(place)
        for place, name in enumerate(names)
    )


def _positions(width: int) -> list[str]:
    return [f"x{i}" for i in range(width)]


def as_fitted(own: Sequence[Any], known: Names | None) -> list[str]:
    """The labels of a frame as the model knows them, whose library may have written them in another way."""
    names = set() if known is None else set(map(str, known))
    return [next((written for written in _written(label) if written in names), str(label)) for label in own]


def _written(label: Any) -> Iterator[str]:
    yield str(label)
    if isinstance(label, tuple):
        yield " ".join(map(str, label))  # XGBoost
    yield str(label).replace(" ", "_")  # LightGBM
