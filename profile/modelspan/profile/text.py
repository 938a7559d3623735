"""Text form of numbers that stand beside texts."""

from __future__ import annotations


def number_text(value: float) -> str:
    """A number, but no NaN, in its shortest exact form: whole ones without a fraction."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    return str(value)
