"""Actual labels in the spelling of the model that predicted them: True, 1, "1.0" and "True" are one class."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from typing import Any

from modelspan.instrumentation.recorder import columns
from modelspan.instrumentation.recorder.columns import Column
from modelspan.instrumentation.recorder.values import label_text
from modelspan.profile.text import number_text

_TRUTH = {"true": "1", "false": "0"}


def as_classes(labels: Column, classes: Iterable[Any]) -> Column:
    """The labels, each that is no class but equals one as a number or truth value in the text of that class."""
    known = {label_text(one) for one in classes}
    given = labels.objects()
    if known.issuperset(given):
        return labels
    keys = Counter(_key(text) for text in known if text is not None)
    of_key = {key: text for text in known if text is not None and keys[key := _key(text)] == 1}
    return columns.from_texts([one if one is None or one in known else of_key.get(_key(one), one) for one in given])


def _key(text: str) -> str:
    """A key that texts of equal numbers and truth values share."""
    try:
        number = float(_TRUTH.get(text.lower(), text))
    except ValueError:
        return text
    return number_text(number) if math.isfinite(number) else text
