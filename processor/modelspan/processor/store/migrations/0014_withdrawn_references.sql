-- A reference that was set by mistake can be taken back. Its rows stay, and so do the verdicts that were based on it.

CREATE TABLE IF NOT EXISTS ml_withdrawn_references
(
    model_name LowCardinality(String),
    reference_id String,
    service_name LowCardinality(String) COMMENT 'who took it back',
    withdrawn_at DateTime64(3, 'UTC') COMMENT 'what is given later holds again'
)
ENGINE = ReplacingMergeTree(withdrawn_at)
ORDER BY (model_name, reference_id)
SETTINGS non_replicated_deduplication_window = 10000;

-- A named reference that is set again takes the place of the earlier one: what each of them was stays readable.

CREATE TABLE IF NOT EXISTS ml_reference_history AS ml_references
ENGINE = ReplacingMergeTree(created_at)
ORDER BY (model_name, model_version, service_name, environment, reference_id, series_kind, series_name,
    cityHash64(series_type, rows, missing, cuts, categories, counts))
SETTINGS non_replicated_deduplication_window = 10000;

CREATE MATERIALIZED VIEW IF NOT EXISTS ml_reference_history_view TO ml_reference_history AS
SELECT * FROM ml_references;

INSERT INTO ml_reference_history SELECT * FROM ml_references;

-- What saved queries need to know of the configuration of the service.

CREATE TABLE IF NOT EXISTS ml_settings
(
    name String COMMENT 'key of the configuration',
    value Float64,
    since DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(since)
ORDER BY name
SETTINGS non_replicated_deduplication_window = 10000;
