-- title: Models
-- description: Every model that was seen: what it is, how many predictions it made in the period, and its latest verdict.
-- param model String = '' : name of a model; empty means all
-- param last Interval = 24h : length of the period
-- param until DateTime = now : end of the period; the newest prediction where that is earlier
WITH
    least(toDateTime64({until:DateTime64(3, 'UTC')}, 9, 'UTC'), (SELECT max(time) FROM ml_predictions)) AS period_end,
    period_end - toIntervalSecond({last:UInt64}) AS period_start,
    known AS
    (
        SELECT model_digest AS digest, groupUniqArrayArray(training_data) AS data
        FROM ml_models
        WHERE model_digest IS NOT NULL
        GROUP BY digest
    )
SELECT
    model_name,
    model_version,
    max(verdict) AS latest_verdict,
    accurateCastOrNull(round(sum(weighted)), 'UInt64') AS predictions,
    max(seen_last) AS last_seen,
    min(seen_first) AS first_seen,
    max(type) AS model_type,
    max(framework) AS framework_name,
    max(task) AS task_type,
    arraySort(groupUniqArrayArray(data)) AS training_data,
    service_name,
    environment
FROM
(
    SELECT
        model_name, model_version, service_name, environment,
        model_type AS type, framework_name AS framework, task_type AS task,
        arrayConcat(training_data, ifNull(known.data, emptyArrayString())) AS data,
        toFloat64(0) AS weighted, '' AS verdict,
        CAST(first_seen, 'Nullable(DateTime64(3, \'UTC\'))') AS seen_first,
        CAST(last_seen, 'Nullable(DateTime64(3, \'UTC\'))') AS seen_last
    FROM ml_models FINAL
    LEFT JOIN known ON ml_models.model_digest = known.digest
    WHERE {model:String} = '' OR model_name = {model:String}
    UNION ALL
    SELECT
        model_name, model_version, service_name, environment, '', '', '', emptyArrayString(),
        sum(weight), '', toDateTime64(min(time), 3, 'UTC'), toDateTime64(max(time), 3, 'UTC')
    FROM ml_predictions
    WHERE time > period_start AND time <= period_end AND ({model:String} = '' OR model_name = {model:String})
    GROUP BY model_name, model_version, service_name, environment
    UNION ALL
    SELECT
        model_name, model_version, service_name, environment, '', '', '', emptyArrayString(),
        0, toString(argMax(status, (window_start, computed_at))), NULL, NULL
    FROM ml_windows
    INNER JOIN ml_window_lengths USING (service_name, environment, model_name, model_version, segment)
    WHERE (dateDiff('second', window_start, window_end) = length OR window_end <= since)
        AND segment = '' AND ({model:String} = '' OR model_name = {model:String})
    GROUP BY model_name, model_version, service_name, environment
)
GROUP BY model_name, model_version, service_name, environment
ORDER BY model_name, model_version, service_name, environment
