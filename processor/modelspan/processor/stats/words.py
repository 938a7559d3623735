"""Numbers and names in the words of a verdict: no rounding noise, no exponent where a figure will do, nothing endless."""

from __future__ import annotations

import math

_MOST_LETTERS = 60


def percent(share: float, digits: int = 3) -> str:
    """A share of rows, 0 to 1, with `digits` significant digits. What is beside 0 % and 100 % is not called 0 % or 100 %."""
    if share < 1e-9:
        return "0 %"
    if share > 1 - 1e-9:
        return "100 %"
    if share < 1e-5:
        return "less than 0.001 %"
    if share > 1 - 1e-5:
        return "more than 99.999 %"
    text = f"{100 * share:.{digits}g}"
    return f"{100 * share:.5g} %" if float(text) >= 100 else f"{text} %"


def percents(first: float, second: float, digits: int = 3) -> tuple[str, str]:
    """Two shares with as many digits as it takes to tell them apart, at most 6."""
    texts = percent(first, digits), percent(second, digits)
    return texts if texts[0] != texts[1] or digits >= 6 or first == second else percents(first, second, digits + 1)


def number(value: float, neighbours: tuple[float, ...] = ()) -> str:
    """A value with about 6 significant digits, or as many more as it takes to tell it from its neighbours."""
    for digits in range(6, 17):
        text = _written(value, digits)
        if all(_written(other, digits) != text for other in neighbours):
            return text
    return repr(value)


def _written(value: float, digits: int) -> str:
    if not 1e-4 <= abs(value) < 1e15:
        return f"{value + 0.0:.{digits}g}"
    whole = max(1, math.floor(math.log10(abs(value))) + 1)
    text = f"{value:,.{max(0, digits - whole)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def shortened(text: str) -> str:
    """A name, cut where it is endless."""
    return text if len(text) <= _MOST_LETTERS else text[: _MOST_LETTERS - 1] + "…"


def quoted(text: str) -> str:
    """A category in quotes, cut where it is endless."""
    return repr(shortened(text))
