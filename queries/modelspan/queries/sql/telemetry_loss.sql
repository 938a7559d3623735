-- title: Telemetry loss
-- description: What each recorder in a user's process recorded of predictions, actuals and outcomes, what arrived of it, what was lost where, and what sampling left out.
-- param service String = '' : name of a service; empty means all
-- param model String = '' : name of a model; empty means all
-- param last Interval = 24h : recorders that sent something within this time
-- param until DateTime = now : end of that time
SELECT
    recorder_id,
    any(service) AS service_name,
    groupUniqArrayArray(models) AS model_names,
    any(of) AS event,
    max(recorded) AS rows_recorded,
    sum(received) AS rows_received,
    rows_recorded - rows_received AS rows_lost_on_the_way,
    max(dropped) AS rows_dropped_by_recorder,
    max(unsampled) AS rows_left_out_by_sampling,
    toInt64(max(sequence)) + 1 - count() AS batches_missing,
    count() AS batches_received,
    max(last_seen) AS last_received
FROM
(
    SELECT
        recorder_id,
        sequence,
        any(service_name) AS service,
        any(event) AS of,
        groupUniqArray(model_name) AS models,
        toInt64(max(rows)) AS received,
        toInt64(max(rows_recorded)) AS recorded,
        toInt64(max(rows_dropped)) AS dropped,
        toInt64(max(rows_unsampled)) AS unsampled,
        max(inserted_at) AS last_seen
    FROM ml_recorders
    WHERE recorder_id IN
    (
        SELECT recorder_id FROM ml_recorders
        WHERE inserted_at > {until:DateTime64(3, 'UTC')} - toIntervalSecond({last:UInt64})
            AND inserted_at <= {until:DateTime64(3, 'UTC')}
            AND ({service:String} = '' OR service_name = {service:String})
            AND ({model:String} = '' OR model_name = {model:String})
    )
    GROUP BY recorder_id, sequence
)
GROUP BY recorder_id
ORDER BY rows_lost_on_the_way + rows_dropped_by_recorder DESC, last_received DESC
