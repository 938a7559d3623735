-- A reference that is set later, or by another service, rewrites no verdict of the past, and a verdict that is replaced stays readable.

-- When a reference came first: the program that sent it may send it again at every start.
CREATE TABLE IF NOT EXISTS ml_reference_arrivals
(
    model_name LowCardinality(String),
    model_version LowCardinality(String),
    service_name LowCardinality(String),
    environment LowCardinality(String),
    reference_id String,
    series_kind LowCardinality(String),
    arrived_at SimpleAggregateFunction(min, DateTime64(3, 'UTC'))
)
ENGINE = AggregatingMergeTree
ORDER BY (model_name, model_version, service_name, environment, reference_id, series_kind)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE MATERIALIZED VIEW IF NOT EXISTS ml_reference_arrivals_view TO ml_reference_arrivals AS
SELECT model_name, model_version, service_name, environment, reference_id, series_kind, min(created_at) AS arrived_at
FROM ml_references
GROUP BY model_name, model_version, service_name, environment, reference_id, series_kind;

INSERT INTO ml_reference_arrivals
SELECT model_name, model_version, service_name, environment, reference_id, series_kind, min(created_at) AS arrived_at
FROM ml_references
GROUP BY model_name, model_version, service_name, environment, reference_id, series_kind;

CREATE TABLE IF NOT EXISTS ml_replaced_verdicts
(
    service_name LowCardinality(String),
    environment LowCardinality(String),
    model_name LowCardinality(String),
    model_version LowCardinality(String),
    segment LowCardinality(String),
    window_start DateTime64(3, 'UTC'),
    window_end DateTime64(3, 'UTC'),
    computed_at DateTime64(3, 'UTC') COMMENT 'when the verdict was given that was replaced',
    replaced_at DateTime64(3, 'UTC'),
    replaced_because String COMMENT 'why, as a sentence',
    rows UInt64,
    reference_id String COMMENT 'references that it was based on, comma separated',
    status LowCardinality(String),
    tests UInt32,
    alpha Float64,
    drifted Array(String),
    reason String
)
ENGINE = ReplacingMergeTree(replaced_at)
PARTITION BY toYYYYMM(window_start)
ORDER BY (service_name, environment, model_name, model_version, segment, window_start, computed_at)
SETTINGS non_replicated_deduplication_window = 10000;
