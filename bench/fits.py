"""What the reference of a fit costs the program that fits.

A program on its own: `python -m bench.fits`. `caller` is the time within the fit that goes to the copy of the data and all else that is not the
fit, measured there, since the fits themselves differ by more from one to the next; `background` is the processor time that the recorder's thread
takes afterwards. Medians.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
import pandas as pd
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, LogRecordExporter, LogRecordExportResult
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from modelspan.instrumentation.patching import wrappers
from modelspan.instrumentation.recorder import training
from modelspan.instrumentation.recorder.identity import identities
from modelspan.instrumentation.sklearn import SklearnInstrumentor

SECONDS = 3.0
"""Of one kind of model and size; at least MIN_FITS fits."""
MIN_FITS = 3


class _Logs(LogRecordExporter):
    def export(self, batch: Any) -> LogRecordExportResult:
        encode_logs(batch).SerializeToString()
        return LogRecordExportResult.SUCCESS

    def shutdown(self) -> None:
        pass

    def force_flush(self, timeout_millis: int = 10_000) -> bool:
        return True


def _data(rows: int) -> tuple[Any, Any]:
    x = np.random.default_rng(rows).normal(size=(rows, 20))
    return x, x[:, :3].sum(axis=1) + np.random.default_rng(1).normal(size=rows) > 0


def _frame(x: Any) -> Any:
    frame = pd.DataFrame(x, columns=[f"n{i}" for i in range(20)])
    for i in range(5):
        frame[f"c{i}"] = np.array(["DE", "FR", "US"])[np.digitize(x[:, i], [-0.5, 0.5])]
    return frame


def _programs() -> dict[str, Callable[[Any], tuple[Any, Any]]]:
    encode = make_column_transformer(
        (StandardScaler(), [f"n{i}" for i in range(20)]), (OneHotEncoder(), [f"c{i}" for i in range(5)])
    )
    return {
        "LogisticRegression": lambda x: (LogisticRegression(), x),
        "RandomForest, 20 trees": lambda x: (RandomForestClassifier(20, max_depth=8, n_jobs=2), x),
        "HistGradientBoosting, 20 trees": lambda x: (HistGradientBoostingClassifier(max_iter=20), x),
        "Pipeline on a DataFrame": lambda x: (make_pipeline(encode, LogisticRegression()), _frame(x)),
    }


def table() -> str:
    """Rows of Markdown: what a fit takes, what the caller waits for more, and what the background does."""
    provider = LoggerProvider()
    provider.add_log_record_processor(BatchLogRecordProcessor(_Logs()))
    SklearnInstrumentor().instrument(logger_provider=provider, flush_interval=1000.0)
    training.PER_SECOND = 1e6  # so that every fit has its reference
    recorder, clock = _recorder(), _Clock()
    for name in ("copy_before_fit", "reference_after_fit"):
        clock.before(wrappers, name)
    clock.before(identities, "refit")
    lines = ["| fit | rows | fit, ms | caller, ms | of the fit | background, ms |", "|---|---|---|---|---|---|"]
    for name, program in _programs().items():
        for rows in (1_000, 100_000):
            x, y = _data(rows)
            model, data = program(x)
            bare, more, background = _measure(model, data, y, recorder, clock)
            lines.append(
                f"| {name} | {rows} | {bare * 1e3:.1f} | {more * 1e3:.2f} | {more / bare:.1%} | {background * 1e3:.0f} |"
            )
    return "\n".join(lines)


def _recorder() -> Any:
    from modelspan.instrumentation.recorder import current

    return current.get()


class _Clock:
    """Adds up the time that functions take which it stands before."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def before(self, owner: Any, name: str) -> None:
        function = getattr(owner, name)

        def timed(*args: Any) -> Any:
            start = time.perf_counter()
            try:
                return function(*args)
            finally:
                self.seconds += time.perf_counter() - start

        setattr(owner, name, timed)


def _measure(model: Any, x: Any, y: Any, recorder: Any, clock: _Clock) -> tuple[float, float, float]:
    fit: list[float] = []
    caller: list[float] = []
    background: list[float] = []
    model.fit(x, y)
    end = time.monotonic() + SECONDS
    while len(fit) < MIN_FITS or time.monotonic() < end:
        recorder.drain()
        clock.seconds = 0.0
        start = time.perf_counter()
        model.fit(x, y)
        fit.append(time.perf_counter() - start - clock.seconds)
        caller.append(clock.seconds)
        before = time.thread_time()
        recorder.drain()
        background.append(time.thread_time() - before)
    return median(fit), median(caller), median(background)


if __name__ == "__main__":
    print(table())
