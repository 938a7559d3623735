"""Events: batches of predictions, and what is said about a model once."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from opentelemetry._logs import Logger, SeverityNumber
from opentelemetry.context import Context
from opentelemetry.semconv._incubating.attributes.event_attributes import EVENT_NAME

from modelspan.instrumentation.failure import warn_once
from modelspan.instrumentation.recorder.clock import time_ns
from modelspan.instrumentation.recorder.columns import Column
from modelspan.instrumentation.recorder.identity import Identity, identities
from modelspan.instrumentation.recorder.imports import imported
from modelspan.instrumentation.recorder.kinds import classes
from modelspan.instrumentation.recorder.outputs import MAX_CLASSES
from modelspan.instrumentation.recorder.rows import row_events
from modelspan.instrumentation.recorder.texts import Texts, readable
from modelspan.instrumentation.recorder.values import label_text
from modelspan.semconv import attributes as ml
from modelspan.semconv import events as names

BATCH_BYTES = 512 * 1024

SAME_NAME = (
    "Two models of this process are both called {0!r}, because nobody named them; their versions tell them apart. If they are not versions"
    " of one model, call identify(model, name=...), or load each from a file with a name of its own. (logged once)"
)

_ARROW = "modelspan.instrumentation.recorder.arrow"
"""Imported with the first batch: a program that makes none needs no Arrow."""


class BatchEmitter:
    """Emits tables as batch events of one name, numbered, with the rows that were recorded and lost so far. `of` says what rows are."""

    def __init__(
        self, recorder_id: str, most_rows: int, event: str = names.ML_PREDICTION_BATCH, of: str = "prediction"
    ) -> None:
        self._recorder_id = recorder_id
        self._most_rows = most_rows
        self._event, self._of = event, of
        self._numbers = _numbers[recorder_id] = itertools.count()
        self._recorded = 0
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
        if len(data) > 2 * BATCH_BYTES and rows > 1:  # a few rows are much longer than the others
            for first, last in ((start, start + rows // 2), (start + rows // 2, stop)):
                self._emit_part(logger, table, first, last, attributes)
            return
        self._recorded += rows
        self._latest = attributes
        try:
            self._number(logger, attributes, rows, data)
        except BaseException:
            self._recorded -= rows
            raise

    @property
    def accounted(self) -> int:
        """Rows so far that were recorded or left out."""
        return self._recorded + self.unsampled

    def account(self, logger: Logger | None, attributes: Mapping[str, Any] | None = None) -> None:
        """Emit a batch without rows if more were lost or left out since the last batch: it says how many. `attributes` are those of a
        model of which rows were lost, where no batch came before.
        """
        latest = self._latest or attributes
        if logger is not None and latest is not None and (self.dropped, self.unsampled) != self._said:
            self._number(logger, latest, 0)

    def _number(self, logger: Logger, attributes: Mapping[str, Any], rows: int, data: bytes | None = None) -> None:
        numbered = {
            ml.MODELSPAN_RECORDER_ROWS_UNSAMPLED: self.unsampled,
            ml.MODELSPAN_RECORDER_ROWS_DROPPED: self.dropped,
            ml.MODELSPAN_RECORDER_ROWS_RECORDED: self._recorded,
            ml.MODELSPAN_RECORDER_SEQUENCE: next(
                self._numbers
            ),  # also of one that fails, which a part of the SDK may have passed on before
            ml.MODELSPAN_RECORDER_ID: self._recorder_id,
            ml.ML_PREDICTION_BATCH_ROW_COUNT: rows,
        }
        if data is not None:
            numbered[ml.ML_PREDICTION_BATCH_FORMAT] = ml.MlPredictionBatchFormatValues.ARROW_STREAM.value
            numbered[ml.ML_PREDICTION_BATCH_DATA] = data
        counted = f"{rows} {self._of}{'' if rows == 1 else 's'}"
        if data is None:
            counted = f"so far {self._recorded} recorded, {self.dropped} lost and {self.unsampled} left out"
        emit(logger, self._event, {**attributes, **numbered}, said=counted)
        self._said = self.dropped, self.unsampled


_numbers: dict[str, Iterator[int]] = {}
"""By the identifiers of emitters."""


def next_number(attributes: Mapping[str, Any]) -> int:
    """A number for one more event of the emitter of a batch event with these attributes."""
    return next(_numbers[attributes[ml.MODELSPAN_RECORDER_ID]])


class RowEmitter(BatchEmitter):
    """Emits an event for each row of a table, and after them a batch event without rows, which says how many there are."""

    def _emit_part(
        self, logger: Logger, table: Mapping[str, Column], start: int, stop: int, attributes: Mapping[str, Any]
    ) -> None:
        part = {name: column.part(start, stop) for name, column in table.items()}
        self._latest = attributes
        for row in row_events(part, stop - start):
            about = {**attributes, **row.attributes}
            said = f"prediction {row.said}".rstrip()
            emit(logger, names.ML_PREDICTION_DETAILS, about, said=said, timestamp=row.time, context=row.context)
            self._recorded += 1
        self._number(logger, attributes, 0)


def _row_bytes(table: Mapping[str, Column], start: int, stop: int) -> int:
    """Bytes of one row, on average, texts by their length."""
    size = 0
    for column in table.values():
        if isinstance(column.values, Texts):
            size += 4 + column.values[start:stop].size() // (stop - start)
        else:
            size += int(column.values.itemsize) + 1
    return max(size, 1)


_LAST = (
    ml.ML_PREDICTION_ID,
    ml.ML_PREDICTION_BATCH_ROW_COUNT,
    ml.ML_OUTCOME_NAME,
    ml.ML_MODEL_DIGEST,
    ml.ML_REFERENCE_ID,
    ml.ML_MODEL_VERSION,
    ml.ML_PREDICTION_BATCHED,
    ml.ML_OPERATION_NAME,
    ml.ML_REFERENCE_PROFILE_DATA,
    ml.ML_PREDICTION_BATCH_DATA,
    ml.ML_MODEL_NAME,
)
"""Attributes without which an event is worth nothing. They come last: a limit on the number of attributes drops the first ones."""


def identity_last(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes, those last without which the others are worth nothing."""
    last = {name: attributes[name] for name in _LAST if name in attributes}
    return {**{name: value for name, value in attributes.items() if name not in last}, **last}


def emit(
    logger: Logger,
    event: str,
    attributes: Mapping[str, Any],
    *,
    said: str,
    timestamp: int | None = None,
    context: Context | None = None,
) -> None:
    """Emit one event. `said` is what it says of the model, for people who read logs; `timestamp` is nanoseconds since 1970, now by
    default; `context` is the trace, by default the one in which this runs.

    Its name is also an attribute: not every collector passes the younger field of the record on.
    """
    known = {key: readable(value) if isinstance(value, str) else value for key, value in attributes.items()}
    body = " ".join(filter(None, (said, "of", known.get(ml.ML_MODEL_NAME), known.get(ml.ML_MODEL_VERSION))))
    logger.emit(
        timestamp=time_ns() if timestamp is None else timestamp,
        context=context,
        severity_number=SeverityNumber.INFO,
        severity_text=SeverityNumber.INFO.name,
        body=body,
        event_name=event,
        attributes=identity_last({EVENT_NAME: event, **known}),
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


def note_prediction(identity: Identity) -> None:
    """Say once that models which predict have one name by chance. Those that are only fitted, as in a search by hand, may."""
    if identity.predicted:
        return
    identity.predicted = True
    if identities.other_of_the_name(identity) is not None:
        warn_once("same-name", SAME_NAME.format(identity.name))


def announce(logger: Logger, identity: Identity, model: Any, withheld: Callable[[], Mapping[str, Any]]) -> None:
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
        **withheld(),
    }
    said = repr(attributes)
    if said in _announced or len(_announced) >= _MOST_ANNOUNCED:
        return
    _announced.add(said)
    labels = classes(model)
    if labels is not None and len(labels) <= MAX_CLASSES and not any(isinstance(label, list) for label in labels):
        attributes[ml.ML_MODEL_CLASSES] = [readable(label_text(label) or "") for label in labels]
    emit(logger, names.ML_MODEL_LOADED, attributes, said="identity")
