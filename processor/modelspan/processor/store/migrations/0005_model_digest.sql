-- What a model has learnt, by its digest: the same in the program that fitted it and in every server, whatever each calls the
-- model. A model without a reference under its own name finds by it the one of its fit.

ALTER TABLE ml_models ADD COLUMN IF NOT EXISTS
    model_digest SimpleAggregateFunction(anyLast, Nullable(String)) COMMENT 'digest of what the model has learnt'
    AFTER model_version;

ALTER TABLE ml_references ADD COLUMN IF NOT EXISTS
    model_digest String COMMENT 'digest of what the model has learnt; empty: unknown'
    AFTER model_version;
