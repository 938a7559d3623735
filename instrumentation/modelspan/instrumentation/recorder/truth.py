"""Ground truth: actual labels or values, and business outcomes, that become known after a prediction; in batches like predictions."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from opentelemetry._logs import Logger

from modelspan.instrumentation.config import PREFIX
from modelspan.instrumentation.failure import attempt, failed, faults, warn_once
from modelspan.instrumentation.recorder import columns, kinds
from modelspan.instrumentation.recorder.calls import QUEUE_FULL
from modelspan.instrumentation.recorder.clock import time_ns
from modelspan.instrumentation.recorder.columns import Column
from modelspan.instrumentation.recorder.elements import elements
from modelspan.instrumentation.recorder.events import BatchEmitter
from modelspan.instrumentation.recorder.identity import identities
from modelspan.instrumentation.recorder.ids import id_texts
from modelspan.instrumentation.recorder.labels import as_classes
from modelspan.instrumentation.recorder.misnamed import note_model_name
from modelspan.instrumentation.recorder.recorder import Recorder
from modelspan.instrumentation.recorder.texts import from_strings
from modelspan.instrumentation.recorder.times import UNKNOWN, each_in_nanoseconds
from modelspan.instrumentation.recorder.values import is_missing, label_text
from modelspan.semconv import attributes as ml
from modelspan.semconv import columns as names
from modelspan.semconv import events

Attributes = Mapping[str, Any]
Who = Callable[[], Attributes]
"""Gives the attributes that say which model it is. Called in the background: a model may have no version yet."""

PART_ROWS = 50_000
"""Rows that wait as one task."""


@dataclass(frozen=True)
class Rows:
    """Some rows of one event, model and set of attributes, as columns."""

    event: str
    who: Who
    attributes: Attributes
    table: Mapping[str, Column]
    model: Any = None
    """The model that predicted, if not only its name is given."""

    def __len__(self) -> int:
        return len(self.table[names.PREDICTION_ID])

    def parts(self) -> Iterator[Rows]:
        """The rows, some at a time."""
        for start in range(0, len(self), PART_ROWS):
            stop = min(start + PART_ROWS, len(self))
            table = {name: column.part(start, stop) for name, column in self.table.items()}
            yield replace(self, table=table)


def submit_actuals(
    recorder: Recorder, model: Any, prediction_id: Any, label: Any, value: Any, time: Any, source: str | None
) -> bool:
    """Have one actual sent for each id of which a label or value is known. False if an id is missing. Raises ValueError if lengths
    differ.
    """
    if label is None and value is None:
        raise ValueError("an actual has a label or a value: give one")
    ids = id_texts(prediction_id)
    labels, (values, read) = _labels(label, len(ids)), _numbers(value, len(ids))
    known = _identified(ids) & (_present(labels) | _present(values))
    table = _table(ids, time, {names.LABEL: labels, names.VALUE: values}, known)
    attributes = {} if source is None else {ml.ML_ACTUAL_SOURCE: source}
    taken = _submit(recorder, model, events.ML_PREDICTION_ACTUAL, attributes, table)
    return taken and None not in ids and bool(read.all())


def submit_outcomes(
    recorder: Recorder, model: Any, prediction_id: Any, name: str, value: Any, unit: str | None, time: Any
) -> bool:
    """Have one outcome sent for each id. False if an id is missing. Raises ValueError if lengths differ, or without a name."""
    if not name:
        raise ValueError("an outcome has a name: give one")
    ids = id_texts(prediction_id)
    values, read = _numbers(value, len(ids))
    table = _table(ids, time, {names.VALUE: values}, _identified(ids) & read)
    attributes = {ml.ML_OUTCOME_NAME: name} | ({} if unit is None else {ml.ML_OUTCOME_UNIT: unit})
    taken = _submit(recorder, model, events.ML_PREDICTION_OUTCOME, attributes, table)
    return taken and None not in ids and bool(read.all())


def _submit(recorder: Recorder, model: Any, event: str, attributes: Attributes, table: Mapping[str, Column]) -> bool:
    rows = Rows(event, _identifier(recorder, model), attributes, table, None if isinstance(model, str) else model)
    taken = True
    for part in rows.parts():
        size = 1000 + sum(_bytes(column) for column in part.table.values())
        if not recorder.submit(Adding(recorder, part), size):
            recorder.truth.drop(part)
            taken = False
    if not taken:
        said = f"Actuals or outcomes were dropped ({QUEUE_FULL}); they are counted. {PREFIX}QUEUE_BYTES says how much may wait."
        warn_once("dropped-truth", said)
    return taken


@dataclass(frozen=True)
class Adding:
    """The task that takes rows to their batches, or counts them where it is too late."""

    recorder: Recorder
    rows: Rows

    def __call__(self) -> None:
        self.recorder.truth.add(self.rows)

    def give_up(self) -> None:
        """Count the rows as lost."""
        self.recorder.truth.drop(self.rows)


class Truth:
    """Actuals and outcomes on their way to batches: those of one drain that share all but their rows become one."""

    def __init__(self, recorder_id: str, most_rows: int) -> None:
        self._waiting: dict[Any, list[Rows]] = {}
        self._emitters = {
            event: BatchEmitter(f"{recorder_id}-{of}", most_rows, event, of)
            for event, of in ((events.ML_PREDICTION_ACTUAL, "actual"), (events.ML_PREDICTION_OUTCOME, "outcome"))
        }
        self._lock = threading.Lock()
        self._dropped: dict[str, tuple[int, Who]] = {}

    def add(self, rows: Rows) -> None:
        """Take rows, in the background."""
        try:
            who = rows.who()
            if rows.model is None:
                note_model_name(who[ml.ML_MODEL_NAME])
            rows = _spelled(rows)
        except faults() as error:
            failed("find out which model an actual or outcome is of", error)
            self.drop(rows)
            return
        shared = {**rows.attributes, **who}
        self._waiting.setdefault((rows.event, tuple(shared.items()), tuple(rows.table)), []).append(rows)

    def drop(self, rows: Rows) -> None:
        """Count rows that are lost."""
        with self._lock:
            self._dropped[rows.event] = self._dropped.get(rows.event, (0, rows.who))[0] + len(rows), rows.who

    def emit(self, logger: Logger | None) -> int:
        """Emit what waits, in the background. Rows that were lost since the last time."""
        waiting, self._waiting = self._waiting, {}
        for (event, shared, _), parts in waiting.items():
            self._emit(logger, self._emitters[event], parts, dict(shared))
        with self._lock:
            dropped, self._dropped = self._dropped, {}
        for event, (rows, who) in dropped.items():
            self._emitters[event].dropped += rows
            attempt("say how many actuals or outcomes were lost", self._account, logger, event, who)
        return sum(rows for rows, _ in dropped.values())

    def _account(self, logger: Logger | None, event: str, who: Who) -> None:
        self._emitters[event].account(logger, who())

    def _emit(self, logger: Logger | None, emitter: BatchEmitter, parts: Sequence[Rows], shared: Attributes) -> None:
        table = {name: columns.join([part.table[name] for part in parts]) for name in parts[0].table}
        rows = sum(map(len, parts))
        before = emitter.accounted
        try:
            if logger is None:
                raise RuntimeError("there is no logger provider for actuals and outcomes to go to")
            present = {name: column for name, column in table.items() if not column.is_empty()}
            emitter.emit(logger, present, rows, shared)
        except faults() as error:
            failed("send actuals or outcomes", error)
            with self._lock:
                lost = self._dropped.get(parts[0].event, (0, None))[0] + rows - (emitter.accounted - before)
                self._dropped[parts[0].event] = lost, lambda: shared


def _identifier(recorder: Recorder, model: Any) -> Who:
    if isinstance(model, str):
        return lambda: {ml.ML_MODEL_NAME: model}
    identity = identities.get(model)

    def identify() -> Attributes:
        identity.resolve(model, recorder.config)
        return {ml.ML_MODEL_NAME: identity.name, ml.ML_MODEL_VERSION: identity.version}

    return identify


def _spelled(rows: Rows) -> Rows:
    """Rows whose labels are spelled as the classes of the model."""
    labels = rows.table.get(names.LABEL)
    known = None if labels is None or rows.model is None else kinds.classes(rows.model)
    if labels is None or not known or isinstance(known[0], list):
        return rows
    return replace(rows, table={**rows.table, names.LABEL: as_classes(labels, known)})


def _identified(ids: Sequence[str | None]) -> npt.NDArray[np.bool_]:
    """Return a mask of the ids that are present; warn once with the number of missing ones."""
    known = np.array([one is not None for one in ids], dtype=bool)
    if not known.all():
        missing = len(ids) - int(known.sum())
        warn_once("no-id", f"{missing} of {len(ids)} prediction ids are missing: their rows are not recorded.")
    return known


def _table(
    ids: Sequence[str | None], time: Any, values: Mapping[str, Column], known: npt.NDArray[np.bool_]
) -> dict[str, Column]:
    """Columns of the rows that are known."""
    table = {
        names.TIME: Column(columns.TIMESTAMP, _times(time, len(ids))),
        names.PREDICTION_ID: Column(columns.UTF8, from_strings([one or "" for one in ids])),
        **values,
    }
    return table if known.all() else {name: column.taken(np.flatnonzero(known)) for name, column in table.items()}


def _times(time: Any, count: int) -> npt.NDArray[np.int64]:
    """Return the time at which each row became known; now by default."""
    found = UNKNOWN if time is None else each_in_nanoseconds(time)
    if np.min(found, initial=0) < 0:
        raise ValueError(f"{time} is before 1970")
    times = np.array(_per_id(found, count, "time"), dtype=np.int64)
    times[times == UNKNOWN] = time_ns()
    return times


def _labels(label: Any, count: int) -> Column:
    return columns.from_texts([label_text(one) for one in _per_id(label, count, "label")])


def _numbers(value: Any, count: int) -> tuple[Column, npt.NDArray[np.bool_]]:
    """Values, missing where they cannot be read, and a mask of those that can; warn once with the number of the others."""
    numbers = [_number(one) for one in _per_id(value, count, "value")]
    read = np.array([one is not None for one in numbers], dtype=bool)
    if not read.all():
        warn_once(
            "no-number",
            f"{count - int(read.sum())} of {count} values are no numbers: they are not recorded. Said once.",
        )
    return columns.from_array(np.array(numbers, dtype=np.float64)), read


def _number(value: Any) -> float | None:
    """A value as a number, NaN if it is missing; None of what is no number."""
    try:
        return np.nan if is_missing(value) else float(value)
    except (TypeError, ValueError, OverflowError):
        return None


def _present(column: Column) -> npt.NDArray[np.bool_]:
    return np.ones(len(column), dtype=bool) if column.valid is None else column.valid


def _bytes(column: Column) -> int:
    return int(column.values.size()) if column.type == columns.UTF8 else int(column.values.nbytes)


def _per_id(given: Any, count: int, what: str) -> list[Any]:
    """One value for each of so many ids: one value for all, or a list of as many as there are ids."""
    found = elements(given)
    if found is None:
        return [given] * count
    if len(found) != count:
        raise ValueError(
            f"{len(found)} of {what} in a list for {count} prediction ids: give one for each, or a single one for all"
        )
    return found
