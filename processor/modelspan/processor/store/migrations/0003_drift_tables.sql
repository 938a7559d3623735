-- References, windows on their edges, and verdicts. Windows and verdicts are computed from `ml_predictions` and the
-- reference alone, so they can be computed again at any time: the newest row of a key wins (read with FINAL).

CREATE TABLE IF NOT EXISTS ml_references
(
    reference_id String,
    source LowCardinality(String) COMMENT 'training or first_predictions',
    service_name LowCardinality(String) COMMENT 'empty: holds for every service',
    environment LowCardinality(String) COMMENT 'empty: holds for every environment',
    model_name LowCardinality(String),
    model_version LowCardinality(String) COMMENT 'empty: holds for every version',
    series_kind LowCardinality(String) COMMENT 'feature, label, score or value',
    series_name LowCardinality(String) COMMENT 'name of the feature, else empty',
    series_type LowCardinality(String) COMMENT 'numeric or categorical',
    rows Float64 COMMENT 'effective number of reference rows, missing values included',
    missing Float64 COMMENT 'how many of them have no value',
    cuts Array(Float64) COMMENT 'numeric: strictly increasing cut points; bin i holds cuts[i-1] <= v < cuts[i]',
    categories Array(String) COMMENT 'categorical: known categories; anything else is unseen',
    counts Array(Float64) COMMENT 'numeric: one more than cuts. categorical: one more than categories, the last is unseen',
    mean Nullable(Float64),
    stddev Nullable(Float64),
    min Nullable(Float64),
    max Nullable(Float64),
    valid_from DateTime64(9, 'UTC') COMMENT 'event time of the last row of first_predictions; else 1970-01-01',
    operation LowCardinality(String) COMMENT 'first_predictions: operation whose rows were counted; empty: any',
    created_at DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(created_at)
ORDER BY (model_name, model_version, service_name, environment, reference_id, series_kind, series_name)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE TABLE IF NOT EXISTS ml_feature_windows
(
    service_name LowCardinality(String),
    environment LowCardinality(String),
    model_name LowCardinality(String),
    model_version LowCardinality(String),
    segment LowCardinality(String),
    window_start DateTime64(3, 'UTC'),
    window_end DateTime64(3, 'UTC'),
    series_kind LowCardinality(String),
    series_name LowCardinality(String),
    reference_id String,
    rows UInt64 COMMENT 'rows of the window that were tested for this series',
    weight Float64 COMMENT 'sum of their weights',
    weight_squared Float64 COMMENT 'sum of their squared weights',
    missing Float64 COMMENT 'weight of the rows without a value',
    counts Array(Float64) COMMENT 'weights by bin, on the edges of the reference',
    mean Nullable(Float64),
    stddev Nullable(Float64),
    min Nullable(Float64),
    max Nullable(Float64),
    computed_at DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(computed_at)
PARTITION BY toYYYYMM(window_start)
ORDER BY (service_name, environment, model_name, model_version, segment, window_start, series_kind, series_name);

CREATE TABLE IF NOT EXISTS ml_windows
(
    service_name LowCardinality(String),
    environment LowCardinality(String),
    model_name LowCardinality(String),
    model_version LowCardinality(String),
    segment LowCardinality(String),
    window_start DateTime64(3, 'UTC'),
    window_end DateTime64(3, 'UTC'),
    rows UInt64 COMMENT 'rows that the verdict has seen; fewer than in ml_predictions means it is stale',
    reference_id String COMMENT 'references used, comma separated',
    status LowCardinality(String) COMMENT 'ok, drifted, insufficient_data or no_reference',
    tests UInt32 COMMENT 'tests that could find drift and share alpha; one of values that never vary is none',
    alpha Float64 COMMENT 'bound of the false-alarm rate of the whole family',
    drifted Array(String) COMMENT 'series that drifted, by falling severity',
    reason String,
    computed_at DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(computed_at)
PARTITION BY toYYYYMM(window_start)
ORDER BY (service_name, environment, model_name, model_version, segment, window_start);

CREATE TABLE IF NOT EXISTS ml_drift
(
    service_name LowCardinality(String),
    environment LowCardinality(String),
    model_name LowCardinality(String),
    model_version LowCardinality(String),
    segment LowCardinality(String),
    window_start DateTime64(3, 'UTC'),
    window_end DateTime64(3, 'UTC'),
    series_kind LowCardinality(String) COMMENT 'feature, missing, label, score or value',
    series_name LowCardinality(String),
    reference_id String,
    reference_source LowCardinality(String),
    method LowCardinality(String) COMMENT 'ks, chi2 or proportion',
    status LowCardinality(String) COMMENT 'ok, drifted, insufficient_data or no_reference',
    statistic Nullable(Float64) COMMENT 'KS distance, chi-square statistic, or difference of shares',
    effect Nullable(Float64) COMMENT 'KS distance, total variation distance, or difference of shares: 0 to 1',
    p_value Nullable(Float64),
    threshold Nullable(Float64) COMMENT 'drifted when p_value is below and effect at least the tolerance',
    tolerance Float64,
    smallest_effect Nullable(Float64) COMMENT 'effect that would have been found with a probability of 0.8',
    psi Nullable(Float64),
    js Nullable(Float64) COMMENT 'Jensen-Shannon distance, 0 to 1',
    wasserstein Nullable(Float64) COMMENT 'numeric: in standard deviations of the reference',
    severity LowCardinality(String) COMMENT 'none, moderate (PSI from 0.1) or major (PSI from 0.2)',
    rows UInt64,
    effective_rows Float64,
    reference_rows Float64,
    reason String,
    computed_at DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(computed_at)
PARTITION BY toYYYYMM(window_start)
ORDER BY (service_name, environment, model_name, model_version, segment, window_start, series_kind, series_name);
