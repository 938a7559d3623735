-- title: Verdict history
-- description: Every verdict that was given on each window, those that were replaced too: what it said, on which reference, and why it was replaced.
-- param model String = '' : name of a model; empty means all
-- param version String = '' : version of the model; empty means all
-- param service String = '' : name of a service; empty means all
-- param window DateTime = 1970-01-01 : a moment within the window; 1970-01-01 means every window with a replaced verdict
WITH
    given AS
    (
        SELECT
            service_name, environment, model_name, model_version, segment, window_start, window_end, computed_at,
            CAST(replaced_at, 'Nullable(DateTime64(3, \'UTC\'))') AS replaced_at,
            replaced_because, status, drifted, reason, rows, reference_id
        FROM ml_replaced_verdicts FINAL
        UNION ALL
        SELECT
            service_name, environment, model_name, model_version, segment, window_start, window_end, computed_at,
            NULL, '', status, drifted, reason, rows, reference_id
        FROM ml_windows FINAL
    )
SELECT
    window_start,
    model_name,
    model_version,
    status,
    drifted,
    reason,
    rows,
    reference_id,
    computed_at,
    replaced_at,
    replaced_because,
    window_end,
    service_name,
    environment,
    segment
FROM given
WHERE ({model:String} = '' OR model_name = {model:String})
    AND ({version:String} = '' OR model_version = {version:String})
    AND ({service:String} = '' OR service_name = {service:String})
    AND if({window:DateTime64(3, 'UTC')} > toDateTime64(0, 3, 'UTC'),
        window_start <= {window:DateTime64(3, 'UTC')} AND window_end > {window:DateTime64(3, 'UTC')},
        (service_name, environment, model_name, model_version, segment, window_start) IN
        (
            SELECT service_name, environment, model_name, model_version, segment, window_start FROM ml_replaced_verdicts
        ))
ORDER BY window_start, model_name, model_version, service_name, environment, segment, computed_at
