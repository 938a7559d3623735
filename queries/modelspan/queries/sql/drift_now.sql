-- title: Drift now
-- description: The verdict on every series of every model in its latest window, the worst first.
-- param model String = '' : name of a model; empty means all
-- param version String = '' : version of the model; empty means all
-- param service String = '' : name of a service; empty means all
-- param status String(drifted, ok, insufficient_data, no_reference) = '' : only this status; empty means all
-- param at DateTime = now : judge by the latest window that had begun by then
-- param last Interval = 7d : leave out whose latest window began longer before the newest of all, such as replaced versions
WITH of_each AS
(
    SELECT
        service_name, environment, model_name, model_version, segment,
        max(window_start) AS latest_start
    FROM ml_windows
    INNER JOIN ml_window_lengths USING (service_name, environment, model_name, model_version, segment)
    WHERE (dateDiff('second', window_start, window_end) = length OR window_end <= since)
        AND window_start <= {at:DateTime64(3, 'UTC')}
        AND ({model:String} = '' OR model_name = {model:String})
        AND ({version:String} = '' OR model_version = {version:String})
        AND ({service:String} = '' OR service_name = {service:String})
    GROUP BY service_name, environment, model_name, model_version, segment
),
latest AS
(
    SELECT * FROM of_each
    WHERE latest_start >= (SELECT max(latest_start) FROM of_each) - toIntervalSecond({last:UInt64})
)
SELECT
    w.model_name AS model_name,
    w.model_version AS model_version,
    d.series_kind AS series_kind,
    d.series_name AS series_name,
    if(d.status = '', w.status, d.status) AS status,
    if(d.status = 'drifted', d.severity, '') AS severity,
    if(d.status = '', w.reason, d.reason) AS reason,
    if(d.status = '', w.rows, d.rows) AS rows,
    d.effect AS effect,
    d.p_value AS p_value,
    d.psi AS psi,
    d.smallest_effect AS smallest_effect,
    d.reference_source AS reference_source,
    w.window_start AS window_start,
    w.window_end AS window_end,
    d.method AS method,
    d.threshold AS threshold,
    d.tolerance AS tolerance,
    w.segment AS segment,
    w.service_name AS service_name,
    w.environment AS environment
FROM
(
    SELECT * FROM ml_windows FINAL
    WHERE (service_name, environment, model_name, model_version, segment, window_start) IN (SELECT * FROM latest)
) AS w
LEFT JOIN
(
    SELECT * FROM ml_drift FINAL
    WHERE (service_name, environment, model_name, model_version, segment, window_start) IN (SELECT * FROM latest)
) AS d USING (service_name, environment, model_name, model_version, segment, window_start)
WHERE {status:String} = '' OR status = {status:String}
ORDER BY
    model_name, model_version, service_name, environment, segment,
    indexOf(['drifted', 'insufficient_data', 'no_reference', 'ok'], status),
    effect DESC NULLS LAST, series_kind, series_name
