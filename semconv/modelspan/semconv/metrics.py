"""Metric names.

Generated from `registry/` by `python -m modelspan.semconv.generate`. Do not edit.
"""

from typing import Final

ML_OPERATION_DURATION: Final = "ml.operation.duration"
"""Duration of inference operations.

Instrument: histogram
Unit: s
"""

ML_PREDICTIONS: Final = "ml.predictions"
"""Number of predicted rows.

Instrument: counter
Unit: {prediction}
"""

ML_PREDICTION_SCORE: Final = "ml.prediction.score"
"""Distribution of scores, of all predicted rows.

Instrument: histogram
Unit: 1
"""

ML_PREDICTION_VALUE: Final = "ml.prediction.value"
"""Distribution of predicted numbers.

Instrument: histogram
Unit: 1
"""

ML_DRIFT_SCORE: Final = "ml.drift.score"
"""Latest value of a drift statistic.

Instrument: gauge
Unit: 1
"""

ML_DATA_QUALITY_VIOLATIONS: Final = "ml.data_quality.violations"
"""Number of values that failed a data quality check.

Instrument: counter
Unit: {violation}
"""

ML_PERFORMANCE_SCORE: Final = "ml.performance.score"
"""Latest value of a performance measure.

Instrument: gauge
Unit: 1
"""

ML_FEATURE_IMPORTANCE: Final = "ml.feature.importance"
"""Mean absolute attribution of a feature.

Instrument: gauge
Unit: 1
"""

MODELSPAN_RECORDER_DROPPED: Final = "modelspan.recorder.dropped"
"""Rows that the recorder dropped.

Instrument: counter
Unit: {row}
"""

MODELSPAN_RECORDER_REDACTED: Final = "modelspan.recorder.redacted"
"""Personal data that was found in texts and withheld.

Instrument: counter
Unit: {value}
"""

MODELSPAN_RECEIVER_REQUESTS: Final = "modelspan.receiver.requests"
"""OTLP requests by what became of them.

Instrument: counter
Unit: {request}
"""

MODELSPAN_RECEIVER_BYTES: Final = "modelspan.receiver.bytes"
"""Bytes of accepted OTLP requests, after decompression.

Instrument: counter
Unit: By
"""

MODELSPAN_JOURNAL_BYTES: Final = "modelspan.journal.bytes"
"""Bytes in the journal that are not in the store yet.

Instrument: gauge
Unit: By
"""

MODELSPAN_JOURNAL_REQUESTS: Final = "modelspan.journal.requests"
"""Requests in the journal that are not in the store yet.

Instrument: gauge
Unit: {request}
"""

MODELSPAN_STORE_UP: Final = "modelspan.store.up"
"""1 when the store takes rows, 0 when the journal holds them.

Instrument: gauge
Unit: 1
"""

MODELSPAN_WINDOWS_WAITING: Final = "modelspan.windows.waiting"
"""Windows that wait for a verdict, the open ones included.

Instrument: gauge
Unit: {window}
"""

MODELSPAN_WINDOWS_DROPPED: Final = "modelspan.windows.dropped"
"""Windows that found no place to wait for a verdict since the start; they are judged when there is room.

Instrument: gauge
Unit: {window}
"""

MODELSPAN_WINDOWS_SKIPPED: Final = "modelspan.windows.skipped"
"""Windows that got no verdict although the store answers, since the start; see the log.

Instrument: gauge
Unit: {window}
"""

MODELSPAN_STORE_ROWS: Final = "modelspan.store.rows"
"""Rows written to the store.

Instrument: counter
Unit: {row}
"""

MODELSPAN_DECODE_REJECTED: Final = "modelspan.decode.rejected"
"""Payloads or rows that could not be decoded.

Instrument: counter
Unit: {payload}
"""
