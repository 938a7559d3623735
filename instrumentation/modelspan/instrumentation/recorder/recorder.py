"""The recorder: what the caller of a model does, and the thread that does the rest."""

from __future__ import annotations

import atexit
import itertools
import math
import os
import secrets
import sys
import threading
import time
from functools import cached_property, partial
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import numpy as np
from opentelemetry import context as otel_context
from opentelemetry._logs import Logger

from modelspan.instrumentation.config import PREFIX, ROWS, Config
from modelspan.instrumentation.failure import attempt, failed, faults, safely, warn_once
from modelspan.instrumentation.recorder import duty
from modelspan.instrumentation.recorder import snapshot as snap
from modelspan.instrumentation.recorder.calls import (
    QUEUE_FULL,
    CallQueue,
    Item,
    LeftOut,
    Task,
    item_of,
    receive,
    shapes,
)
from modelspan.instrumentation.recorder.clock import monotonic, ticks_since_1970
from modelspan.instrumentation.recorder.duty import Duty, FitCredit
from modelspan.instrumentation.recorder.identity import Identity, identities
from modelspan.instrumentation.recorder.imports import imported
from modelspan.instrumentation.recorder.leaving import export_within, keep_interrupted
from modelspan.instrumentation.recorder.scope import INSIDE, PredictionScope, around
from modelspan.instrumentation.recorder.signals import Providers, Signals, sdk_disabled
from modelspan.instrumentation.recorder.snapshot import Raw, Snapshot, Taken
from modelspan.instrumentation.recorder.turns import Turns
from modelspan.instrumentation.recorder.unheard import NO_EVENTS, NO_SDK, Unheard
from modelspan.semconv import columns as names
from modelspan.semconv import events
from modelspan.semconv.attributes import ML_FRAMEWORK_NAME, MlOperationNameValues, ModelspanDropReasonValues

if TYPE_CHECKING:
    from modelspan.instrumentation.recorder.events import BatchEmitter
    from modelspan.instrumentation.recorder.group import Group
    from modelspan.instrumentation.recorder.metrics import PredictionMetrics
    from modelspan.instrumentation.recorder.redaction import FeaturePolicy
    from modelspan.instrumentation.recorder.sampling import Sampling
    from modelspan.instrumentation.recorder.truth import Truth

_BACKGROUND = "modelspan.instrumentation.recorder.background"
_REDACTION = "modelspan.instrumentation.recorder.redaction"
_PREDICT_PROBA = MlOperationNameValues.PREDICT_PROBA.value


class Recorder:
    """Records calls of models and hands them to OpenTelemetry, from one daemon thread, until it is closed."""

    def __init__(self, config: Config, providers: Providers) -> None:
        self.config = config
        self._providers = providers
        if config.hash_key_file is not None or config.pii is not None:
            _ = self.policy  # what these read and say comes at the start
        self._copies = config.capture is None or bool(config.capture)
        self.turns = Turns()
        self.queue = CallQueue(config.queue_calls, config.queue_bytes, self.turns.wake)
        self.known = identities.by_id
        self._closed = False
        self._at_exit = safely("export at the exit", self._exit)
        self._start_over()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._start_over)

    def _start_over(self) -> None:
        """State of a new process: nothing waits, no thread runs, nothing was sent."""
        self.active = False
        self.failed = False
        """Whether it could not start, which was said."""
        self.recorder_id = secrets.token_hex(8)
        self._life = object()
        """Token of this start: a background thread that holds an earlier one ends (it was started before a fork)."""
        self.turns.start_over()
        self.queue.plain_bytes = -1
        self.queue.start_over()
        self._work = threading.RLock()
        self._until = math.inf
        """When what still waits is given up, at the exit."""
        self._duty = Duty(self.config.duty, self.config.call_bytes, monotonic())
        self._fit_credit = FitCredit(self.config.duty, duty.FITS, monotonic())
        self.reference_credit = FitCredit(self.config.duty, duty.REFERENCES, monotonic())
        self._starting = threading.RLock()  # a handler of a signal may predict while its thread is at it
        self._signals = Signals(self._providers, _own_version(), self.config.queue_bytes // 2, self.turns.exporting)
        self._prepared = False
        self._metrics: PredictionMetrics | None = None
        self._row_number = 0
        identities.forget_budgets()
        self._scoped_calls = itertools.count()
        self._truth: Truth | None = None
        self._truth_lock = threading.Lock()
        self._lost = 0
        """Rows lost since the last flush."""
        self._unheard = Unheard()

    # What the caller does.

    def activate(self) -> bool:
        """Start if there is an SDK to record for. Cheap while there is none."""
        try:
            if self._closed or not self._providers.any_live():
                if not self._closed and not sdk_disabled():
                    self._unheard.note(NO_SDK)
                return False
            with self._starting:
                if not self.active:
                    self._start()
        except Exception as error:
            self.failed = True
            failed("start", error)
        return self.active

    def copy_input(self, value: Any) -> Raw | Taken:
        """Before a call: copy an input other than a plain array."""
        limit = self.copy_limit(around.get())
        return snap.take(value, limit) if self._copies else snap.count(value, limit)

    def copy_limit(self, said: PredictionScope | None) -> int:
        """Bytes to copy of the input of one call. Of rows that actuals are to find, all that fit."""
        usual = self._duty.limit(self.queue.bytes)
        if said is None or said is INSIDE or not said.identifies:
            return usual
        return max(usual, (self.queue.most_bytes - self.queue.bytes) * 3 // 4)  # the rest is for the output

    def copy_output(self, result: Any, x: Taken | None) -> Snapshot:
        """After a call: copy an output other than a plain array, the rows that were kept of the input."""
        if type(result) is tuple and result:  # predict(return_std=True) and the like
            result = result[0]
        keep = None if x is None else x.keep
        return snap.copy(result) if keep is None else snap.take_rows(result, keep)

    def leave(
        self,
        model: Any,
        operation: str,
        x: Raw | Taken,
        y: Raw | Snapshot,
        ticks: int,
        duration: int,
        context: otel_context.Context,
        said: PredictionScope | None,
        error: str | None,
        calls: int = 1,
    ) -> None:
        """After a call: leave it to the background thread."""
        try:
            ids = None if said is None else self.scoped_ids(said, x, y)
            if said is not None and said.identifies and isinstance(x, Taken) and x.keep is not None:
                self.queue.drop(identities.get(model), QUEUE_FULL, x.keep.total - len(x.keep.rows))
                said = said.of_rows(x.keep.rows.tolist(), x.keep.total)
                x = Taken(x.snapshot, None)  # those that are kept stand for themselves alone
            left = identities.get(model), model, operation, x, y, ticks, duration, context, said, ids, error, calls
            self.queue.put(item_of(left))
            self.turns.give_way()
        except Exception as problem:
            failed("record a prediction", problem)

    def scoped_ids(self, said: PredictionScope, x: Raw | Taken, y: Raw | Snapshot) -> list[str]:
        """Identifiers of the rows of a call within `prediction_context`, which the program can read at once."""
        _, keep, _, rows = shapes(x, y)
        if said.ids is not None and len(said.ids) == rows:
            ids = list(said.ids)
        else:
            if said.ids is not None:
                warn_once("ids", f"prediction_context got {len(said.ids)} ids for {rows} rows; they are ignored.")
            prefix = f"{self.recorder_id}-s{next(self._scoped_calls):x}-"
            ids = [f"{prefix}{row:x}" for row in range(rows)]
        said.prediction_ids = ids
        return ids if keep is None else [ids[i] for i in keep.rows.tolist()]

    def submit(self, task: Task, size: int = 1000) -> bool:
        """Have the background thread do `task`, after what was recorded before. False if there is no SDK or no room."""
        if not self.active and not self.activate():
            return False
        taken = self.queue.put_task(task, size)
        self.turns.give_way()
        return taken

    @property
    def truth(self) -> Truth:
        """Actuals and outcomes that wait."""
        with self._truth_lock:
            if self._truth is None:
                from modelspan.instrumentation.recorder.truth import Truth

                self._truth = Truth(self.recorder_id, self.config.batch_rows)
            return self._truth

    @property
    def logger(self) -> Logger | None:
        """Where events go, None while nobody has set that up, which is noted."""
        if self._signals.logger is None:
            self._unheard.note(NO_EVENTS)
        return self._signals.logger

    # What the background thread does.

    def _start(self) -> None:
        self._signals.find()
        try:
            run = safely("record predictions", partial(self._run, self._life))
            threading.Thread(target=run, name="modelspan-recorder", daemon=True).start()
        except RuntimeError as error:  # the interpreter is shutting down
            failed("start its thread", error)
            return
        # Registered after the SDK's own handler, hence run before it: exit handlers run last in, first out.
        atexit.unregister(self._at_exit)
        atexit.register(self._at_exit)
        self._leave_with_worker()
        self.active = True
        self._limit_copies()

    def _limit_copies(self) -> None:
        self.queue.plain_bytes = self._duty.limit(self.queue.bytes) if self._copies and self.active else -1

    def _leave_with_worker(self) -> None:
        """A worker of `multiprocessing` may end without the exit handlers, ours and those of the SDK."""
        process = sys.modules.get("multiprocessing.process")
        if process is None:
            return
        from multiprocessing import util

        if process.parent_process() is not None:
            util.Finalize(None, self._at_exit, exitpriority=100)
        else:  # a process of a forkserver imports the program before it becomes a worker, and then forgets what was to be done
            util.register_after_fork(self, Recorder._leave_with_worker_if_active)

    def _leave_with_worker_if_active(self) -> None:
        if self.active:
            self._leave_with_worker()

    def _run(self, life: object) -> None:
        while not self._closed and life is self._life:
            self.turns.sleep(self.config.flush_interval)
            self.drain()

    @cached_property
    def policy(self) -> FeaturePolicy:
        """What is withheld of features."""
        policy: FeaturePolicy = imported(_REDACTION).policy_of(self.config)
        return policy

    def _prepare(self) -> None:
        """Import and make what turns calls into telemetry, with the first of them: a program that is only started pays for none
        of it. The imports within methods find what was imported here.
        """
        if self._prepared:
            return
        background = imported(_BACKGROUND)
        self._sampling: Sampling = background.Sampling(self.config.sample, self.config.keep, self.config.keep_rule)
        emitter = background.RowEmitter if self.config.form == ROWS else background.BatchEmitter
        self._emitter: BatchEmitter = emitter(self.recorder_id, self.config.batch_rows)
        background.forget_announced()
        self._prepared = True

    def drain(self, timeout: float = -1) -> bool:
        """Hand everything that waits to the SDK, but not what is recorded meanwhile. False if another thread was at it for longer
        than `timeout` seconds.
        """
        if not self._work.acquire(timeout=timeout):
            return False
        token = otel_context.attach(otel_context.Context())
        began = time.thread_time()
        try:
            self.turns.work()
            self._prepare()
            from modelspan.instrumentation.recorder.metrics import PredictionMetrics

            self._signals.find()
            if self._signals.logger is not None:
                self._unheard.over()
            if self._metrics is None and self._signals.meter is not None:
                self._metrics = PredictionMetrics(self._signals.meter)
            waiting = len(self.queue)
            while waiting > 0 and (items := self.queue.take()):
                waiting -= len(items)
                self.turns.pause()
                self._process(items)
                self._count_left_out()
                self._count_dropped()
                self._emit_truth()
                # Whoever waits for this waits for an export only where something would be lost.
                with self.turns.exporting():
                    self._signals.relieve(0.5 if timeout >= 0 else 0.01 if self.turns.hot else 0.1)
                began = self._worked_since(began)
            self._count_left_out()
            self._count_dropped()
            self._emit_truth()
            self._emitter.account(self._signals.logger)
            self.policy.unmatched.say()
        except faults() as error:
            failed("process what was recorded", error)
        finally:
            otel_context.detach(token)
            self._until = math.inf
            try:
                self._worked_since(began)
                self.turns.rest()
            finally:
                self._work.release()
        return True

    def _worked_since(self, began: float) -> float:
        """Note the processor time of this thread since `began`, and give what it is now."""
        now = time.thread_time()
        self._duty.worked(now - began, monotonic())
        self._limit_copies()
        return now

    def flush(self, timeout: float) -> bool:
        """Hand everything to the SDK and have it exported; whether all of it was, and nothing was lost since the last time."""
        deadline = monotonic() + timeout
        if not self.drain(timeout):
            return False
        delivered: list[bool] = []
        export = safely("export", lambda: delivered.append(self._signals.flush()))
        flushing = threading.Thread(target=export, name="modelspan-flush", daemon=True)
        flushing.start()
        flushing.join(max(0.0, deadline - monotonic()))
        self._count_lost()
        lost, self._lost = self._lost, 0
        return delivered == [True] and lost == 0

    def end(self) -> None:
        """Export what waits, as at the exit of the process: for servers and workers that end without exit handlers."""
        if self.active:
            self._at_exit()

    def close(self) -> None:
        """Hand over what waits and record no more."""
        self._closed = True
        self.active = False
        self.queue.plain_bytes = -1
        atexit.unregister(self._at_exit)
        self._hand_over()
        self._unheard.over()
        self._signals.close()
        self.turns.wake()

    def _hand_over(self) -> bool:
        # The background thread, if that is at it, must have stopped before: where it ends within a library of C++, the process aborts.
        patience = max(1.0, self.config.exit_timeout)
        self._until = monotonic() + 0.8 * patience
        done = self.drain(patience)
        if not done:
            warn_once(
                "exit", f"Predictions that were recorded last could not be handed over before the exit. {_EXIT_DECIDES}"
            )
        return done

    def _exit(self) -> None:
        deadline = monotonic() + self.config.exit_timeout
        # What keeps the background thread that long is a collector that cannot be reached.
        left = max(1.0, deadline - monotonic()) if self._hand_over() else 0.0
        self.policy.unmatched.say(at_once=True)
        self._unheard.say()
        if not export_within(left, self._signals.last_exports):
            waiting = self._signals.waiting()
            counts = ", ".join(f"{kind}: {waiting[event]:,}" for event, kind in _KINDS.items() if waiting[event])
            among = f", among it {counts}" if counts else ""
            said = f"The collector did not take the last telemetry before the exit{among}; it is lost."
            warn_once("exit-export", f"{said} {self._signals.why_away() or _EXIT_DECIDES}")
        keep_interrupted()

    def _process(self, items: list[Item]) -> None:
        from modelspan.instrumentation.recorder.alike import split

        clock = ticks_since_1970()
        for work in split(items):
            if monotonic() > self._until:
                self._give_up(work)
                continue
            if not isinstance(work, list):
                self._do(work)
                continue
            first = receive(work[0], clock).identity
            is_new = first.fitted and first.announced is None
            if is_new and not self._fit_credit.allows(monotonic()) and self._leave_fit_out(work):
                continue
            before, began = self._emitter.accounted, time.thread_time()
            try:
                self._record(work, clock)
            except faults() as error:
                calls = [receive(item, clock) for item in work]
                done = self._emitter.accounted - before
                self.queue.drop(calls[0].identity, CAPTURE_FAILED, sum(call.rows for call in calls) - done)
                failed("turn predictions into telemetry", error)
            if is_new:
                self._fit_credit.spend(time.thread_time() - began)

    def _leave_fit_out(self, work: list[Item]) -> bool:
        """Count the rows of a model for which there is no time. False for rows that actuals are to find."""
        calls = [receive(item, 0) for item in work]
        if any(call.scope is not None and call.scope.identifies for call in calls):
            return False
        self.queue.drop(calls[0].identity, MANY_FITS, sum(call.rows for call in calls))
        return True

    def _give_up(self, work: list[Item] | Task) -> None:
        """Count what is too late."""
        if isinstance(work, list):
            calls = [receive(item, 0) for item in work]
            self.queue.drop(calls[0].identity, EXIT, sum(call.rows for call in calls))
        else:
            attempt("count what is too late", getattr(work, "give_up", tuple))
            warn_once(
                "exit", f"What was still to be said of models could not be handed over before the exit. {_EXIT_DECIDES}"
            )

    def _do(self, task: Task) -> None:
        try:
            task()
        except faults() as error:
            failed("emit an event", error)

    def _record(self, items: list[Item], clock: int) -> None:
        from modelspan.instrumentation.recorder.alike import gather
        from modelspan.instrumentation.recorder.events import announce, batch_attributes, note_prediction
        from modelspan.instrumentation.recorder.group import Group
        from modelspan.instrumentation.recorder.spans import make_spans

        first = receive(items[0], clock)
        first.identity.resolve(first.model, self.config)
        pause = self.turns.pause
        pause()
        alike = gather(first, items, clock)
        pause()
        group = Group(alike, self.policy)
        pause()
        ids = group.ids(self.recorder_id + "-", self._row_number)
        self._row_number += group.size
        spans = make_spans(group, ids, self._signals.tracer, self.config)
        self._measure(group)
        pause()
        logger = self.logger
        if logger is None:
            return
        announce(logger, first.identity, first.model, group.policy.described)
        note_prediction(first.identity)
        attributes = batch_attributes(first.identity, first.model, first.operation) | group.captured()
        table, rows = self._sampling.of(group, group.table(ids, spans))
        pause()
        self._emitter.unsampled += int(group.totals.sum()) - rows
        self._emitter.emit(logger, table, rows, attributes)

    def _measure(self, group: Group) -> None:
        if self._metrics is None:
            return
        first = group.first
        framework = first.identity.facts(first.model)[ML_FRAMEWORK_NAME]
        self._metrics.calls(
            first.identity, framework, first.operation, first.error, int(group.totals.sum()), group.durations
        )
        self._metrics.redacted(first.identity, group.policy.detected)
        if first.operation == _PREDICT_PROBA and names.SCORE in group.outputs:
            scores, counts = group.outputs[names.SCORE], group.counts()
            present = slice(None) if scores.valid is None else scores.valid
            self._metrics.scores(first.identity, scores.values[present], None if counts is None else counts[present])

    def _count_left_out(self) -> None:
        alike: dict[tuple[Identity, str], list[LeftOut]] = {}
        for call in self.queue.take_left_out():
            alike.setdefault((call.identity, call.operation), []).append(call)
        for (identity, operation), calls in alike.items():
            rows = sum(call.rows for call in calls)
            self._emitter.unsampled += rows
            if self._metrics is not None:
                identity.resolve(calls[0].model, self.config)
                framework = identity.facts(calls[0].model)[ML_FRAMEWORK_NAME]
                durations = np.array([call.duration for call in calls])
                self._metrics.calls(identity, framework, operation, None, rows, durations)

    def _emit_truth(self) -> None:
        if self._truth is not None:
            self._lost += self._truth.emit(self.logger)

    def _count_lost(self) -> None:
        """Count what was lost after it was emitted. It stays recorded: that it never arrived says the same."""
        for (model, _), rows in self._signals.take_lost().items():
            self._lost += rows
            if self._metrics is not None:
                self._metrics.dropped(model, EXPORT_FAILED, rows)

    def _count_dropped(self) -> None:
        self._count_lost()
        for (identity, reason), rows in self.queue.take_dropped().items():
            self._emitter.dropped += rows
            self._lost += rows
            if reason != CAPTURE_FAILED:  # that was said, with its cause
                decides = f"{PREFIX}{_DECIDES.get(reason, 'QUEUE_BYTES')}"
                warn_once(
                    f"dropped:{reason}",
                    f"Rows of predictions were dropped ({reason}); they are counted as dropped. {decides} decides.",
                )
            if self._metrics is not None:
                self._metrics.dropped(identity.name or "", reason, rows)


_KINDS = {
    events.ML_PREDICTION_BATCH: "predictions",
    events.ML_PREDICTION_DETAILS: "single predictions",
    events.ML_PREDICTION_ACTUAL: "actuals",
    events.ML_PREDICTION_OUTCOME: "outcomes",
    events.ML_REFERENCE_PROFILE: "references",
    events.ML_MODEL_LOADED: "models",
}
"""By event, what it counts."""
CAPTURE_FAILED = ModelspanDropReasonValues.CAPTURE_FAILED.value
EXIT = ModelspanDropReasonValues.EXIT.value
MANY_FITS = ModelspanDropReasonValues.MANY_FITS.value
_DECIDES = {EXIT: "EXIT_TIMEOUT", MANY_FITS: "DUTY"}
"""The option that decides whether rows are dropped for a reason, where it is not the size of the queue."""
EXPORT_FAILED = ModelspanDropReasonValues.EXPORT_FAILED.value
_EXIT_DECIDES = f"{PREFIX}EXIT_TIMEOUT decides how long it may take."


def _own_version() -> str:
    try:
        return version("modelspan")
    except PackageNotFoundError:
        return "0"
