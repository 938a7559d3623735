-- title: Prediction
-- description: One prediction with its inputs, its output, the actual and the outcomes that became known.
-- param id String : identifier of the prediction
-- param model String = '' : name of its model, which makes the search faster; empty means any
WITH found AS
(
    SELECT * FROM ml_predictions
    WHERE prediction_id = {id:String} AND ({model:String} = '' OR model_name = {model:String})
)
SELECT
    found.*,
    actual.label AS actual_label,
    actual.value AS actual_value,
    actual.time AS actual_time,
    actual.source AS actual_source,
    outcome.outcomes AS outcomes
FROM found
LEFT JOIN
(
    SELECT
        model_name,
        argMax(label, (time, inserted_at)) AS label,
        argMax(value, (time, inserted_at)) AS value,
        argMax(source, (time, inserted_at)) AS source,
        toNullable(max(time)) AS time
    FROM ml_actuals
    WHERE prediction_id = {id:String} AND model_name IN (SELECT model_name FROM found)
    GROUP BY model_name
) AS actual USING (model_name)
LEFT JOIN
(
    SELECT model_name, mapFromArrays(groupArray(toString(name)), groupArray(shown)) AS outcomes
    FROM
    (
        SELECT
            model_name,
            name,
            trimRight(concat(toString(argMax(value, (time, inserted_at))), ' ', argMax(unit, (time, inserted_at)))) AS shown
        FROM ml_outcomes
        WHERE prediction_id = {id:String} AND model_name IN (SELECT model_name FROM found)
        GROUP BY model_name, name
    )
    GROUP BY model_name
) AS outcome USING (model_name)
ORDER BY time
