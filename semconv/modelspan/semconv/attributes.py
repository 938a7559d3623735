"""Attribute names, and the values of enumerations.

Generated from `registry/` by `python -m modelspan.semconv.generate`. Do not edit.
"""

from enum import Enum
from typing import Final

ML_ACTUAL_LABEL: Final = "ml.actual.label"
"""Ground-truth class label.

> [!WARNING]
>
> This attribute may contain sensitive (PII) information.
"""

ML_ACTUAL_SOURCE: Final = "ml.actual.source"
"""Origin of the ground truth."""

ML_ACTUAL_VALUE: Final = "ml.actual.value"
"""Ground-truth numeric value."""

ML_CAPTURE_FEATURES: Final = "ml.capture.features"
"""Which features are captured, if not all."""

ML_CAPTURE_UNREADABLE: Final = "ml.capture.unreadable"
"""Why features of predictions are missing that no rule of the configuration names."""

ML_DATA_QUALITY_CHECK: Final = "ml.data_quality.check"
"""Data quality check."""

ML_DATA_QUALITY_REASON: Final = "ml.data_quality.reason"
"""Why a value, row or payload was not accepted."""

ML_DRIFT_METHOD: Final = "ml.drift.method"
"""Drift statistic."""

ML_DRIFT_P_VALUE: Final = "ml.drift.p_value"
"""P value of the test."""

ML_DRIFT_SCORE: Final = "ml.drift.score"
"""Value of the drift statistic."""

ML_DRIFT_STATUS: Final = "ml.drift.status"
"""Verdict of the drift test."""

ML_DRIFT_TARGET: Final = "ml.drift.target"
"""What was tested for drift."""

ML_DRIFT_THRESHOLD: Final = "ml.drift.threshold"
"""Threshold at which drift is reported."""

ML_ENDPOINT_NAME: Final = "ml.endpoint.name"
"""Name of the serving endpoint or pipeline that called the model."""

ML_EXPLANATION_BASE_VALUE: Final = "ml.explanation.base_value"
"""Expected model output to which the attributions add up."""

ML_EXPLANATION_FEATURE_NAMES: Final = "ml.explanation.feature.names"
"""Features, by falling absolute attribution."""

ML_EXPLANATION_FEATURE_VALUES: Final = "ml.explanation.feature.values"
"""Attributions aligned with the feature names."""

ML_EXPLANATION_LINK: Final = "ml.explanation.link"
"""Scale of the attributions."""

ML_EXPLANATION_METHOD: Final = "ml.explanation.method"
"""Method that produced the explanation."""

ML_EXPLANATION_OUTPUT_LABEL: Final = "ml.explanation.output.label"
"""Class or output that the explanation refers to."""

ML_FEATURE_NAME: Final = "ml.feature.name"
"""Name of one feature."""

ML_FRAMEWORK_NAME: Final = "ml.framework.name"
"""Framework that executes the model."""

ML_FRAMEWORK_VERSION: Final = "ml.framework.version"
"""Version of the framework that executes the model."""

ML_INPUT_FEATURE_COUNT: Final = "ml.input.feature.count"
"""Number of features per row."""

ML_INPUT_FEATURES: Final = "ml.input.features"
"""Input values by feature name: a scalar per feature for one row, an array per feature for several rows.

Missing values are recorded as empty values, never as NaN. Producers that cannot send maps send the map as a JSON string.

> [!WARNING]
>
> This attribute may contain sensitive (PII) information.
"""

ML_INPUT_ROW_COUNT: Final = "ml.input.row.count"
"""Number of rows passed to the model."""

ML_MODEL_CLASSES: Final = "ml.model.classes"
"""Class labels in the order in which the model reports scores."""

ML_MODEL_DIGEST: Final = "ml.model.digest"
"""Digest of what the model has learnt.

The same wherever the same fitted model is loaded, whatever it is called there.
"""

ML_MODEL_GRAPH_NAME: Final = "ml.model.graph.name"
"""Name of the graph in a model file that holds one."""

ML_MODEL_ID: Final = "ml.model.id"
"""Identifier of the model version in a model registry."""

ML_MODEL_NAME: Final = "ml.model.name"
"""Logical name of the model."""

ML_MODEL_PRODUCER: Final = "ml.model.producer"
"""Tool that wrote the model file."""

ML_MODEL_ROLE: Final = "ml.model.role"
"""Role of the model in the deployment."""

ML_MODEL_SOURCE_LOADER: Final = "ml.model.source.loader"
"""Function that loaded the model."""

ML_MODEL_SOURCE_URI: Final = "ml.model.source.uri"
"""Where the model was loaded from, a path or URI."""

ML_MODEL_TYPE: Final = "ml.model.type"
"""Fully qualified type of the model object."""

ML_MODEL_VERSION: Final = "ml.model.version"
"""Version of the model as known to the registry or the deployment."""

ML_OPERATION_NAME: Final = "ml.operation.name"
"""Operation performed on the model."""

ML_OUTCOME_NAME: Final = "ml.outcome.name"
"""Name of the business outcome."""

ML_OUTCOME_UNIT: Final = "ml.outcome.unit"
"""Unit of the business outcome: UCUM, or ISO 4217 for money."""

ML_OUTCOME_VALUE: Final = "ml.outcome.value"
"""Value of the business outcome."""

ML_OUTPUT_LABEL: Final = "ml.output.label"
"""Predicted class label.

Integer labels are recorded as their decimal string.

> [!WARNING]
>
> This attribute may contain sensitive (PII) information.
"""

ML_OUTPUT_LABELS: Final = "ml.output.labels"
"""Predicted labels by output name, of a model with several outputs."""

ML_OUTPUT_PREDICTIONS: Final = "ml.output.predictions"
"""Output columns of several rows: `label`, `score`, `scores`, `value`, each an array.

> [!WARNING]
>
> This attribute may contain sensitive (PII) information.
"""

ML_OUTPUT_SCORE: Final = "ml.output.score"
"""Score or probability of the predicted (or positive) class."""

ML_OUTPUT_SCORES: Final = "ml.output.scores"
"""Scores by class label.

A map of class label to score. An array in the order of `ml.model.classes` is accepted from producers that cannot send maps.
"""

ML_OUTPUT_THRESHOLD: Final = "ml.output.threshold"
"""Decision threshold applied to the score."""

ML_OUTPUT_VALUE: Final = "ml.output.value"
"""Predicted numeric value."""

ML_OUTPUT_VALUES: Final = "ml.output.values"
"""Predicted numbers by output name, of a model with several outputs."""

ML_PERFORMANCE_METRIC: Final = "ml.performance.metric"
"""Name of the performance measure."""

ML_PREDICTION_BATCH_DATA: Final = "ml.prediction.batch.data"
"""Rows of one model as Arrow IPC stream bytes.

Columns are described in docs/wire.md.

> [!WARNING]
>
> This attribute may contain sensitive (PII) information.
"""

ML_PREDICTION_BATCH_FORMAT: Final = "ml.prediction.batch.format"
"""Encoding of the batch."""

ML_PREDICTION_BATCH_ROW_COUNT: Final = "ml.prediction.batch.row.count"
"""Number of rows in the batch."""

ML_PREDICTION_BATCHED: Final = "ml.prediction.batched"
"""Whether the full record of the operation travels in an `ml.prediction.batch` event.

A receiver that stores batch events does not store such a span as a prediction.
"""

ML_PREDICTION_DURATION: Final = "ml.prediction.duration"
"""Seconds that the call took which made the prediction."""

ML_PREDICTION_ID: Final = "ml.prediction.id"
"""Identifier of one prediction; joins outcomes to it."""

ML_PREDICTION_TIME: Final = "ml.prediction.time"
"""Time of the prediction that is being labelled, ISO 8601."""

ML_PREDICTION_VARIANT: Final = "ml.prediction.variant"
"""Variant of an experiment that the prediction belongs to."""

ML_REDACTION_DETECTOR: Final = "ml.redaction.detector"
"""Kind of personal data that was found."""

ML_REDACTION_FEATURE_COUNT: Final = "ml.redaction.feature.count"
"""Number of features whose values were changed or removed before export, of which the first 100 are named."""

ML_REDACTION_FEATURES: Final = "ml.redaction.features"
"""Features whose values were changed or removed before export."""

ML_REDACTION_METHOD: Final = "ml.redaction.method"
"""How values were changed before export."""

ML_REDACTION_METHODS: Final = "ml.redaction.methods"
"""How each of `ml.redaction.features` was changed, in their order, as in `ml.redaction.method`."""

ML_REFERENCE_ID: Final = "ml.reference.id"
"""Identifier of the reference data set."""

ML_REFERENCE_PROFILE_DATA: Final = "ml.reference.profile.data"
"""Profile of the reference data as UTF-8 JSON bytes.

One entry per series: cut points and counts, or categories and counts. The format is described in docs/wire.md.

> [!WARNING]
>
> This attribute may contain sensitive (PII) information.
"""

ML_REFERENCE_SAMPLE_COUNT: Final = "ml.reference.sample.count"
"""Rows in the reference data set."""

ML_REFERENCE_SOURCE: Final = "ml.reference.source"
"""Origin of the reference data."""

ML_SAMPLING_ADJUSTED_COUNT: Final = "ml.sampling.adjusted_count"
"""Number of rows each captured row stands for."""

ML_SAMPLING_REASON: Final = "ml.sampling.reason"
"""Why the content was captured."""

ML_SEGMENT: Final = "ml.segment"
"""Segment of the population that the prediction belongs to, by segment name.

`<key>` is the segment name. Values have low cardinality.
"""

ML_TASK_TYPE: Final = "ml.task.type"
"""Kind of task the model solves."""

ML_TRAINING_DATASET_DIGEST: Final = "ml.training.dataset.digest"
"""Digest of the data snapshot the model was trained on.

Instrumentation writes `sha256:` and a digest of all rows, or `sample-sha256:` and a digest of a sample of rows and of the number of all rows.
"""

ML_TRAINING_DATASET_DIGESTS: Final = "ml.training.dataset.digests"
"""Digests of the data sets the model was trained on, as a tracking server knows them.

In the order of `ml.training.dataset.names`. How they are made is up to the tracking server.
"""

ML_TRAINING_DATASET_ID: Final = "ml.training.dataset.id"
"""Identifier of the data snapshot the model was trained on."""

ML_TRAINING_DATASET_NAMES: Final = "ml.training.dataset.names"
"""Names of the data sets the model was trained on, as a tracking server knows them."""

ML_TRAINING_END_TIME: Final = "ml.training.end_time"
"""Time at which the training ended, ISO 8601."""

ML_TRAINING_EXPERIMENT_ID: Final = "ml.training.experiment.id"
"""Identifier of the experiment that the training run belongs to."""

ML_TRAINING_RUN_ID: Final = "ml.training.run.id"
"""Identifier of the run that trained the model."""

ML_WINDOW_END: Final = "ml.window.end"
"""End of the evaluated window, ISO 8601."""

ML_WINDOW_SAMPLE_COUNT: Final = "ml.window.sample.count"
"""Rows in the evaluated window."""

ML_WINDOW_START: Final = "ml.window.start"
"""Start of the evaluated window, ISO 8601."""

MODELSPAN_DROP_REASON: Final = "modelspan.drop.reason"
"""Why rows were dropped."""

MODELSPAN_OUTCOME: Final = "modelspan.outcome"
"""What became of a request."""

MODELSPAN_RECORDER_ID: Final = "modelspan.recorder.id"
"""Identifier of the recorder, unique for each process."""

MODELSPAN_RECORDER_ROWS_DROPPED: Final = "modelspan.recorder.rows.dropped"
"""Rows that the recorder has dropped so far."""

MODELSPAN_RECORDER_ROWS_RECORDED: Final = "modelspan.recorder.rows.recorded"
"""Rows that the recorder has recorded so far, this batch included."""

MODELSPAN_RECORDER_ROWS_UNSAMPLED: Final = "modelspan.recorder.rows.unsampled"
"""Rows so far that sampling left out; others stand for them by their weight."""

MODELSPAN_RECORDER_SEQUENCE: Final = "modelspan.recorder.sequence"
"""Number of the batch, counted by its recorder from zero.

A gap seen by a receiver is a loss on the way.
"""

MODELSPAN_SIGNAL: Final = "modelspan.signal"
"""OTLP signal."""

MODELSPAN_TABLE: Final = "modelspan.table"
"""Table of the store."""


class MlActualSourceValues(str, Enum):
    """Origin of the ground truth."""

    SYSTEM = "system"
    """Observed by a system."""

    HUMAN = "human"
    """Given by a person."""

    HEURISTIC = "heuristic"
    """Derived by a rule."""


class MlCaptureFeaturesValues(str, Enum):
    """Which features are captured, if not all."""

    LISTED = "listed"
    """Those on a list."""

    NONE = "none"
    """None."""


class MlCaptureUnreadableValues(str, Enum):
    """Why features of predictions are missing that no rule of the configuration names."""

    QUANTIZED = "quantized"
    """The library holds the bins that the values fell into, not the values."""

    STREAMED = "streamed"
    """The library reads the values from an iterator or a disk, for one thread at a time."""

    CATEGORICAL = "categorical"
    """The library does not give back categories, texts and embeddings."""

    DEVICE = "device"
    """The values are in the memory of another device."""

    UNKNOWN_TYPE = "unknown_type"
    """How an input of this type is read is not known."""

    TOO_LARGE = "too_large"
    """There is no room for a copy of the values."""

    WITHHELD = "withheld"
    """The configuration leaves out tensors."""

    ROW_COUNT = "row_count"
    """The input has another number of rows than there are predictions."""

    ERROR = "error"
    """Reading the values failed, which the program's log says."""


class MlDataQualityCheckValues(str, Enum):
    """Data quality check."""

    MISSING = "missing"
    """Value is missing."""

    OUT_OF_RANGE = "out_of_range"
    """Value outside the reference range."""

    UNSEEN_CATEGORY = "unseen_category"
    """Category not in the reference."""

    TYPE_MISMATCH = "type_mismatch"
    """Type differs from the signature."""

    SCHEMA_MISMATCH = "schema_mismatch"
    """Features differ from the signature."""


class MlDriftMethodValues(str, Enum):
    """Drift statistic."""

    PSI = "psi"
    """Population stability index."""

    KS = "ks"
    """Kolmogorov-Smirnov."""

    CHI2 = "chi2"
    """Chi-squared."""

    PROPORTION = "proportion"
    """Test of two proportions, used for the share of missing values."""

    JS_DISTANCE = "js_distance"
    """Jensen-Shannon distance."""

    WASSERSTEIN = "wasserstein"
    """Wasserstein distance."""

    MMD = "mmd"
    """Maximum mean discrepancy."""

    DOMAIN_CLASSIFIER = "domain_classifier"
    """Domain classifier."""


class MlDriftStatusValues(str, Enum):
    """Verdict of the drift test."""

    OK = "ok"
    """No drift."""

    WARNING = "warning"
    """Close to the threshold."""

    DRIFTED = "drifted"
    """Threshold exceeded."""

    INSUFFICIENT_DATA = "insufficient_data"
    """Too few rows."""

    NO_REFERENCE = "no_reference"
    """Nothing to compare with."""


class MlDriftTargetValues(str, Enum):
    """What was tested for drift."""

    FEATURE = "feature"
    """One input feature."""

    MISSING = "missing"
    """The share of missing values of one input feature."""

    PREDICTION = "prediction"
    """The model output."""

    ACTUAL = "actual"
    """The ground truth."""

    DATASET = "dataset"
    """All features together."""

    CONCEPT = "concept"
    """Relation of input and ground truth."""


class MlExplanationLinkValues(str, Enum):
    """Scale of the attributions."""

    IDENTITY = "identity"
    """Units of the model output."""

    LOGIT = "logit"
    """Log odds."""


class MlExplanationMethodValues(str, Enum):
    """Method that produced the explanation."""

    TREE_SHAP = "tree_shap"
    """Tree SHAP."""

    LINEAR_SHAP = "linear_shap"
    """Linear SHAP."""

    KERNEL_SHAP = "kernel_shap"
    """Kernel SHAP."""

    PERMUTATION = "permutation"
    """Permutation importance."""

    INTEGRATED_GRADIENTS = "integrated_gradients"
    """Integrated gradients."""


class MlFrameworkNameValues(str, Enum):
    """Framework that executes the model."""

    SKLEARN = "sklearn"
    """scikit-learn."""

    PYTORCH = "pytorch"
    """PyTorch."""

    XGBOOST = "xgboost"
    """XGBoost."""

    LIGHTGBM = "lightgbm"
    """LightGBM."""

    CATBOOST = "catboost"
    """CatBoost."""

    ONNXRUNTIME = "onnxruntime"
    """ONNX Runtime."""

    MLFLOW = "mlflow"
    """MLflow, of a model that is a Python function."""


class MlModelRoleValues(str, Enum):
    """Role of the model in the deployment."""

    CHAMPION = "champion"
    """Serves the traffic."""

    CHALLENGER = "challenger"
    """Serves part of the traffic in an experiment."""

    CANARY = "canary"
    """Serves a small part of the traffic before a full roll-out."""

    SHADOW = "shadow"
    """Receives a copy of the traffic; its output is not used."""

    FALLBACK = "fallback"
    """Used when another model failed."""


class MlOperationNameValues(str, Enum):
    """Operation performed on the model."""

    PREDICT = "predict"
    """Labels or numeric values."""

    PREDICT_PROBA = "predict_proba"
    """Class probabilities."""

    PREDICT_LOG_PROBA = "predict_log_proba"
    """Logarithms of class probabilities."""

    DECISION_FUNCTION = "decision_function"
    """Uncalibrated scores."""

    TRANSFORM = "transform"
    """Feature transformation."""

    SCORE_SAMPLES = "score_samples"
    """Anomaly or density scores."""

    EXPLAIN = "explain"
    """Explanation of predictions."""


class MlPredictionBatchFormatValues(str, Enum):
    """Encoding of the batch."""

    ARROW_STREAM = "arrow_stream"
    """Arrow IPC stream, application/vnd.apache.arrow.stream."""


class MlRedactionDetectorValues(str, Enum):
    """Kind of personal data that was found."""

    EMAIL = "email"
    """E-mail address."""

    IBAN = "iban"
    """International bank account number."""

    CARD = "card"
    """Number of a payment card."""

    PHONE = "phone"
    """Phone number."""


class MlRedactionMethodValues(str, Enum):
    """How values were changed before export."""

    REMOVED = "removed"
    """Removed."""

    HASHED = "hashed"
    """Replaced by a keyed hash."""

    MASKED = "masked"
    """Replaced by a fixed value."""

    BUCKETED = "bucketed"
    """Replaced by a bucket."""


class MlReferenceSourceValues(str, Enum):
    """Origin of the reference data."""

    TRAINING = "training"
    """Set from data that the model was trained on or held out of it."""

    FIT = "fit"
    """Seen by the instrumentation when the model was fitted."""

    FIRST_PREDICTIONS = "first_predictions"
    """Collected from the first predictions of the model."""

    PROVISIONAL_PREDICTIONS = "provisional_predictions"
    """Collected from few of the first predictions, until all that are wanted are there."""


class MlSamplingReasonValues(str, Enum):
    """Why the content was captured."""

    RANDOM = "random"
    """Random selection."""

    ERROR = "error"
    """The operation failed."""

    UNCERTAIN = "uncertain"
    """Score close to the threshold."""

    SLOW = "slow"
    """The operation took long."""

    SEGMENT = "segment"
    """Segment selected."""

    FORCED = "forced"
    """Forced by the caller."""


class MlTaskTypeValues(str, Enum):
    """Kind of task the model solves."""

    BINARY_CLASSIFICATION = "binary_classification"
    """Two classes."""

    MULTICLASS_CLASSIFICATION = "multiclass_classification"
    """More than two exclusive classes."""

    MULTILABEL_CLASSIFICATION = "multilabel_classification"
    """Non exclusive classes."""

    REGRESSION = "regression"
    """Numeric value."""

    RANKING = "ranking"
    """Order of items."""

    CLUSTERING = "clustering"
    """Cluster assignment."""

    ANOMALY_DETECTION = "anomaly_detection"
    """Degree of abnormality."""

    FORECASTING = "forecasting"
    """Future values of a series."""

    EMBEDDING = "embedding"
    """Vector representation."""

    TRANSFORMATION = "transformation"
    """Feature transformation."""


class ModelspanDropReasonValues(str, Enum):
    """Why rows were dropped."""

    QUEUE_FULL = "queue_full"
    """The queue was full."""

    CAPTURE_FAILED = "capture_failed"
    """The values could not be captured."""

    EXPORT_FAILED = "export_failed"
    """The batch could not be exported."""

    EXIT = "exit"
    """The process ended before."""

    MANY_FITS = "many_fits"
    """The program fitted more models than the recorder may take time for."""


class ModelspanOutcomeValues(str, Enum):
    """What became of a request."""

    ACCEPTED = "accepted"
    """Durable and acknowledged."""

    REJECTED = "rejected"
    """Refused for good."""

    RETRY = "retry"
    """Refused for now."""


class ModelspanSignalValues(str, Enum):
    """OTLP signal."""

    TRACES = "traces"
    """Spans."""

    METRICS = "metrics"
    """Metrics."""

    LOGS = "logs"
    """Log records and events."""
