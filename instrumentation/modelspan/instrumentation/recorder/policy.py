"""What is to be done with features by their name, as the configuration writes it. A rule that cannot be read drops its feature."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from modelspan.instrumentation.failure import warn_once

DROP, HASH, MASK, BUCKET = "drop", "hash", "mask", "bucket"
OFF = "off"
NOTHING = (OFF, "false", "none")
"""How the absence of something may be written: YAML reads `off` as false."""


class Action(NamedTuple):
    """What is done with the values of a feature."""

    kind: str
    width: float = 0.0
    """Of buckets that begin at its multiples; 0 where there are edges."""
    edges: tuple[float, ...] = ()
    """Of buckets, ascending."""


Rules = tuple[tuple[str, Action], ...]
"""Names of features, in which `*` stands for anything, and what is done with those features. A name without `*` comes first,
then the first that fits."""

_DROPPED = Action(DROP)


def parse_features(given: str | Mapping[str, Any] | Iterable[tuple[str, Any]]) -> Rules:
    """Read `age=bucket:10,ssn=drop`, or names and such actions as a mapping or in pairs. Of anything else every feature is dropped."""
    if isinstance(given, str) and given.strip().lower() in NOTHING:
        return ()
    if isinstance(given, str):
        parts = [part.strip() for part in given.split(",") if part.strip()]
        pairs = [(name.strip(), action.strip()) for name, _, action in (part.rpartition("=") for part in parts)]
        pairs = [(name, action) if name else _nameless(action) for name, action in pairs]
    else:
        try:
            pairs = [(str(name), action) for name, action in (given.items() if isinstance(given, Mapping) else given)]
        except (TypeError, ValueError):
            warn_once("feature-rules", f"The rules of features {given!r} are not known; every feature is dropped.")
            return (("*", _DROPPED),)
    return tuple((name, action if isinstance(action, Action) else _parse(name, action)) for name, action in pairs)


def _nameless(text: str) -> tuple[str, str]:
    """An action without a name holds for every feature. Anything else is the name of one: what was meant is unknown, that it is
    not to leave is likely.
    """
    return ("*", text) if text.lower().partition(":")[0] in (DROP, HASH, MASK, BUCKET) else (text, "")


def _parse(name: str, text: Any) -> Action:
    try:
        kind, _, how = str(text).strip().lower().partition(":")
        if kind == BUCKET:
            return _bucket(how)
        if kind not in (DROP, HASH, MASK) or how:
            raise ValueError("an action is drop, hash, mask, bucket:<width> or bucket:<edge>/<edge>/...")
        return Action(kind)
    except ValueError as error:
        warn_once(f"feature-rule:{name}", f"The rule {text!r} of feature {name!r} is not known; it is dropped: {error}")
        return _DROPPED


def _bucket(how: str) -> Action:
    numbers = tuple(float(part) for part in how.split("/"))
    if not all(map(math.isfinite, numbers)) or list(numbers) != sorted(set(numbers)):
        raise ValueError("edges of buckets are ascending numbers")
    if len(numbers) > 1:
        return Action(BUCKET, edges=numbers)
    if numbers[0] <= 0:
        raise ValueError("the width of a bucket is a number above 0")
    return Action(BUCKET, width=numbers[0])


def find_action(rules: Rules, name: str) -> Action | None:
    """The action for a feature. `ssn.1`, the second column of that name, and `image.norm`, which is made of that input, are
    treated as `ssn` and `image` where nothing is said about themselves.
    """
    found = dict(reversed(rules)).get(name) or next((a for pattern, a in rules if _fits(pattern, name)), None)
    whole = name.rpartition(".")[0]
    return find_action(rules, whole) if whole and found is None else found


def _fits(pattern: str, name: str) -> bool:
    return "*" in pattern and re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), name, re.DOTALL) is not None
