"""Identifiers of predictions, as the program has them, to the texts by which actuals find them."""

from __future__ import annotations

from typing import Any

from modelspan.instrumentation.recorder.elements import elements
from modelspan.instrumentation.recorder.values import label_text


def id_text(value: Any) -> str | None:
    """Text of an identifier, the same for 90001, 90001.0 and "90001"; None where it is missing. Bytes that are no text become
    hexadecimal digits.
    """
    if type(value) is str:
        return value or None
    if isinstance(value, (bytes, bytearray, memoryview)):
        try:
            return bytes(value).decode() or None
        except UnicodeDecodeError:
            return bytes(value).hex()
    return label_text(value) or None


def id_texts(given: Any) -> list[str | None]:
    """`id_text` of one identifier, or of each of an array-like."""
    found = elements(given)
    return [id_text(given)] if found is None else [id_text(one) for one in found]
