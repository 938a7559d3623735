-- A missing key of a map reads as 0 or as an empty text, so the mean of a half-missing feature came out as half. Read as these, a
-- missing value is NULL; nothing more is stored.

ALTER TABLE ml_predictions ADD COLUMN IF NOT EXISTS
    feature_numbers Map(LowCardinality(String), Nullable(Float64))
    ALIAS CAST(features_numeric, 'Map(LowCardinality(String), Nullable(Float64))')
    COMMENT 'features_numeric with NULL for what is missing' AFTER features_text;

ALTER TABLE ml_predictions ADD COLUMN IF NOT EXISTS
    feature_texts Map(LowCardinality(String), Nullable(String))
    ALIAS CAST(features_text, 'Map(LowCardinality(String), Nullable(String))')
    COMMENT 'features_text with NULL for what is missing' AFTER feature_numbers;

ALTER TABLE ml_predictions ADD COLUMN IF NOT EXISTS
    output_numbers Map(LowCardinality(String), Nullable(Float64))
    ALIAS CAST(outputs_numeric, 'Map(LowCardinality(String), Nullable(Float64))')
    COMMENT 'outputs_numeric with NULL for what is missing' AFTER outputs_text;

ALTER TABLE ml_predictions ADD COLUMN IF NOT EXISTS
    output_texts Map(LowCardinality(String), Nullable(String))
    ALIAS CAST(outputs_text, 'Map(LowCardinality(String), Nullable(String))')
    COMMENT 'outputs_text with NULL for what is missing' AFTER output_numbers;

ALTER TABLE ml_predictions COMMENT COLUMN features_numeric
    'keys sorted; a missing value has no key: feature_numbers[name] is NULL then, features_numeric[name] is 0';

ALTER TABLE ml_predictions COMMENT COLUMN features_text
    'keys sorted; a missing value has no key: feature_texts[name] is NULL then, features_text[name] is empty';

-- A new category is named.

ALTER TABLE ml_feature_windows ADD COLUMN IF NOT EXISTS
    unseen Map(String, Float64)
    COMMENT 'weights of the most frequent values that the reference does not list, where there are more of them than tolerated'
    AFTER counts;

ALTER TABLE ml_drift COMMENT COLUMN severity
    'none: not drifted. drifted: minor (PSI below 0.1), moderate (from 0.1) or major (from 0.2)';

ALTER TABLE ml_references COMMENT COLUMN source 'training, fit, first_predictions or provisional_predictions';

-- Windows of another length than the one in force now lie beside those that were computed anew, and would count twice. Of each
-- model: seconds of the length in force, the one computed last, and the start of its first window. What lies before is history.

CREATE VIEW IF NOT EXISTS ml_window_lengths AS
SELECT
    service_name,
    environment,
    model_name,
    model_version,
    segment,
    argMax(dateDiff('second', window_start, window_end), computed_at) AS length,
    minMap([dateDiff('second', window_start, window_end)], [toUnixTimestamp64Milli(window_start)]) AS first_of_length,
    fromUnixTimestamp64Milli(first_of_length.2[indexOf(first_of_length.1, length)], 'UTC') AS since
FROM ml_windows
GROUP BY service_name, environment, model_name, model_version, segment;
