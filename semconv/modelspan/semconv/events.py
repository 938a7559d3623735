"""Event names.

Generated from `registry/` by `python -m modelspan.semconv.generate`. Do not edit.
"""

from typing import Final

ML_MODEL_LOADED: Final = "ml.model.loaded"
"""A model became ready to serve; carries identity and lineage once.

Severity INFO (9).
"""

ML_PREDICTION_BATCH: Final = "ml.prediction.batch"
"""Predictions of one model, collected over a short time, as columns.

Severity INFO (9): a filter below INFO would lose every prediction. Rows of one model and operation, at most 512 KiB of data.
The name of each event also travels as the attribute `event.name`.
"""

ML_PREDICTION_DETAILS: Final = "ml.prediction.details"
"""One prediction, from producers that do not write batches.

Severity INFO (9).
"""

ML_REFERENCE_PROFILE: Final = "ml.reference.profile"
"""Reference data of a model, as a profile.

Severity INFO (9).
"""

ML_REFERENCE_WITHDRAWN: Final = "ml.reference.withdrawn"
"""Reference data of a model that was set by mistake, and is to be used no longer.

Severity INFO (9). Set again later, it holds again.
"""

ML_PREDICTION_ACTUAL: Final = "ml.prediction.actual"
"""Ground truth for an earlier prediction, or for several, as columns.

Severity INFO (9). Columns are described in docs/wire.md.
"""

ML_PREDICTION_OUTCOME: Final = "ml.prediction.outcome"
"""Business outcome of an earlier prediction, or of several, as columns.

Severity INFO (9). Columns are described in docs/wire.md.
"""

ML_EXPLANATION_RESULT: Final = "ml.explanation.result"
"""Explanation of one prediction.

Severity INFO (9).
"""

ML_EXPLANATION_SUMMARY: Final = "ml.explanation.summary"
"""Mean absolute attributions over a window.

Severity INFO (9).
"""

ML_DRIFT_RESULT: Final = "ml.drift.result"
"""Result of one drift test.

Severity INFO (9), WARN (13) if the status is `drifted`.
"""
