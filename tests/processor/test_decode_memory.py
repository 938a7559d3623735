"""A decoded block is gone as soon as nobody needs it."""

from __future__ import annotations

import gc
import logging

import pytest

from modelspan.processor.decode import decode
from modelspan.processor.journal import Record
from modelspan.semconv import attributes, columns, events
from tests.processor.otlp import MODEL, arrow, batch, log, spans


def records() -> list[Record]:
    several = [{"attributes": {**MODEL, attributes.ML_INPUT_FEATURES: {"a": [i / 3]}}} for i in range(3)]
    alike = [{"attributes": {**MODEL, attributes.ML_INPUT_FEATURES: {"a": i / 3}}} for i in range(50)]
    return [
        batch(arrow({columns.FEATURE_PREFIX + "a": [1.0, 2.0]}), sequence=1),
        batch(b"no Arrow", sequence=2),
        log(events.ML_PREDICTION_ACTUAL, {**MODEL, attributes.ML_PREDICTION_ID: "p0", attributes.ML_ACTUAL_LABEL: "x"}),
        spans([*several, *alike]),
    ]


def test_a_block_leaves_no_cycles_which_would_keep_its_rows_until_the_collector_comes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(logging.root, "handlers", [])  # those of pytest keep what they are given
    decode(records(), token="t", now=1)  # imports and caches are made once
    gc.collect()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        assert decode(records(), token="t", now=1).tables["ml_predictions"].num_rows == 55
        gc.collect()
        assert [type(one) for one in gc.garbage] == []
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
