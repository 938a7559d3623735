"""Features that the configuration names and no model has: what was to be withheld leaves in clear under the right name.

A process may have several models, and a rule may be for one of them. So a rule is named at once where a model has a feature of nearly
the same name, and else only when no model has had the feature for a while, or at the exit. Rules with `*` are for what may come.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

from modelspan.instrumentation.config import PREFIX
from modelspan.instrumentation.failure import warn_once
from modelspan.instrumentation.recorder.clock import monotonic

PATIENCE = 60.0
"""Seconds after the first model."""
_ALIKE = 0.8
_SHORT = 5
"""Letters; shorter names that differ in one are often names of different things."""
_SHOWN = 3
_MOST = 1000
"""Features and lists of features that are remembered."""


class Unmatched:
    """Names of features in `CAPTURE` and `FEATURES` that have matched no feature yet."""

    def __init__(self, allowed: Iterable[str], ruled: Iterable[str]) -> None:
        self.left = dict.fromkeys(allowed, "CAPTURE") | dict.fromkeys(ruled, "FEATURES")
        """By name: the option that has it."""
        self.left = {name: option for name, option in self.left.items() if "*" not in name}
        self._known: set[tuple[str, ...]] = set()
        self._models: dict[str, str] = {}
        """By name: some of its features."""
        self._since = 0.0

    def see(self, model: str | None, features: Sequence[str], called: Iterable[str]) -> None:
        """Take note of the features of a model, and of what the program calls them."""
        if not self.left or len(self._known) >= _MOST or (key := (model or "", *features)) in self._known:
            return
        self._known.add(key)
        for name in (*features, *called):
            self._match(name)
        if model is None:
            return
        self._since = self._since or monotonic()
        self._models.setdefault(model, ", ".join(features[:_SHOWN]) + (", ..." if len(features) > _SHOWN else ""))
        for name in self.left:
            alike = near(name, features[:_MOST])
            if alike:
                count = f"{len(features):,} feature" + "s"[: len(features) != 1]
                _say(name, self.left[name], f"none of the {count} of model {model}; did you mean {alike}?")

    def _match(self, name: str) -> None:
        """`ssn.1` is treated as `ssn`."""
        while name:
            self.left.pop(name, None)
            name = name.rpartition(".")[0]

    def say(self, *, at_once: bool = False) -> None:
        """Name what no model has had for a while, or so far."""
        if not self.left or not self._models or not (at_once or monotonic() - self._since > PATIENCE):
            return
        models = "; ".join(f"{model} has {features}" for model, features in list(self._models.items())[:_SHOWN])
        for name, option in self.left.items():
            _say(name, option, f"no feature of any model so far ({models}).")
        self.left = {}


def _say(name: str, option: str, problem: str) -> None:
    effect = "Nothing is done to a feature" if option == "FEATURES" else "No feature is captured"
    warn_once(f"unmatched:{name}", f"{PREFIX}{option} names {name!r}, which is {problem} {effect} by that name.")


def near(name: str, known: Sequence[str]) -> str:
    """The one of nearly the same name, quoted; empty where there is none. Names that differ by a number are of different things."""
    plain = _plain(name)
    by_plain = {_plain(feature): feature for feature in known}
    same = [by_plain[plain]] if plain in by_plain else []
    if len(name) < _SHORT:
        return repr(same[0]) if same else ""
    alike = same or [
        by_plain[one] for one in get_close_matches(plain, by_plain, 1, _ALIKE) if not _differ_by_number(one, plain)
    ]
    return repr(alike[0]) if alike else ""


def _plain(name: str) -> str:
    return "".join(filter(str.isalnum, name.casefold()))


def _differ_by_number(one: str, other: str) -> bool:
    return _letters(one) == _letters(other)


def _letters(name: str) -> str:
    return "".join(letter for letter in name if not letter.isdigit())
