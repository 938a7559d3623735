-- Predictions, what is known of their models, and what became of them.
-- Every table that takes inserts from the pipeline keeps a deduplication window, so that a replay changes nothing.

CREATE TABLE IF NOT EXISTS ml_predictions
(
    time DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)),
    service_name LowCardinality(String),
    environment LowCardinality(String),
    model_name LowCardinality(String),
    model_version LowCardinality(String),
    operation LowCardinality(String),
    prediction_id String CODEC(ZSTD(1)),
    trace_id String CODEC(ZSTD(1)),
    span_id String CODEC(ZSTD(1)),
    duration UInt64 CODEC(T64, ZSTD(1)) COMMENT 'nanoseconds of the whole call; 0 is unknown',
    segment Map(LowCardinality(String), LowCardinality(String)),
    variant LowCardinality(String),
    features_numeric Map(LowCardinality(String), Float64) COMMENT 'keys sorted; a missing value has no key',
    features_text Map(LowCardinality(String), String) COMMENT 'keys sorted; a missing value has no key',
    label Nullable(String),
    score Nullable(Float64),
    value Nullable(Float64),
    outputs_numeric Map(LowCardinality(String), Float64) COMMENT 'scores by class, or numbers by output name',
    outputs_text Map(LowCardinality(String), String) COMMENT 'labels by output name',
    weight Float64 DEFAULT 1,
    keep_reason LowCardinality(String),
    error_type LowCardinality(String),
    inserted_at DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    INDEX idx_prediction_id prediction_id TYPE bloom_filter(0.01) GRANULARITY 4,
    INDEX idx_trace_id trace_id TYPE bloom_filter(0.01) GRANULARITY 4,
    INDEX idx_inserted_at inserted_at TYPE minmax GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(time)
ORDER BY (service_name, environment, model_name, model_version, time)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE TABLE IF NOT EXISTS ml_models
(
    service_name LowCardinality(String),
    environment LowCardinality(String),
    model_name LowCardinality(String),
    model_version LowCardinality(String),
    model_type SimpleAggregateFunction(anyLast, String),
    framework_name SimpleAggregateFunction(anyLast, String),
    framework_version SimpleAggregateFunction(anyLast, String),
    task_type SimpleAggregateFunction(anyLast, String),
    lineage SimpleAggregateFunction(anyLast, Map(String, String)) COMMENT 'training run, data and code, by attribute name',
    first_seen SimpleAggregateFunction(min, DateTime64(3, 'UTC')),
    last_seen SimpleAggregateFunction(max, DateTime64(3, 'UTC'))
)
ENGINE = AggregatingMergeTree
ORDER BY (service_name, environment, model_name, model_version)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE TABLE IF NOT EXISTS ml_actuals
(
    time DateTime64(9, 'UTC') COMMENT 'when the actual became known',
    service_name LowCardinality(String),
    environment LowCardinality(String),
    model_name LowCardinality(String),
    model_version LowCardinality(String),
    prediction_id String,
    prediction_time Nullable(DateTime64(9, 'UTC')),
    label Nullable(String),
    value Nullable(Float64),
    source LowCardinality(String),
    inserted_at DateTime64(3, 'UTC')
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(time)
ORDER BY (model_name, prediction_id, time)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE TABLE IF NOT EXISTS ml_outcomes
(
    time DateTime64(9, 'UTC'),
    service_name LowCardinality(String),
    environment LowCardinality(String),
    model_name LowCardinality(String),
    model_version LowCardinality(String),
    prediction_id String,
    name LowCardinality(String),
    value Nullable(Float64),
    unit LowCardinality(String),
    inserted_at DateTime64(3, 'UTC')
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(time)
ORDER BY (model_name, name, prediction_id, time)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE TABLE IF NOT EXISTS ml_ingested
(
    key UInt128 COMMENT 'batch: hash of a payload. row: hash of a model that has predictions in row form',
    kind LowCardinality(String) COMMENT 'batch or row',
    token String COMMENT 'deduplication token of the block that stored it',
    inserted_at DateTime64(3, 'UTC')
)
ENGINE = MergeTree
PARTITION BY toDate(inserted_at)
ORDER BY key
TTL toDateTime(inserted_at) + INTERVAL 2 DAY
SETTINGS index_granularity = 256, non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1;

CREATE TABLE IF NOT EXISTS ml_recorders
(
    recorder_id String,
    service_name LowCardinality(String),
    model_name LowCardinality(String),
    sequence UInt64,
    rows UInt64 COMMENT 'rows of this batch',
    rows_recorded UInt64 COMMENT 'cumulative, as the recorder says',
    rows_dropped UInt64 COMMENT 'cumulative, as the recorder says',
    inserted_at DateTime64(3, 'UTC')
)
ENGINE = MergeTree
PARTITION BY toDate(inserted_at)
ORDER BY (recorder_id, sequence)
TTL toDateTime(inserted_at) + INTERVAL 30 DAY
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1;
