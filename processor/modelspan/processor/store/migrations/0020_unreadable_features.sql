-- Features that could not be read are not missing: rows that have none because of that are not counted for features.

ALTER TABLE ml_predictions ADD COLUMN IF NOT EXISTS
    unreadable LowCardinality(String) COMMENT 'why features could not be read in the program; empty: they were'
    AFTER error_type;
