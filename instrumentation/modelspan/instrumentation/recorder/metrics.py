"""Counters and histograms of predictions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from opentelemetry.metrics import Meter
from opentelemetry.semconv.attributes.error_attributes import ERROR_TYPE

from modelspan.instrumentation.recorder.histograms import record_all
from modelspan.instrumentation.recorder.identity import Identity
from modelspan.semconv import attributes as ml
from modelspan.semconv import metrics as names

DURATION_BOUNDS = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1),
    *(0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
"""Seconds."""
SCORE_BOUNDS = tuple(round(step * 0.05, 2) for step in range(1, 20))

MAX_VERSIONS = 100
"""Model versions told apart in one process. Later ones are measured without their version."""


class PredictionMetrics:
    """The instruments, and a bound on how many series they make."""

    def __init__(self, meter: Meter) -> None:
        self._versions: set[tuple[str, str]] = set()
        self._duration = meter.create_histogram(
            names.ML_OPERATION_DURATION,
            unit="s",
            description="Duration of inference operations.",
            explicit_bucket_boundaries_advisory=DURATION_BOUNDS,
        )
        self._score = meter.create_histogram(
            names.ML_PREDICTION_SCORE,
            unit="1",
            description="Distribution of scores, of all predicted rows.",
            explicit_bucket_boundaries_advisory=SCORE_BOUNDS,
        )
        self._predictions = meter.create_counter(
            names.ML_PREDICTIONS, unit="{prediction}", description="Number of predicted rows."
        )
        self._redacted = meter.create_counter(
            names.MODELSPAN_RECORDER_REDACTED, unit="{value}", description="Personal data found in texts and withheld."
        )
        self._dropped = meter.create_counter(
            names.MODELSPAN_RECORDER_DROPPED, unit="{row}", description="Rows that the recorder dropped."
        )

    def calls(
        self,
        identity: Identity,
        framework: str,
        operation: str,
        error: str | None,
        rows: int,
        durations: npt.NDArray[np.int64],
    ) -> None:
        """Count calls that share these facts. `durations` are nanoseconds, one for each call."""
        attributes = self._model(identity) | {ml.ML_OPERATION_NAME: operation}
        if error is not None:
            attributes[ERROR_TYPE] = error
        self._predictions.add(rows, attributes)
        record_all(self._duration, durations / 1e9, attributes | {ml.ML_FRAMEWORK_NAME: framework})

    def redacted(self, identity: Identity, detected: Mapping[str, int]) -> None:
        """Count values in which personal data was found, by its kind."""
        for kind, count in detected.items():
            self._redacted.add(count, self._model(identity) | {ml.ML_REDACTION_DETECTOR: kind})

    def scores(self, identity: Identity, scores: npt.NDArray[np.float64], counts: npt.NDArray[np.int64] | None) -> None:
        """Count probabilities, each for as many predictions as `counts` says; None: for one."""
        record_all(self._score, scores, self._model(identity), counts)

    def dropped(self, model: str, reason: str, rows: int) -> None:
        """Count rows that were lost of a model."""
        self._dropped.add(rows, {ml.ML_MODEL_NAME: model, ml.MODELSPAN_DROP_REASON: reason})

    def _model(self, identity: Identity) -> dict[str, Any]:
        series = (identity.name or "", identity.version or "")
        if series not in self._versions and len(self._versions) >= MAX_VERSIONS:
            return {ml.ML_MODEL_NAME: series[0]}
        self._versions.add(series)
        return {ml.ML_MODEL_NAME: series[0], ml.ML_MODEL_VERSION: series[1]}
