-- title: Missing prediction
-- description: Why a prediction may not be stored: what was stored, lost and left out by sampling of the model.
-- param id String : identifier of the prediction
-- param model String = '' : name of its model; empty means any
WITH
    held AS
    (
        SELECT count() AS rows, round(sum(weight)) AS predictions, countIf(weight > 1) AS weighted
        FROM ml_predictions
        WHERE {model:String} = '' OR model_name = {model:String}
    ),
    recorded AS
    (
        SELECT
            recorder_id,
            sum(received) AS received,
            max(recorded) AS recorded,
            max(dropped) AS dropped,
            max(unsampled) AS unsampled
        FROM
        (
            SELECT
                recorder_id, sequence, toInt64(max(rows)) AS received, toInt64(max(rows_recorded)) AS recorded,
                toInt64(max(rows_dropped)) AS dropped, toInt64(max(rows_unsampled)) AS unsampled
            FROM ml_recorders
            WHERE recorder_id IN
                (SELECT recorder_id FROM ml_recorders WHERE {model:String} = '' OR model_name = {model:String})
            GROUP BY recorder_id, sequence
        )
        GROUP BY recorder_id
    ),
    losses AS
    (
        SELECT
            count() AS recorders, sum(unsampled) AS left_out, sum(dropped) AS dropped,
            sum(greatest(0, recorded - received)) AS lost
        FROM recorded
    ),
    if({model:String} = '', '', concat(' of model ', {model:String})) AS of_model
SELECT concat(
    'no prediction', of_model, ' with the id ', {id:String}, ' is stored, ',
    multiIf(
        held.rows = 0, 'nor is any other',
        held.weighted > 0, concat(
            'and it may have been left out by sampling: ', toString(held.rows), ' rows stand for ',
            toString(toUInt64(held.predictions)), ' predictions'),
        concat(toString(held.rows), ' others are')),
    '; ',
    if(losses.recorders = 0, 'no program has reported in the last 30 days how many it recorded',
        concat(
            'programs report ', toString(losses.left_out), ' rows left out by sampling, ', toString(losses.dropped),
            ' dropped before they were sent and ', toString(losses.lost), ' lost on the way')),
    '.') AS reason
FROM held
CROSS JOIN losses
WHERE NOT EXISTS
(
    SELECT 1 FROM ml_predictions
    WHERE prediction_id = {id:String} AND ({model:String} = '' OR model_name = {model:String})
)
