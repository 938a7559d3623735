-- Which requests could not be stored whole, and why: the requests themselves are files in the service's quarantine folder.

CREATE TABLE IF NOT EXISTS ml_quarantined
(
    time DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    file String COMMENT 'name in the quarantine folder; the same with .json says the reason',
    signal LowCardinality(String) COMMENT 'traces, metrics or logs',
    sequence UInt64 COMMENT 'number of the request in the journal',
    bytes UInt64 COMMENT 'of the request',
    `table` LowCardinality(String) COMMENT 'that did not take the rows; empty: the request could not be decoded',
    rows UInt64 COMMENT 'that were not stored; all others of the request were. 0: unknown',
    reason String
)
ENGINE = MergeTree
ORDER BY time
SETTINGS non_replicated_deduplication_window = 10000;
