-- References of two models may have the same identifier: a verdict says whose it was based on, so that another one is told apart.

ALTER TABLE ml_windows ADD COLUMN IF NOT EXISTS
    reference_origins String COMMENT 'of each reference used its identifier, model, version, service, environment, and when one of the name was taken back; JSON. empty: unknown'
    AFTER reference_id;

ALTER TABLE ml_replaced_verdicts ADD COLUMN IF NOT EXISTS
    reference_origins String COMMENT 'of each reference that it was based on; as in ml_windows'
    AFTER reference_id;
