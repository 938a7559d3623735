-- A feature may have numbers in some rows and texts in others. In a numeric series the texts are a bin of their own, not missing.

ALTER TABLE ml_references ADD COLUMN IF NOT EXISTS
    text Float64 COMMENT 'numeric: how many of the rows have a text'
    AFTER missing;

ALTER TABLE ml_feature_windows ADD COLUMN IF NOT EXISTS
    text Float64 COMMENT 'numeric: weight of the rows with a text'
    AFTER missing;

ALTER TABLE ml_drift COMMENT COLUMN series_kind 'feature, missing, text, label, score or value';
