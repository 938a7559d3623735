-- title: Predictions per minute
-- description: Predictions, errors and latency percentiles of each model over time. Sampled rows count by their weight.
-- param model String = '' : name of a model; empty means all
-- param version String = '' : version of the model; empty means all
-- param service String = '' : name of a service; empty means all
-- param last Interval = 1h : length of the period
-- param until DateTime = now : end of the period; the newest prediction where that is earlier
-- param step Interval = 1m : length of a row of the result
WITH
    least(toDateTime64({until:DateTime64(3, 'UTC')}, 9, 'UTC'), (SELECT max(time) FROM ml_predictions)) AS period_end,
    period_end - toIntervalSecond({last:UInt64}) AS period_start
SELECT
    start,
    model_name,
    model_version,
    service_name,
    predictions,
    stored,
    errors,
    round(toFloat64(milliseconds[1]), 6) AS p50_ms,
    round(toFloat64(milliseconds[2]), 6) AS p95_ms,
    round(toFloat64(milliseconds[3]), 6) AS p99_ms
FROM
(
    SELECT
        toStartOfInterval(time, toIntervalSecond({step:UInt64})) AS start,
        model_name,
        model_version,
        service_name,
        accurateCastOrNull(round(sum(weight)), 'UInt64') AS predictions,
        count() AS stored,
        accurateCastOrNull(round(sumIf(weight, error_type != '')), 'UInt64') AS errors,
        quantilesTDigestWeightedIf(0.5, 0.95, 0.99)(
            duration / 1e6, toUInt32(greatest(1, least(1e9, round(weight)))), duration > 0) AS milliseconds
    FROM ml_predictions
    WHERE time > period_start AND time <= period_end
        AND ({model:String} = '' OR model_name = {model:String})
        AND ({version:String} = '' OR model_version = {version:String})
        AND ({service:String} = '' OR service_name = {service:String})
    GROUP BY start, model_name, model_version, service_name
)
ORDER BY start, model_name, model_version, service_name
