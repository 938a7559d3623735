-- title: Unmatched
-- description: What arrived and belongs to nothing: actuals and outcomes whose predictions are not stored, by model, and withdrawals of references that nobody had set.
-- param model String = '' : name of a model; empty means all
-- param service String = '' : name of a service; empty means all
-- param last Interval = 24h : what arrived within this time
-- param until DateTime = now : end of that time
WITH
    truth AS
    (
        SELECT 'actual' AS kind, model_name, service_name, prediction_id, '' AS name, inserted_at AS at FROM ml_actuals
        UNION ALL
        SELECT 'outcome', model_name, service_name, prediction_id, toString(name), inserted_at FROM ml_outcomes
        UNION ALL
        SELECT 'withdrawn reference', model_name, service_name, '', reference_id, withdrawn_at FROM ml_withdrawn_references FINAL
    ),
    arrived AS
    (
        SELECT * FROM truth
        WHERE at > {until:DateTime64(3, 'UTC')} - toIntervalSecond({last:UInt64}) AND at <= {until:DateTime64(3, 'UTC')}
            AND ({model:String} = '' OR model_name = {model:String})
            AND ({service:String} = '' OR service_name = {service:String})
    )
SELECT
    model_name,
    kind,
    name,
    count() AS rows,
    multiIf(
        model_name NOT IN (SELECT model_name FROM ml_predictions UNION DISTINCT SELECT model_name FROM ml_references),
        'nothing is stored of a model of this name',
        kind = 'withdrawn reference', 'no reference of this model has this identifier',
        'no prediction of this model has these identifiers') AS reason,
    any(prediction_id) AS example,
    max(at) AS last_received,
    service_name
FROM arrived
WHERE if(kind = 'withdrawn reference',
    (model_name, name) NOT IN (SELECT model_name, reference_id FROM ml_references),
    (model_name, prediction_id) NOT IN
    (
        SELECT model_name, prediction_id FROM ml_predictions
        WHERE model_name IN (SELECT model_name FROM arrived) AND prediction_id IN (SELECT prediction_id FROM arrived)
    ))
GROUP BY model_name, kind, name, service_name
ORDER BY last_received DESC, model_name, kind, name, service_name
