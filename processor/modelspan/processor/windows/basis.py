"""How much a verdict has seen, and whose references: two models may each have one of the same identifier."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import NamedTuple

from .references import Chosen, Source, identity

Origin = list[str | int]
"""Identifier, model, version, service, environment, and when one of that name was last taken back (milliseconds)."""


class Basis(NamedTuple):
    """A verdict of another basis than there is now is stale."""

    rows: int
    length: int
    """Of the window, seconds."""
    reference_id: str
    reference_origins: str
    """Empty: not stored with the verdict."""

    @classmethod
    def of(cls, rows: int, length: float, chosen: Chosen) -> Basis:
        """The basis of a verdict that is given now."""
        origins = sorted({_origin(one) for sources in chosen.values() for one in sources})
        return cls(rows, int(length), identity(chosen), json.dumps(origins, ensure_ascii=False))

    def is_stale(self, now: Basis) -> bool:
        """True if a verdict of this basis no longer holds. Where its origins are not stored, identifiers decide."""
        return self[:3] != now[:3] or self.reference_origins not in ("", now.reference_origins)

    def why_stale(self, now: Basis) -> str:
        """Changes, as sentences."""
        parts = []
        if now.length != self.length:
            parts.append(f"Windows last {now.length:,} s now; this one lasted {self.length:,} s.")
        elif now.rows != self.rows:
            parts.append(f"Predictions came late: {self.rows:,} were there, now {now.rows:,} are.")
        if now.reference_id != self.reference_id and not self.reference_id:
            parts.append(f"It had no reference, and now has {now.reference_id}.")
        elif now.reference_id != self.reference_id:
            parts.append(f"Its reference was {self.reference_id}, and is {now.reference_id or 'none'} now.")
        elif self.reference_origins not in ("", now.reference_origins):
            parts.append(_why_other(json.loads(self.reference_origins), json.loads(now.reference_origins)))
        return " ".join(parts)


def _origin(one: Source) -> tuple[str | int, ...]:
    service, environment, model, version = one.origin
    return one.reference_id, model, version, service, environment, one.withdrawn


def _why_other(old: list[Origin], now: list[Origin]) -> str:
    gone, came = [one for one in old if one not in now], [one for one in now if one not in old]
    if [one[:-1] for one in gone] == [one[:-1] for one in came]:
        return f"Its reference {', '.join(str(one[0]) for one in gone)} was taken back and set again."
    return f"Its reference was {_named(gone)}, and is {_named(came)} now."


def _named(some: Iterable[Origin]) -> str:
    return ", ".join(_in_words(*map(str, one[:-1])) for one in some) or "none"


def _in_words(identifier: str, model: str, version: str, service: str, environment: str) -> str:
    """One reference; what is empty holds for all, and is left out."""
    places = {"version": version, "service": service, "environment": environment}
    where = ", ".join(f"{what} {name}" for what, name in places.items() if name)
    return f"{identifier} of the model {model}" + (f" ({where})" if where else "")
