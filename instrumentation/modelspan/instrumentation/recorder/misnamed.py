"""Model names that a program gives in the place of a model, and that are nearly those of a model which it has: misspelt, perhaps."""

from __future__ import annotations

from modelspan.instrumentation.failure import warn_once
from modelspan.instrumentation.recorder.identity import identities
from modelspan.instrumentation.recorder.unmatched import near

_MOST_COMPARED = 1000


def note_model_name(name: str) -> None:
    """Warn once of a name that no model of this process has, if one has nearly that name. Another process may have a model of it."""
    known = [one.name for one in list(identities.by_id.values())[-_MOST_COMPARED:] if one.name]
    close = "" if name in known else near(name, known)
    if close:
        said = f"No model of this process is named {name!r}; did you mean {close}? It is sent under the name given."
        warn_once(f"misnamed:{name}", said)
