"""A profile as the JSON of `ml.reference.profile.data` (docs/wire.md section 3), and back, checked."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelspan.profile.series import KINDS, CategoricalProfile, InvalidProfile, NumericProfile, Profile

FORMAT = 1
MAX_BYTES = 16 * 1024 * 1024
MAX_SERIES = 10_000
MAX_COUNTS = 2_000
"""Bins of one series."""
MAX_TEXT = 8_192
"""Characters of a name or a category."""
MAX_ROWS, MIN_ROWS = 1e12, 1e-6
"""Rows of a reference, which may be weighted. Beyond, what is computed from them is not finite."""


def to_json(profile: Profile) -> bytes:
    """The profile as UTF-8 JSON."""
    document = {"format": FORMAT, "series": [_write(series) for series in profile.series]}
    text = json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode("utf-8", errors="replace")


def from_json(data: bytes) -> Profile:
    """Read what `to_json`, or anyone else, wrote. Raises InvalidProfile, and nothing else, where it cannot be used."""
    if len(data) > MAX_BYTES:
        raise InvalidProfile(f"the profile has {len(data)} bytes; at most {MAX_BYTES} are read")
    try:
        document = json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise InvalidProfile(f"the profile is not UTF-8 JSON: {error}") from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise InvalidProfile(f'the profile must be an object with "format": {FORMAT}')
    entries = document.get("series")
    if not isinstance(entries, list) or len(entries) > MAX_SERIES:
        raise InvalidProfile(f'"series" must be a list of at most {MAX_SERIES} entries')
    profile = Profile(tuple(_read(entry, f"series {index}") for index, entry in enumerate(entries)))
    keys = [(series.kind, series.name) for series in profile.series]
    if len(set(keys)) < len(keys):
        raise InvalidProfile("two series have the same kind and name")
    return profile


def _write(series: NumericProfile | CategoricalProfile) -> dict[str, Any]:
    entry: dict[str, Any] = {"kind": series.kind, "name": series.name}
    shared = {"rows": _short(series.rows), "missing": _short(series.missing)}
    counts = [_short(count) for count in series.counts.tolist()]
    if isinstance(series, CategoricalProfile):
        return {**entry, "type": "categorical", **shared, "categories": list(series.categories), "counts": counts}
    moments = {"mean": series.mean, "stddev": series.stddev, "min": series.min, "max": series.max}
    if series.text:
        shared["text"] = _short(series.text)
    return {**entry, "type": "numeric", **shared, "cuts": series.cuts.tolist(), "counts": counts, **moments}


def _short(number: float) -> float | int:
    return int(number) if float(number).is_integer() else float(number)


def _read(entry: Any, where: str) -> NumericProfile | CategoricalProfile:
    if not isinstance(entry, dict):
        raise InvalidProfile(f"{where} is not an object")
    kind, name = _text(entry, "kind", where), _text(entry, "name", where)
    if kind not in KINDS:
        raise InvalidProfile(f"{where}: kind {kind!r} is none of {', '.join(sorted(KINDS))}")
    where = f"{where} ({kind} {name!r})"
    rows, missing = _count(entry, "rows", where), _count(entry, "missing", where)
    text = _count(entry, "text", where) if "text" in entry else 0.0
    counts = _numbers(entry, "counts", where)
    if (counts < 0).any():
        raise InvalidProfile(f"{where}: a count is negative")
    if not math.isclose(float(counts.sum()) + missing + text, rows, rel_tol=1e-6, abs_tol=1e-6):
        raise InvalidProfile(f"{where}: counts, missing and text do not add up to rows ({rows:g})")
    if rows > MAX_ROWS or 0 < rows < MIN_ROWS or 0 < counts.sum() < MIN_ROWS:
        raise InvalidProfile(
            f"{where}: rows must be 0, or {MIN_ROWS:g} to {MAX_ROWS:g}, and so must be the sum of the counts"
        )
    series_type = _text(entry, "type", where)
    if series_type == "numeric":
        return _numeric(entry, kind, name, rows, missing, text, counts, where)
    if series_type == "categorical":
        categories = _categories(entry, len(counts), where)
        return CategoricalProfile(kind, name, rows, missing, categories, counts)
    raise InvalidProfile(f"{where}: type {series_type!r} is neither numeric nor categorical")


def _numeric(
    entry: dict[str, Any],
    kind: str,
    name: str,
    rows: float,
    missing: float,
    text: float,
    counts: NDArray[np.float64],
    where: str,
) -> NumericProfile:
    cuts = _numbers(entry, "cuts", where)
    if len(counts) != len(cuts) + 1:
        raise InvalidProfile(f"{where}: {len(cuts)} cuts need {len(cuts) + 1} counts, not {len(counts)}")
    if (cuts[1:] <= cuts[:-1]).any():
        raise InvalidProfile(f"{where}: cuts are not strictly increasing")
    mean, stddev, low, high = (_optional(entry, field, where) for field in ("mean", "stddev", "min", "max"))
    if (stddev is not None and stddev < 0) or (low is not None and high is not None and low > high):
        raise InvalidProfile(f"{where}: stddev is negative, or min is above max")
    return NumericProfile(kind, name, rows, missing, cuts, counts, mean, stddev, low, high, text)


def _categories(entry: dict[str, Any], counts: int, where: str) -> tuple[str, ...]:
    categories = entry.get("categories")
    if not isinstance(categories, list) or not all(_is_text(category) for category in categories):
        raise InvalidProfile(f"{where}: categories must be a list of strings of at most {MAX_TEXT} characters")
    if len(set(categories)) < len(categories):
        raise InvalidProfile(f"{where}: a category is listed twice")
    if counts != len(categories) + 1:
        raise InvalidProfile(f"{where}: {len(categories)} categories need {len(categories) + 1} counts, not {counts}")
    return tuple(categories)


def _text(entry: dict[str, Any], field: str, where: str) -> str:
    value = entry.get(field)
    if not _is_text(value):
        raise InvalidProfile(f'{where}: "{field}" must be a string of at most {MAX_TEXT} characters')
    return str(value)


def _is_text(value: Any) -> bool:
    """A string that is not too long. JSON can spell halves of a surrogate pair, which are no character of any text."""
    return isinstance(value, str) and len(value) <= MAX_TEXT and not any("\ud800" <= one <= "\udfff" for one in value)


def _number(value: Any) -> float | None:
    """A finite float of a JSON number, else None."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _count(entry: dict[str, Any], field: str, where: str) -> float:
    number = _number(entry.get(field))
    if number is None or number < 0:
        raise InvalidProfile(f'{where}: "{field}" must be a finite number of at least 0')
    return number


def _optional(entry: dict[str, Any], field: str, where: str) -> float | None:
    value = entry.get(field)
    number = _number(value)
    if value is not None and number is None:
        raise InvalidProfile(f'{where}: "{field}" must be a finite number or null')
    return number


def _numbers(entry: dict[str, Any], field: str, where: str) -> NDArray[np.float64]:
    values = entry.get(field)
    if not isinstance(values, list) or len(values) > MAX_COUNTS:
        raise InvalidProfile(f'{where}: "{field}" must be a list of at most {MAX_COUNTS} numbers')
    numbers = [_number(value) for value in values]
    if None in numbers:
        raise InvalidProfile(f'{where}: "{field}" holds something else than finite numbers')
    return np.array(numbers, dtype=np.float64)
