"""Rules by which a row is kept whatever the probability of sampling, as the configuration writes them."""

from __future__ import annotations

import math
from typing import NamedTuple


class KeepRules(NamedTuple):
    """What is always kept. The text form names them with commas: `error,uncertain:0.05,slow:p99`, or `none`."""

    errors: bool = False
    """Rows of calls that raised."""
    margin: float = 0.0
    """Rows whose two highest class probabilities lie closer together than this."""
    slow_share: float | None = None
    """Calls that take longer than this share of the model's calls so far: 0.99 for `slow:p99`."""
    slow_seconds: float | None = None
    """Calls that take longer, for `slow:250ms`."""


def parse_keep(text: str | KeepRules) -> KeepRules:
    """Read the text form. Raises ValueError for a rule that there is not."""
    if isinstance(text, KeepRules):
        return text
    found: dict[str, bool | float] = {}
    for rule in filter(None, (part.strip().lower() for part in text.split(","))):
        name, _, limit = rule.partition(":")
        if rule == "error":
            found["errors"] = True
        elif name == "uncertain":
            found["margin"] = _between(limit, 1)
        elif name == "slow" and limit.startswith("p"):
            found["slow_share"] = _between(limit[1:], 100) / 100
        elif name == "slow" and limit.endswith("ms"):
            found["slow_seconds"] = _between(limit[:-2], math.inf) / 1000
        elif rule not in ("none", "off", "false"):
            raise ValueError(
                f"{rule!r} is none of error, uncertain:<margin>, slow:p<percentile>, slow:<number>ms, none"
            )
    return KeepRules(**found)  # type: ignore[arg-type]  # each has the type of its field


def _between(text: str, most: float) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < most:
        wanted = "above 0" if most == math.inf else f"between 0 and {most:g}"
        raise ValueError(f"{text!r} must be a number {wanted}")
    return value
