"""A small store with known contents: statements for `Gateway.execute`."""

from __future__ import annotations

PREDICTIONS = """
INSERT INTO ml_predictions (time, service_name, environment, model_name, model_version, operation, prediction_id, trace_id,
    span_id, duration, features_numeric, features_text, label, score, weight, error_type)
SELECT toDateTime64('2025-03-01 12:00:00', 9, 'UTC') + toIntervalMillisecond(number * 100), 'shop', 'prod', 'fraud', '2',
    'predict', concat('p', toString(number)), if(number = 1198, '', lower(hex(number))), 's', (number + 1) * 1000000,
    map('amount', number / 10), map('country', ['DE', 'FR'][number % 2 + 1]),
    toString(number % 2), number / 1200, if(number < 600, 1, 2), if(number % 100 = 0, 'ValueError', '')
FROM numbers(1200)
"""

TRACES = """
INSERT INTO otel_traces (Timestamp, TraceId, SpanId, SpanName, ServiceName)
SELECT toDateTime64('2025-03-01 12:01:59', 9), '04af', 's', 'predict fraud', 'shop'
"""

OTHER_MODEL = """
INSERT INTO ml_predictions (time, service_name, model_name, model_version, operation, prediction_id, weight)
SELECT toDateTime64('2025-03-01 12:01:00', 9, 'UTC') + number, 'shop', 'price', '1', 'predict', concat('q', toString(number)), 1
FROM numbers(10)
"""

MODELS = """
INSERT INTO ml_models (service_name, environment, model_name, model_version, model_type, framework_name, task_type,
    training_data, model_digest, first_seen, last_seen)
VALUES ('shop', 'prod', 'fraud', '2', 'LogisticRegression', 'scikit-learn', 'classification',
    ['sha256:ab'], 'd2', '2025-03-01 11:00:00', '2025-03-01 12:01:00'),
    ('shop', 'prod', 'fraud', '1', 'LogisticRegression', 'scikit-learn', 'classification',
    [], NULL, '2025-02-01 11:00:00', '2025-02-01 12:01:00')
"""

REFERENCES = """
INSERT INTO ml_references (reference_id, source, service_name, environment, model_name, model_version, series_kind,
    series_name, series_type, rows, missing, cuts, categories, counts, valid_from, created_at)
VALUES
('train2', 'training', '', '', 'fraud', '2', 'feature', 'amount', 'numeric', 100, 10, [1.5, 20], [], [30, 40, 20], 0, 10),
('train2', 'training', '', '', 'fraud', '2', 'feature', 'country', 'categorical', 100, 0, [], ['DE', 'FR'], [60, 40, 0], 0, 10),
('general', 'training', '', '', 'fraud', '', 'feature', 'amount', 'numeric', 70, 0, [9], [], [35, 35], 0, 20),
('fit2', 'fit', 'shop', 'prod', 'fraud', '2', 'feature', 'amount', 'numeric', 90, 0, [9], [], [45, 45], 0, 40),
('some2', 'provisional_predictions', 'shop', 'prod', 'fraud', '2', 'label', '', 'categorical', 20, 0, [], ['0', '1'], [9, 11, 0], 0, 5),
('first2', 'first_predictions', 'shop', 'prod', 'fraud', '2', 'feature', 'amount', 'numeric', 50, 0, [9], [], [25, 25], 0, 30),
('first2', 'first_predictions', 'shop', 'prod', 'fraud', '2', 'label', '', 'categorical', 50, 0, [], ['0', '1'], [25, 25, 0], 0, 30)
"""

TRAINED_ELSEWHERE = (
    """
INSERT INTO ml_models (service_name, model_name, model_version, model_type, training_data, model_digest)
VALUES ('training', 'LinearRegression', 'fit-7', 'LinearRegression', ['sha256:cd'], '77'),
    ('shop', 'price', '1', 'LinearRegression', ['prices@5'], '77'),
    ('training', 'LinearRegression', 'fit-8', 'LinearRegression', ['sha256:ef'], '88')
""",
    """
INSERT INTO ml_references (reference_id, source, service_name, model_name, model_version, model_digest, series_kind,
    series_name, series_type, rows, cuts, counts, created_at)
VALUES ('fit7', 'fit', 'training', 'LinearRegression', 'fit-7', '77', 'feature', 'size', 'numeric', 4, [9], [1, 3], 10),
    ('fit8', 'fit', 'training', 'LinearRegression', 'fit-8', '88', 'feature', 'size', 'numeric', 8, [9], [4, 4], 20),
    ('renamed', 'training', 'training', 'LogisticRegression', 'fit-2', 'd2', 'score', '', 'numeric', 8, [9], [4, 4], 20)
""",
    """
INSERT INTO ml_feature_windows (service_name, model_name, model_version, segment, window_start, window_end,
    series_kind, series_name, reference_id, rows, weight, weight_squared, missing, counts, computed_at)
VALUES ('shop', 'price', '1', '', '2025-03-01 12:00:00', '2025-03-01 12:05:00', 'feature', 'size', 'fit7', 4, 4, 4, 0, [2, 2], 1)
""",
)
"""A model that a registry calls `price`, and the program that fitted it as something else; another fit; and a reference under
another name of a model that has one under its own."""

WINDOWS = """
INSERT INTO ml_windows (service_name, environment, model_name, model_version, segment, window_start, window_end, rows,
    reference_id, status, tests, alpha, drifted, reason, computed_at)
VALUES
('shop', 'prod', 'fraud', '2', '', '2025-03-01 11:55:00', '2025-03-01 12:00:00', 10, 'train2', 'ok', 3, 0.05, [], 'old', 1),
('shop', 'prod', 'fraud', '2', '', '2025-03-01 12:00:00', '2025-03-01 12:05:00', 9, 'train2', 'ok', 3, 0.05, [], 'early', 1),
('shop', 'prod', 'fraud', '2', '', '2025-03-01 12:00:00', '2025-03-01 12:05:00', 1200, 'train2', 'drifted', 3, 0.05,
    ['feature amount'], 'amount moved', 2),
('shop', '', 'price', '1', '', '2025-03-01 12:00:00', '2025-03-01 12:05:00', 10, '', 'no_reference', 0, 0.05, [], 'none yet', 1)
"""

REPLACED = """
INSERT INTO ml_replaced_verdicts (service_name, environment, model_name, model_version, segment, window_start, window_end,
    computed_at, replaced_at, replaced_because, rows, reference_id, status, tests, alpha, drifted, reason)
VALUES
('shop', 'prod', 'fraud', '2', '', '2025-03-01 12:00:00', '2025-03-01 12:05:00', 1, 2,
    'Predictions came late: 9 were there, now 1,200 are.', 9, 'train2', 'ok', 3, 0.05, [], 'early')
"""

DRIFT = """
INSERT INTO ml_drift (service_name, environment, model_name, model_version, segment, window_start, window_end, series_kind,
    series_name, reference_id, reference_source, method, status, statistic, effect, p_value, threshold, tolerance, psi, severity,
    rows, reason, computed_at)
SELECT 'shop', 'prod', 'fraud', '2', '', start, start + 300, kind, name, 'train2', 'training', 'ks', status, effect, effect,
    p_value, 0.01, 0.01, effect * 2, if(effect > 0.2, 'major', 'none'), 1200, reason, version
FROM VALUES('start DateTime64(3, \\'UTC\\'), kind String, name String, status String, effect Float64, p_value Float64,
    reason String, version UInt32',
    ('2025-03-01 11:55:00', 'feature', 'amount', 'ok', 0.01, 0.9, 'as before', 1),
    ('2025-03-01 12:00:00', 'feature', 'amount', 'ok', 0.02, 0.5, 'superseded', 1),
    ('2025-03-01 12:00:00', 'feature', 'amount', 'drifted', 0.4, 1e-9, 'amount moved', 2),
    ('2025-03-01 12:00:00', 'feature', 'country', 'ok', 0.03, 0.6, 'as before', 2),
    ('2025-03-01 12:00:00', 'label', '', 'insufficient_data', nan, nan, 'too few', 2))
"""

FEATURE_WINDOWS = """
INSERT INTO ml_feature_windows (service_name, environment, model_name, model_version, segment, window_start, window_end,
    series_kind, series_name, reference_id, rows, weight, weight_squared, missing, counts, computed_at)
VALUES
('shop', 'prod', 'fraud', '2', '', '2025-03-01 11:55:00', '2025-03-01 12:00:00', 'feature', 'amount', 'train2', 9, 9, 9, 0, [9, 0, 0], 1),
('shop', 'prod', 'fraud', '2', '', '2025-03-01 12:00:00', '2025-03-01 12:05:00', 'feature', 'amount', 'train2', 5, 5, 5, 0, [5, 0, 0], 1),
('shop', 'prod', 'fraud', '2', '', '2025-03-01 12:00:00', '2025-03-01 12:05:00', 'feature', 'amount', 'train2', 40, 40, 40, 4, [2, 10, 24], 2),
('shop', 'prod', 'fraud', '2', '', '2025-03-01 12:00:00', '2025-03-01 12:05:00', 'feature', 'country', 'train2', 40, 40, 40, 0, [10, 20, 10], 2)
"""

RECORDERS = """
INSERT INTO ml_recorders (recorder_id, service_name, model_name, sequence, rows, rows_recorded, rows_dropped, rows_unsampled,
    inserted_at)
VALUES ('whole', 'shop', 'fraud', 0, 10, 10, 0, 90, now64(3)), ('whole', 'shop', 'fraud', 1, 5, 15, 0, 135, now64(3)),
    ('whole', 'shop', 'fraud', 1, 5, 15, 0, 135, now64(3)),
    ('holed', 'shop', 'price', 0, 10, 10, 0, 0, now64(3)), ('holed', 'shop', 'price', 3, 10, 40, 7, 0, now64(3)),
    ('gone', 'shop', 'fraud', 0, 1, 1, 0, 0, now64(3) - toIntervalDay(3))
"""

ACTUALS = """
INSERT INTO ml_actuals (time, service_name, model_name, prediction_id, label, source, inserted_at)
VALUES ('2025-03-02 12:00:00', 'shop', 'fraud', 'p7', '0', 'early', 1), ('2025-03-03 12:00:00', 'shop', 'fraud', 'p7', '1', 'final', 2)
"""

OUTCOMES = """
INSERT INTO ml_outcomes (time, service_name, model_name, prediction_id, name, value, unit, inserted_at)
VALUES ('2025-03-02 12:00:00', 'shop', 'fraud', 'p7', 'loss', 12.5, 'EUR', 1)
"""

WITHDRAWN = """
INSERT INTO ml_withdrawn_references (model_name, reference_id, service_name, withdrawn_at)
VALUES ('fraud', 'febuary', 'notebook', now64(3))
"""

QUARANTINED = """
INSERT INTO ml_quarantined VALUES
    ('2025-03-01 12:00:00', '7.logs.pb', 'logs', 7, 90, '', 0, 'it is no OTLP request'),
    ('2025-03-01 12:00:01', '8.traces.pb', 'traces', 8, 95, 'otel_traces', 1, 'memory limit exceeded')
"""

ALL = (
    PREDICTIONS,
    TRACES,
    OTHER_MODEL,
    MODELS,
    REFERENCES,
    *TRAINED_ELSEWHERE,
    WINDOWS,
    REPLACED,
    DRIFT,
    FEATURE_WINDOWS,
    RECORDERS,
    ACTUALS,
    OUTCOMES,
    WITHDRAWN,
    QUARANTINED,
)
