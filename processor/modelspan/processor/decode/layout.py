"""What the columns of a batch are, by their names and types (`docs/wire.md` section 1)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

import pyarrow as pa
from pyarrow import types

from modelspan.processor.decode import rejection
from modelspan.processor.decode.rejection import Rejected
from modelspan.processor.decode.source import refuse_long
from modelspan.semconv import columns as names

Named = list[tuple[str, int]]
"""Key in a map, place of the column; sorted by key."""


@dataclass(frozen=True)
class Layout:
    """Which of a batch's columns are used, and for what. Places count from 0 in `used`."""

    used: list[int]
    """Places in the batch."""
    dictionaries: list[int]
    """Places of strings of which several rows may share one: dictionary-encoded ones, and views."""
    views: list[int]
    """Types of text that are views, in a dictionary or without one."""
    unreadable: list[str]
    """Columns that are not used, because of their types."""
    single: dict[str, int]
    numeric_features: Named = field(default_factory=list)
    text_features: Named = field(default_factory=list)
    segments: Named = field(default_factory=list)
    numeric_outputs: Named = field(default_factory=list)
    text_outputs: Named = field(default_factory=list)


def layout_of(schema: pa.Schema) -> Layout:
    """Sort the columns by their use; unknown names, and columns of null type or one that cannot be read, are left out.

    Raises `Rejected`, also where nothing but unreadable columns says what was predicted.
    """
    try:
        fields = [(f.name, f.type) for f in schema]
    except UnicodeDecodeError as error:
        raise Rejected(rejection.CORRUPT_PAYLOAD, "column name is not UTF-8") from error
    known = [(i, name, kind) for i, (name, kind) in enumerate(fields) if name in _SINGLE or _prefix(name)]
    refuse_long(*(name for _, name, _ in known))
    _refuse_duplicates(name for _, name, _ in known)
    _refuse_missing(dict(fields))
    known = [column for column in known if not types.is_null(column[2])]
    for _, name, kind in known:
        if name in _INDISPENSABLE and not _is_readable(name, kind):
            raise Rejected(rejection.COLUMN_TYPE, f"{name}: {kind}")
    unreadable = [f"{name}: {kind}" for _, name, kind in known if not _is_readable(name, kind)]
    known = [column for column in known if _is_readable(*column[1:])]
    if unreadable and not any(name in _OUTPUTS or _prefix(name) for _, name, _ in known):
        raise Rejected(rejection.COLUMN_TYPE, ", ".join(unreadable[:5]))
    places = {name: place for place, (_, name, _) in enumerate(known)}
    return _sorted_by_use(known, places, unreadable)


def is_text(kind: pa.DataType) -> bool:
    """Strings in any of the accepted encodings."""
    if types.is_dictionary(kind):
        kind = kind.value_type
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def is_view(kind: pa.DataType) -> bool:
    """Strings as views, in a dictionary or without one."""
    return bool(types.is_string_view(kind.value_type if types.is_dictionary(kind) else kind))


def is_number(kind: pa.DataType) -> bool:
    """Integers and floats of any width."""
    return bool(types.is_integer(kind) or types.is_floating(kind))


def _is_feature(kind: pa.DataType) -> bool:
    return is_text(kind) or is_number(kind) or bool(types.is_boolean(kind))


_SINGLE: Final[dict[str, Callable[[pa.DataType], bool]]] = {
    names.TIME: types.is_timestamp,
    names.DURATION: types.is_integer,
    names.SCORE: is_number,
    names.VALUE: is_number,
    names.WEIGHT: is_number,
    **dict.fromkeys(
        (
            names.PREDICTION_ID,
            names.TRACE_ID,
            names.SPAN_ID,
            names.VARIANT,
            names.LABEL,
            names.KEEP_REASON,
            names.ERROR_TYPE,
        ),
        is_text,
    ),
}
_PREFIXED: Final[dict[str, Callable[[pa.DataType], bool]]] = {
    names.FEATURE_PREFIX: _is_feature,
    names.TEXT_PREFIX: is_text,
    names.SEGMENT_PREFIX: is_text,
    names.SCORE_PREFIX: is_number,
    names.VALUE_PREFIX: is_number,
    names.LABEL_PREFIX: is_text,
}


_INDISPENSABLE: Final = frozenset({names.TIME, names.PREDICTION_ID, names.WEIGHT})
"""Columns for which nothing else may stand."""
_OUTPUTS: Final = frozenset({names.LABEL, names.SCORE, names.VALUE})


def _prefix(name: str) -> str:
    return next((prefix for prefix in _PREFIXED if name.startswith(prefix)), "")


def _refuse_duplicates(known: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in known:
        if name in seen:
            raise Rejected(rejection.DUPLICATE_COLUMN, name)
        seen.add(name)


def _refuse_missing(kinds: dict[str, pa.DataType]) -> None:
    for name in (names.TIME, names.PREDICTION_ID):
        if name not in kinds:
            raise Rejected(rejection.MISSING_COLUMN, name)
        if types.is_null(kinds[name]):
            raise Rejected(rejection.MISSING_VALUE, name)


def _is_readable(name: str, kind: pa.DataType) -> bool:
    return (_SINGLE.get(name) or _PREFIXED[_prefix(name)])(kind)


def _sorted_by_use(known: list[tuple[int, str, pa.DataType]], places: dict[str, int], unreadable: list[str]) -> Layout:
    kinds = {name: kind for _, name, kind in known}

    def named(*prefixes: str, of: Callable[[pa.DataType], bool] = lambda kind: True) -> Named:
        chosen = [(n[len(p) :], places[n]) for p in prefixes for n in kinds if _prefix(n) == p and of(kinds[n])]
        _refuse_duplicates(key for key, _ in chosen)
        return sorted(chosen)

    return Layout(
        used=[i for i, _, _ in known],
        dictionaries=[places[name] for name, kind in kinds.items() if types.is_dictionary(kind) or is_view(kind)],
        views=[places[name] for name, kind in kinds.items() if is_view(kind)],
        unreadable=unreadable,
        single={name: places[name] for name in kinds if name in _SINGLE},
        numeric_features=named(names.FEATURE_PREFIX, of=lambda kind: not is_text(kind)),
        text_features=named(names.FEATURE_PREFIX, names.TEXT_PREFIX, of=is_text),
        segments=named(names.SEGMENT_PREFIX),
        numeric_outputs=named(names.SCORE_PREFIX, names.VALUE_PREFIX),
        text_outputs=named(names.LABEL_PREFIX),
    )
