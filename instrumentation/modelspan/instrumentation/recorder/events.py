"""Events: batches of predictions, and what is said about a model once."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from opentelemetry._logs import Logger, SeverityNumber

from modelspan.instrumentation.recorder.columns import Column
from modelspan.instrumentation.recorder.identity import Identity
from modelspan.instrumentation.recorder.imports import imported
from modelspan.instrumentation.recorder.kinds import classes
from modelspan.instrumentation.recorder.outputs import MAX_CLASSES
from modelspan.instrumentation.recorder.signals import Signals
from modelspan.instrumentation.recorder.texts import Texts, readable
from modelspan.instrumentation.recorder.values import label_text
from modelspan.semconv import attributes as ml
from modelspan.semconv import events as names

BATCH_BYTES = 512 * 1024
FLUSH_BYTES = 2 * 1024 * 1024
"""Emitted bytes after which the SDK is asked to export. Its own queue is bounded by records alone: 2048 of ours would be 1 GB.
Encoding a request of 8 MB takes more than twice as long for each byte, and a gRPC server takes 4 MB unless told otherwise.
While the collector is down this blocks the background thread, and the bounded queue of calls fills instead."""


_ARROW = "modelspan.instrumentation.recorder.arrow"
"""Imported with the first batch: a program that makes none needs no Arrow."""


class BatchEmitter:
    """Emits tables as `ml.prediction.batch` events, numbered, with the rows that were recorded and lost so far."""

    def __init__(self, signals: Signals, recorder_id: str, most_rows: int) -> None:
        self._signals = signals
        self._recorder_id = recorder_id
        self._most_rows = most_rows
        self._sequence = 0
        self._recorded = 0
        self._unflushed = 0
        self.dropped = 0
        """Rows lost so far."""
        self.unsampled = 0
        """Rows so far that sampling left out."""
        self._said = (0, 0)
        self._latest: Mapping[str, Any] | None = None

    def emit(self, logger: Logger, table: Mapping[str, Column], rows: int, attributes: Mapping[str, Any]) -> None:
        """Emit `rows` rows in as many events as their limits ask for."""
        for start in range(0, rows, self._most_rows):
            stop = min(start + self._most_rows, rows)
            self._emit_part(logger, table, start, stop, attributes)

    def _emit_part(
        self, logger: Logger, table: Mapping[str, Column], start: int, stop: int, attributes: Mapping[str, Any]
    ) -> None:
        rows = stop - start
        step = max(1, int(BATCH_BYTES * 0.9) // _row_bytes(table, start, stop))
        if step < rows:
            for inner in range(start, stop, step):
                self._emit_part(logger, table, inner, min(inner + step, stop), attributes)
            return
        data = imported(_ARROW).stream({name: column.part(start, stop) for name, column in table.items()}, rows)
        self._recorded += rows
        payload = {
            ml.ML_PREDICTION_BATCH_DATA: data,
            ml.ML_PREDICTION_BATCH_FORMAT: ml.MlPredictionBatchFormatValues.ARROW_STREAM.value,
        }
        self._latest = attributes
        try:
            self._number(logger, {**attributes, **payload}, rows)
        except BaseException:
            self._recorded -= rows
            raise
        self._unflushed += len(data)

    @property
    def accounted(self) -> int:
        """Rows so far that were recorded or left out."""
        return self._recorded + self.unsampled

    def account(self, logger: Logger | None) -> None:
        """Emit a batch without rows if more were lost or left out since the last batch: it says how many."""
        if logger is not None and self._latest is not None and (self.dropped, self.unsampled) != self._said:
            self._number(logger, self._latest, 0)

    def _number(self, logger: Logger, attributes: Mapping[str, Any], rows: int) -> None:
        counters = {
            ml.ML_PREDICTION_BATCH_ROW_COUNT: rows,
            ml.MODELSPAN_RECORDER_ID: self._recorder_id,
            ml.MODELSPAN_RECORDER_SEQUENCE: self._sequence,
            ml.MODELSPAN_RECORDER_ROWS_RECORDED: self._recorded,
            ml.MODELSPAN_RECORDER_ROWS_DROPPED: self.dropped,
            ml.MODELSPAN_RECORDER_ROWS_UNSAMPLED: self.unsampled,
        }
        self._sequence += 1  # also of one that fails, which a part of the SDK may have passed on before
        emit(logger, names.ML_PREDICTION_BATCH, {**attributes, **counters}, SeverityNumber.DEBUG)
        self._said = self.dropped, self.unsampled

    def relieve(self) -> None:
        """Have the SDK export if much was emitted since it last did. May block."""
        if self._unflushed >= FLUSH_BYTES:
            self._unflushed = 0
            self._signals.flush()


def _row_bytes(table: Mapping[str, Column], start: int, stop: int) -> int:
    """Bytes of one row, on average, texts by their length."""
    size = 0
    for column in table.values():
        if isinstance(column.values, Texts):
            size += 4 + column.values[start:stop].size() // (stop - start)
        else:
            size += int(column.values.itemsize) + 1
    return max(size, 1)


def emit(
    logger: Logger,
    event: str,
    attributes: Mapping[str, Any],
    severity: SeverityNumber = SeverityNumber.INFO,
    timestamp: int | None = None,
) -> None:
    """Emit one event; `timestamp` is nanoseconds since 1970, now by default."""
    logger.emit(
        timestamp=time.time_ns() if timestamp is None else timestamp,
        severity_number=severity,
        event_name=event,
        attributes={key: readable(value) if isinstance(value, str) else value for key, value in attributes.items()},
    )


def batch_attributes(identity: Identity, model: Any, operation: str) -> dict[str, Any]:
    """Attributes that all rows of a batch share."""
    return {
        ml.ML_MODEL_NAME: identity.name,
        ml.ML_MODEL_VERSION: identity.version,
        ml.ML_OPERATION_NAME: operation,
        **identity.facts(model),
    }


_announced: set[str] = set()
"""What this process has said of its models; another object in each process, and for each recorder."""
_MOST_ANNOUNCED = 10_000


def forget_announced() -> None:
    """Announce every model again, as a new process does."""
    global _announced
    _announced = set()


def who(identity: Identity) -> dict[str, Any]:
    """Attributes that say which model it is: by its name here, and by what it has learnt, which is the same everywhere."""
    known = {
        ml.ML_MODEL_NAME: identity.name,
        ml.ML_MODEL_VERSION: identity.version,
        ml.ML_MODEL_DIGEST: identity.digest,
    }
    return {key: value for key, value in known.items() if value}


def announce(logger: Logger, identity: Identity, model: Any, withheld: Mapping[str, Any]) -> None:
    """Emit `ml.model.loaded`, once for each fitted state of a model, however often the program loads it. `withheld` are
    attributes that say what is not captured.
    """
    if identity.announced is _announced:
        return
    identity.announced = _announced
    identity.know_digest(model)
    attributes = {
        **who(identity),
        **identity.facts(model),
        **identity.origin.known(),
        **identity.lineage,
        **withheld,
    }
    said = repr(attributes)
    if said in _announced or len(_announced) >= _MOST_ANNOUNCED:
        return
    _announced.add(said)
    labels = classes(model)
    if labels is not None and len(labels) <= MAX_CLASSES and not any(isinstance(label, list) for label in labels):
        attributes[ml.ML_MODEL_CLASSES] = [readable(label_text(label) or "") for label in labels]
    emit(logger, names.ML_MODEL_LOADED, attributes)
