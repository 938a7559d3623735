-- Rows that sampling left out are no loss, since others carry their weight, but with them the rows of a recorder add up.

ALTER TABLE ml_recorders ADD COLUMN IF NOT EXISTS
    rows_unsampled UInt64 COMMENT 'cumulative, as the recorder says: left out by sampling, others stand for them'
    AFTER rows_dropped;

ALTER TABLE ml_references COMMENT COLUMN source 'training, fit or first_predictions';
