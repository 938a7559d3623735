"""References that come from training: the data of a fit, copied before it, profiled and emitted in the background, with a digest.

A reference belongs to the fitted state, like the version of the model, so a server that loads the model finds it. One that
the program sets wins over it: here, where it has not been emitted yet, and in the service.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
from opentelemetry.instrumentation.utils import is_instrumentation_enabled

from modelspan.instrumentation.failure import failed, warn_once
from modelspan.instrumentation.recorder import current
from modelspan.instrumentation.recorder import snapshot as snap
from modelspan.instrumentation.recorder.attribute import has_method
from modelspan.instrumentation.recorder.clock import monotonic
from modelspan.instrumentation.recorder.identity import Identity, identities
from modelspan.instrumentation.recorder.imports import imported
from modelspan.instrumentation.recorder.policy import OFF
from modelspan.instrumentation.recorder.recorder import Recorder
from modelspan.instrumentation.recorder.snapshot import Snapshot
from modelspan.semconv.attributes import ML_TRAINING_DATASET_DIGEST, MlReferenceSourceValues
from modelspan.semconv.attributes import MlOperationNameValues as Operation

MAX_ROWS = 20_000
MAX_BYTES = 16 * 1024 * 1024
"""What is copied of the data of a fit; of more, a random sample of rows that is the same each time."""
MIN_ROWS = 100
"""Fewer rows say less than the first predictions, which the service then compares with."""
AT_ONCE, PER_SECOND = 60, 1.0
"""Fits in a row of which references are made, and how many more each second: a loop over parameters fits thousands."""

_REFERENCE = "modelspan.instrumentation.recorder.reference"
_CONTENT = "modelspan.instrumentation.recorder.content"
"""Imported for the first reference: a program that fits nothing needs neither."""

MOST_BY_COLUMN = 500_000
"""Values of a sparse matrix that is not held by rows; to find the rows of a sample it is converted, 50 ms for a million."""
BY_COLUMN = (
    "A model is fitted on a large sparse matrix that is not held by rows (CSR); set_reference makes a reference of it."
)

TOO_MANY = (
    "More models are fitted than references are made of: OTEL_INSTRUMENTATION_ML_DUTY says how much time they may take."
    " set_reference makes one of any model."
)

_PREDICTIONS = (Operation.PREDICT.value, Operation.PREDICT_PROBA.value, Operation.SCORE_SAMPLES.value)


class Sample(NamedTuple):
    """Rows of the data of a fit."""

    copied: Snapshot
    rows: int
    """Rows of the data."""
    usual: bool
    """Whether the same data would give the same sample at another time."""


class Training:
    """What was learnt from at one fit: the sample, and once that was read its profile, should the model be renamed."""

    __slots__ = ("_emitted", "_profile", "_rows", "_sample", "_withheld", "identity")

    def __init__(self, identity: Identity, sample: Sample) -> None:
        self.identity = identity
        self._sample: Sample | None = sample
        self._rows = sample.copied.rows
        self._profile = b""
        self._withheld: Callable[[], dict[str, Any]] = dict
        self._emitted: Identity | None = None

    def emit(self, recorder: Recorder, model: Any) -> None:
        """Say what the model was fitted on, in the background thread, unless that was said. The reference goes out unless the
        program has set another.
        """
        identity, logger = self.identity, recorder.logger
        if logger is None or identity is self._emitted:
            return
        reference = imported(_REFERENCE)
        if self._sample is not None:
            self._read(self._sample, recorder, model)
            self._sample = None
        if self._profile:
            identity.digest = identity.digest or None  # of a fit it is made
            identity.resolve(model, recorder.config)
            reference.announce(logger, identity, model, self._withheld)
        if self._profile and identity.training is self:
            reference.emit_profile(logger, identity, MlReferenceSourceValues.FIT, self._rows, self._profile, None)
        self._emitted = identity

    def _read(self, sample: Sample, recorder: Recorder, model: Any) -> None:
        if not recorder.reference_credit.allows(monotonic()):
            warn_once("fits", TOO_MANY)
            return
        began = time.thread_time()
        policy = recorder.policy.afresh()
        found, self._profile = imported(_REFERENCE).read(sample.copied, model, policy)
        self._withheld = policy.described
        if self._profile and sample.usual:
            self.identity.learnt({ML_TRAINING_DATASET_DIGEST: imported(_CONTENT).digest(found, sample.rows)})
        recorder.reference_credit.spend(time.thread_time() - began)


class Allowance:
    """Lets so many pass at once, and so many each second on average."""

    def __init__(self, at_once: int, per_second: float) -> None:
        self._most = self._left = float(at_once)
        self._per_second = per_second
        self._since = 0.0

    def take(self, now: float) -> bool:
        """Whether one more may pass, at a monotonic time in seconds."""
        self._left = min(self._most, self._left + (now - self._since) * self._per_second)
        self._since = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


_allowances: WeakKeyDictionary[Recorder, Allowance] = WeakKeyDictionary()


def copy_before_fit(recorder: Recorder, model: Any, x: Any) -> Sample | None:
    """A bounded sample of the data that `model` is about to be fitted on; None where no reference is to be made of it.

    Before, because a fit may change its input. `model` is None where the fit makes it. Never raises.
    """
    try:
        if recorder.config.reference == OFF or (model is not None and not _predicts(type(model))):
            return None
        if not is_instrumentation_enabled() or not (recorder.active or recorder.activate()):
            return None
        captures_features = recorder.queue.plain_bytes >= 0
        return _sample(recorder, x) if captures_features else None
    except Exception as problem:
        failed("copy the data of a fit", problem)
        return None


def reference_after_fit(recorder: Recorder, model: Any, sample: Sample | None) -> bool:
    """Have the reference of a fitted model made in the background. False if it could not be taken. Never raises."""
    if sample is None:
        return False
    try:
        if not _predicts(model):  # which a pipeline or a search may only know once it is fitted
            return False
        identity = identities.get(model)
        training = identity.training = Training(identity, sample)
        return recorder.submit(lambda: training.emit(recorder, model), sample.copied.size)
    except Exception as problem:
        failed("make a reference of a fit", problem)
        return False


def rename(model: Any, old: Identity) -> None:
    """The program says who a model is that was fitted as `old`: its reference goes by the new name, again if it was emitted."""
    new = identities.get(model)
    training = new.training = old.training
    training.identity = new
    recorder = current.get()
    recorder.submit(lambda: training.emit(recorder, model))


def _predicts(one: Any) -> bool:
    """Whether a model, or class of models, has a method that is recorded."""
    return any(has_method(one, operation) for operation in _PREDICTIONS)


def _sample(recorder: Recorder, x: Any) -> Sample | None:
    rows, row_bytes = snap.measure(x)
    if rows < MIN_ROWS or not row_bytes:  # of a type that is not known
        return None
    if hasattr(x, "tocsr"):  # the background makes its columns dense
        row_bytes = max(row_bytes, 8 * min(x.shape[1], recorder.config.max_features))
    usual = min(MAX_ROWS, MAX_BYTES // max(row_bytes, 1))
    if rows > usual and hasattr(x, "tocsr") and x.format != "csr" and x.nnz > MOST_BY_COLUMN:
        warn_once("fit-by-column", BY_COLUMN)
        return None
    room = recorder.queue.most_bytes // 2 - recorder.queue.bytes  # the rest is for predictions
    most = min(usual, room // max(row_bytes, 1))
    if most < min(rows, MIN_ROWS) or not _allowance(recorder).take(time.monotonic()):
        warn_once("fits", TOO_MANY)
        return None
    copied = snap.copy(snap.pick(x, _spread(rows, most)) if rows > most else x)
    return Sample(copied, rows, most >= min(rows, usual)) if copied.kind != snap.OPAQUE else None


def _allowance(recorder: Recorder) -> Allowance:
    return _allowances.setdefault(recorder, Allowance(AT_ONCE, PER_SECOND))


def _spread(rows: int, kept: int) -> Any:
    """One random position of each of `kept` equal strata, the same each time."""
    places = (np.arange(kept) + np.random.default_rng(0).random(kept)) * (rows / kept)
    return np.minimum(places.astype(np.int64), rows - 1)
