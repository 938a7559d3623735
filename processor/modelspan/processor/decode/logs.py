"""Log records to `otel_logs`, and the events of models among them to the tables made for them."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from typing import Any, Final, TypeAlias

import xxhash
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from modelspan.processor.decode import events as models
from modelspan.processor.decode import rejection
from modelspan.processor.decode.batches import Batches
from modelspan.processor.decode.deliveries import delivery_key
from modelspan.processor.decode.recognition import event_of, is_batch, looks_like_ours
from modelspan.processor.decode.rejection import Rejected
from modelspan.processor.decode.row_form import Occasion, RowForm, duration_of
from modelspan.processor.decode.source import Source, hex_id, model_of, resource_texts, source
from modelspan.processor.decode.tables import MAX_TIME, MILLISECOND, Model, Rows
from modelspan.processor.decode.times import SUSPECT, one_in_nanoseconds
from modelspan.processor.decode.truth import Truth
from modelspan.processor.decode.values import Raw, raw, raws, text, texts
from modelspan.processor.terse import REASON
from modelspan.semconv import attributes as names
from modelspan.semconv import events

_log = logging.getLogger(__name__)

_ARROW_STREAM: Final = names.MlPredictionBatchFormatValues.ARROW_STREAM.value


class Logs:
    """Takes the log requests of a block."""

    def __init__(
        self, rows: Rows, batches: Batches, truth: Truth, row_form: RowForm, rejected: Counter[str], now: int
    ) -> None:
        """`now`: milliseconds since 1970."""
        self.references: set[Model] = set()
        self.batch_keys: dict[int, None] = {}
        self._rows = rows
        self._truth = truth
        self._batches = batches
        self._row_form = row_form
        self._rejected = rejected
        self._now = now
        self._withdrawals: Counter[tuple[str, str]] = Counter()

    def decode(self, request: ExportLogsServiceRequest, place: str, repeated: set[int]) -> None:
        """Append the records of one request. `place`: where the request lies in the journal; `repeated`: keys of batches
        that are stored already.
        """
        append = self._rows["otel_logs"].append
        index = 0
        for resource_logs in request.resource_logs:
            resource = resource_texts(resource_logs)
            for scope_logs in resource_logs.scope_logs:
                origin = source(resource_logs, scope_logs, resource)
                for record in scope_logs.log_records:
                    index += 1
                    values = raws(record.attributes)
                    name = event_of(record.event_name, values)
                    key = delivery_key(record, name, values, origin)
                    if key is not None and (key in repeated or key in self.batch_keys):
                        self._rejected[rejection.REPEATED] += 1
                        continue
                    row = _row(record, origin)
                    timed = self._timed(record, row, name, values)
                    if self._event(name, origin, values, timed, f"{place}/{index}") and key is not None:
                        self.batch_keys[key] = None
                    append((*row[:-2], texts(values), name))

    def _timed(self, record: LogRecord, row: tuple[Any, ...], name: str, values: dict[str, Raw]) -> tuple[Any, ...]:
        """The row of an event with its time in nanoseconds; what is none in any unit gives way to that at which it was observed."""
        if row[0] >= SUSPECT or name not in _TIMED or is_batch(values):
            return row
        given = (record.time_unix_nano, record.observed_time_unix_nano)
        time = next(filter(None, (one_in_nanoseconds(min(one, MAX_TIME)) for one in given)), row[0])
        if row[0]:
            whose = f"{name} of {text(values.get(names.ML_MODEL_NAME))!r}"
            rejection.read_by_magnitude(self._rejected, whose)
        elif name != events.ML_PREDICTION_DETAILS:
            time = self._now * MILLISECOND
        return (time, *row[1:])

    def _event(self, name: str, origin: Source, values: dict[str, Raw], row: tuple[Any, ...], place: str) -> bool:
        """Store a record as a model event; False if it is none or was rejected (counted and logged)."""
        handler = _HANDLERS.get(name)
        try:
            if handler is not None:
                handler(self, origin, values, row, place)
                return True
            if looks_like_ours(name, values):
                raise Rejected(
                    rejection.UNRECOGNISED, "its name, and what would tell it, is not known or was lost on the way"
                )
        except Rejected as error:
            self._rejected[error.reason] += 1
            said = (name or "a log record", origin.service_name, str(error))
            _log.warning("%s of %r stored as an ordinary log record: %s", *said, extra={REASON: error.reason})
        except Exception as error:  # whatever it is, its neighbours are stored
            self._rejected[rejection.UNDECODABLE] += 1
            _log.warning("%s stored as an ordinary log record", name, exc_info=error)
        return False

    def _batch(self, origin: Source, values: dict[str, Raw], row: tuple[Any, ...], place: str) -> None:
        self._rows_of(events.ML_PREDICTION_BATCH, origin, values, self._predictions)

    def _predictions(self, model: Model, values: dict[str, Raw], expected: int | None, payload: bytes) -> int:
        unreadable = text(values.get(names.ML_CAPTURE_UNREADABLE))
        return self._batches.add(model, text(values.get(names.ML_OPERATION_NAME)), expected, payload, unreadable)

    def _rows_of(self, event: str, origin: Source, values: dict[str, Raw], add: Add) -> None:
        """Take the batch form of an event by `add`, and the counters of its recorder."""
        model = model_of(origin, values)
        payload = values.get(names.ML_PREDICTION_BATCH_DATA)
        expected = _count(values, names.ML_PREDICTION_BATCH_ROW_COUNT)
        if payload is None and expected == 0:
            self._recorder(event, model, values, 0)
            return
        if not isinstance(payload, bytes):
            raise Rejected(rejection.MISSING_ATTRIBUTE, names.ML_PREDICTION_BATCH_DATA)
        if values.get(names.ML_PREDICTION_BATCH_FORMAT, _ARROW_STREAM) != _ARROW_STREAM:
            raise Rejected(rejection.UNKNOWN_FORMAT, text(values[names.ML_PREDICTION_BATCH_FORMAT]))
        rows = add(model, values, expected, payload)
        del values[names.ML_PREDICTION_BATCH_DATA]
        self._recorder(event, model, values, rows)

    def _recorder(self, event: str, model: Model, values: dict[str, Raw], rows: int) -> None:
        recorder = text(values.get(names.MODELSPAN_RECORDER_ID))
        if recorder:
            counters = (
                _count(values, names.MODELSPAN_RECORDER_SEQUENCE) or 0,
                rows,
                _count(values, names.MODELSPAN_RECORDER_ROWS_RECORDED) or 0,
                _count(values, names.MODELSPAN_RECORDER_ROWS_DROPPED) or 0,
                _count(values, names.MODELSPAN_RECORDER_ROWS_UNSAMPLED) or 0,
            )
            self._rows["ml_recorders"].append(
                (recorder, model.service_name, model.model_name, event, *counters, self._now)
            )

    def _details(self, origin: Source, values: dict[str, Raw], row: tuple[Any, ...], place: str) -> None:
        if not text(values.get(names.ML_OPERATION_NAME)):
            raise Rejected(rejection.MISSING_ATTRIBUTE, names.ML_OPERATION_NAME)
        time, trace_id, span_id = row[:3]
        default_id = xxhash.xxh3_128_hexdigest(place.encode())
        duration = duration_of(values.get(names.ML_PREDICTION_DURATION))
        self._row_form.add(model_of(origin, values), values, Occasion(time, duration, trace_id, span_id, default_id))

    def _reference(self, origin: Source, values: dict[str, Raw], row: tuple[Any, ...], place: str) -> None:
        self.references.add(models.reference(origin, values, self._rows, self._moment(values)))
        del values[names.ML_REFERENCE_PROFILE_DATA]

    def _withdrawn(self, origin: Source, values: dict[str, Raw], row: tuple[Any, ...], place: str) -> None:
        self.references.add(models.withdrawn(origin, values, self._rows, self._moment(values)))
        self._withdrawals[_named(values)] += 1

    def _moment(self, values: dict[str, Raw]) -> int:
        """When a reference came, or was taken back: after each withdrawal of one of that name that is before it in the block."""
        return self._now + self._withdrawals[_named(values)]

    def _loaded(self, origin: Source, values: dict[str, Raw], row: tuple[Any, ...], place: str) -> None:
        models.loaded(origin, values, row[0], self._rows)

    def _actual(self, origin: Source, values: dict[str, Raw], row: tuple[Any, ...], place: str) -> None:
        if is_batch(values):
            self._rows_of(events.ML_PREDICTION_ACTUAL, origin, values, self._truth.actuals)
        else:
            models.actual(origin, values, row[0], self._rows, self._now)

    def _outcome(self, origin: Source, values: dict[str, Raw], row: tuple[Any, ...], place: str) -> None:
        if is_batch(values):
            self._rows_of(events.ML_PREDICTION_OUTCOME, origin, values, self._truth.outcomes)
        else:
            models.outcome(origin, values, row[0], self._rows, self._now)


# Functions, not bound methods in an instance: that would be a cycle, which keeps all of a block until the collector comes.
_HANDLERS: Final[dict[str, Callable[[Logs, Source, dict[str, Raw], tuple[Any, ...], str], None]]] = {
    events.ML_PREDICTION_BATCH: Logs._batch,
    events.ML_PREDICTION_DETAILS: Logs._details,
    events.ML_MODEL_LOADED: Logs._loaded,
    events.ML_PREDICTION_ACTUAL: Logs._actual,
    events.ML_PREDICTION_OUTCOME: Logs._outcome,
    events.ML_REFERENCE_PROFILE: Logs._reference,
    events.ML_REFERENCE_WITHDRAWN: Logs._withdrawn,
}


_TIMED: Final = frozenset(
    {events.ML_PREDICTION_DETAILS, events.ML_MODEL_LOADED, events.ML_PREDICTION_ACTUAL, events.ML_PREDICTION_OUTCOME}
)
"""Events that are dated by their log record."""

Add: TypeAlias = Callable[[Model, dict[str, Raw], int | None, bytes], int]
"""Takes the rows of one payload; gives their number."""


def _named(values: dict[str, Raw]) -> tuple[str, str]:
    return text(values.get(names.ML_MODEL_NAME)), text(values.get(names.ML_REFERENCE_ID))


def _count(values: dict[str, Raw], name: str) -> int | None:
    value = values.get(name)
    return value if isinstance(value, int) and value >= 0 else None


def _row(record: LogRecord, origin: Source) -> tuple[Any, ...]:
    return (
        min(record.time_unix_nano or record.observed_time_unix_nano, MAX_TIME),
        hex_id(record.trace_id),
        hex_id(record.span_id),
        record.flags & 0xFF,
        record.severity_text,
        record.severity_number & 0xFF,
        origin.service_name,
        text(raw(record.body)),
        origin.schema_url,
        origin.attributes,
        origin.scope_schema_url,
        origin.scope_name,
        origin.scope_version,
        origin.scope_attributes,
        None,
        None,
    )
