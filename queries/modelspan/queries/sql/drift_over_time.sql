-- title: Drift over time
-- description: The verdicts on each series, window by window.
-- param model String = '' : name of a model; empty means all
-- param version String = '' : version of the model; empty means all
-- param service String = '' : name of a service; empty means all
-- param feature String = '' : name of a feature; empty means all series
-- param kind String(feature, missing, text, label, score, value) = '' : kind of series; empty means all
-- param last Interval = 24h : length of the period
-- param until DateTime = now : end of the period; the newest window where that is earlier
WITH
    least({until:DateTime64(3, 'UTC')}, (SELECT max(window_start) FROM ml_windows)) AS period_end,
    period_end - toIntervalSecond({last:UInt64}) AS period_start
SELECT
    window_start,
    model_name,
    model_version,
    series_kind,
    series_name,
    status,
    effect,
    p_value,
    psi,
    severity,
    rows,
    service_name,
    environment,
    segment
FROM ml_drift FINAL
INNER JOIN ml_window_lengths USING (service_name, environment, model_name, model_version, segment)
WHERE window_start > period_start AND window_start <= period_end
    AND (dateDiff('second', window_start, window_end) = length OR window_end <= since)
    AND ({model:String} = '' OR model_name = {model:String})
    AND ({version:String} = '' OR model_version = {version:String})
    AND ({service:String} = '' OR service_name = {service:String})
    AND ({feature:String} = '' OR series_name = {feature:String})
    AND ({kind:String} = '' OR series_kind = {kind:String})
ORDER BY window_start, model_name, model_version, service_name, environment, segment, series_kind, series_name
