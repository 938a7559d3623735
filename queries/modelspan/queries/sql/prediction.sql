-- title: Prediction
-- description: One prediction with its inputs, its output, the actual and the outcomes that became known.
-- when empty: prediction_missing
-- param id String : identifier of the prediction
-- param model String = '' : name of its model, which makes the search faster; empty means any
WITH found AS
(
    SELECT * FROM ml_predictions
    WHERE prediction_id = {id:String} AND ({model:String} = '' OR model_name = {model:String})
)
SELECT
    found.*,
    -- Numbers and truth values that are equal (1, 1.0, True) are shown in one spelling.
    if(
        transform(lower(found.label), ['true', 'false'], ['1', '0'], if(length(found.label) < 16 AND isFinite(toFloat64OrNull(found.label)), toString(toFloat64OrNull(found.label)), found.label))
        = transform(lower(actual.known_label), ['true', 'false'], ['1', '0'], if(length(actual.known_label) < 16 AND isFinite(toFloat64OrNull(actual.known_label)), toString(toFloat64OrNull(actual.known_label)), actual.known_label)),
        found.label,
        actual.known_label
    ) AS actual_label,
    actual.known_value AS actual_value,
    actual.known_at AS actual_time,
    actual.known_from AS actual_source,
    outcome.outcomes AS outcomes
FROM found
LEFT JOIN
(
    SELECT
        model_name AS actual_model,
        argMax(label, (time, inserted_at)) AS known_label,
        argMax(value, (time, inserted_at)) AS known_value,
        argMax(source, (time, inserted_at)) AS known_from,
        toNullable(max(time)) AS known_at
    FROM ml_actuals
    WHERE prediction_id = {id:String} AND model_name IN (SELECT model_name FROM found)
    GROUP BY model_name
) AS actual ON found.model_name = actual.actual_model
LEFT JOIN
(
    SELECT model_name AS outcome_model, mapFromArrays(groupArray(toString(name)), groupArray(shown)) AS outcomes
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
) AS outcome ON found.model_name = outcome.outcome_model
ORDER BY time
