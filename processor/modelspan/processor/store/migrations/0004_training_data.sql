-- Which data a model was fitted on. The set of what any process said: a process that only loads the model may not know.

ALTER TABLE ml_models ADD COLUMN IF NOT EXISTS
    training_data SimpleAggregateFunction(groupUniqArrayArray, Array(String))
    COMMENT 'digests of the data that the model was fitted on; name@digest of a data set that a tracking server knows'
    AFTER lineage;
