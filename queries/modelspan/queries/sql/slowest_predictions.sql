-- title: Slowest predictions
-- description: The calls that took longest, one row each, and whether their trace is stored, unsampled (no span was made) or not here (sent elsewhere, or dropped by a sampler).
-- param model String = '' : name of a model; empty means all
-- param version String = '' : version of the model; empty means all
-- param service String = '' : name of a service; empty means all
-- param last Interval = 1h : length of the period
-- param until DateTime = now : end of the period; the newest prediction where that is earlier
-- param limit UInt = 20 : how many
WITH
    least(toDateTime64({until:DateTime64(3, 'UTC')}, 9, 'UTC'), (SELECT max(time) FROM ml_predictions)) AS period_end,
    period_end - toIntervalSecond({last:UInt64}) AS period_start,
    -- Rows of one call have one duration. Durations are counted in classes of about one per cent, to sort few rows.
    classes AS
    (
        SELECT toInt64(log2(duration) * 64) AS class, min(duration) AS shortest, uniq(duration) AS calls
        FROM ml_predictions
        WHERE time > period_start AND time <= period_end AND duration > 0
            AND ({model:String} = '' OR model_name = {model:String})
            AND ({version:String} = '' OR model_version = {version:String})
            AND ({service:String} = '' OR service_name = {service:String})
        GROUP BY class
    ),
    slow AS
    (
        SELECT min(shortest) AS duration
        FROM (SELECT shortest, sum(calls) OVER (ORDER BY class DESC) - calls AS slower FROM classes)
        WHERE slower < {limit:UInt64}
    ),
    slowest AS
    (
        SELECT
            time, duration, model_name, model_version, operation, label, score, value, error_type, trace_id, span_id,
            prediction_id, service_name, environment,
            count() OVER (PARTITION BY
                service_name, environment, model_name, model_version, operation, duration, trace_id, span_id,
                if(span_id = '', time, toDateTime64(0, 9, 'UTC'))) AS rows_stored
        FROM ml_predictions
        WHERE time > period_start AND time <= period_end AND duration > 0 AND duration >= (SELECT duration FROM slow)
            AND ({model:String} = '' OR model_name = {model:String})
            AND ({version:String} = '' OR model_version = {version:String})
            AND ({service:String} = '' OR service_name = {service:String})
        ORDER BY duration DESC, time, prediction_id
        LIMIT 1 BY
            service_name, environment, model_name, model_version, operation, duration, trace_id, span_id,
            if(span_id = '', time, toDateTime64(0, 9, 'UTC'))
        LIMIT {limit:UInt64}
    ),
    stored AS (SELECT TraceId FROM otel_traces_trace_id_ts WHERE TraceId IN (SELECT trace_id FROM slowest))
SELECT
    time,
    duration / 1e6 AS duration_ms,
    model_name,
    model_version,
    rows_stored,
    multiIf(trace_id = '', 'unsampled', trace_id IN (SELECT TraceId FROM stored), 'stored', 'not here') AS trace,
    trace_id,
    prediction_id,
    span_id,
    operation,
    label,
    score,
    value,
    error_type,
    service_name,
    environment
FROM slowest
ORDER BY duration DESC, time, prediction_id
