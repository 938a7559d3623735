"""A record that is larger than a collector takes, as several smaller ones that say the same."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from typing import Any

from modelspan.instrumentation.recorder.events import next_number
from modelspan.instrumentation.recorder.imports import imported
from modelspan.semconv import attributes as ml

_ARROW = "modelspan.instrumentation.recorder.arrow"


def pieces(record: Any, count: int) -> list[Any]:
    """The record of the SDK as about `count` records: a batch by its rows, a reference by its series. A single one is as it was.

    Each piece of a batch has a number of its own, by which the service counts what arrives.
    """
    attributes = record.log_record.attributes or {}
    cut = _batches if ml.ML_PREDICTION_BATCH_DATA in attributes else _references
    return [_with(record, attributes, new) for new in cut(attributes, count)] or [record]


def _batches(attributes: Mapping[str, Any], count: int) -> Iterator[dict[str, Any]]:
    rows = attributes[ml.ML_PREDICTION_BATCH_ROW_COUNT]
    step = -(-rows // count)
    if step >= rows:
        return
    table, _ = imported(_ARROW).read(attributes[ml.ML_PREDICTION_BATCH_DATA])
    for start in range(0, rows, step):
        stop = min(start + step, rows)
        part = {name: column.part(start, stop) for name, column in table.items()}
        yield {
            ml.MODELSPAN_RECORDER_SEQUENCE: next_number(attributes)
            if start
            else attributes[ml.MODELSPAN_RECORDER_SEQUENCE],
            ml.ML_PREDICTION_BATCH_ROW_COUNT: stop - start,
            ml.ML_PREDICTION_BATCH_DATA: imported(_ARROW).stream(part, stop - start),
        }


def _references(attributes: Mapping[str, Any], count: int) -> Iterator[dict[str, Any]]:
    profile = json.loads(attributes.get(ml.ML_REFERENCE_PROFILE_DATA, b"{}"))
    series = profile.get("series", ())
    step = -(-len(series) // count)
    if step >= len(series):
        return
    for start in range(0, len(series), step):
        part = {**profile, "series": series[start : start + step]}
        text = json.dumps(part, ensure_ascii=False, separators=(",", ":"))
        yield {ml.ML_REFERENCE_PROFILE_DATA: text.encode()}


def _with(record: Any, attributes: Mapping[str, Any], new: Mapping[str, Any]) -> Any:
    """A copy of the record with other values of some attributes, each at its place."""
    changed = copy.copy(record)
    log_record = copy.copy(record.log_record)
    log_record.attributes = {name: new.get(name, value) for name, value in attributes.items()}
    object.__setattr__(changed, "log_record", log_record)  # frozen in some versions of the SDK
    return changed
