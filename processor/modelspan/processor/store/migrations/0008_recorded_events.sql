-- Actuals and outcomes come in numbered batches, too, with counters of their own.

ALTER TABLE ml_recorders ADD COLUMN IF NOT EXISTS
    event LowCardinality(String) DEFAULT 'ml.prediction.batch' COMMENT 'event whose rows are counted'
    AFTER model_name;
