-- title: References
-- description: The reference in force for each model and kind of series: where it comes from and how many rows it has.
-- param model String = '' : name of a model; empty means all
-- param version String = '' : version of the model; empty means all
-- param service String = '' : name of a service; empty means all
WITH
    models AS
    (
        SELECT DISTINCT model_name, model_version, service_name, environment
        FROM
        (
            SELECT model_name, model_version, service_name, environment FROM ml_models
            UNION ALL
            SELECT model_name, model_version, service_name, environment FROM ml_windows
        )
        WHERE ({model:String} = '' OR model_name = {model:String})
            AND ({version:String} = '' OR model_version = {version:String})
            AND ({service:String} = '' OR service_name = {service:String})
    ),
    candidates AS
    (
        SELECT
            model_name,
            reference_id,
            source,
            service_name AS for_service,
            environment AS for_environment,
            model_version AS for_version,
            series_kind,
            uniqExact(series_name) AS series,
            max(rows) AS reference_rows,
            max(created_at) AS created
        FROM ml_references FINAL
        WHERE {model:String} = '' OR model_name = {model:String}
        GROUP BY model_name, reference_id, source, for_service, for_environment, for_version, series_kind
    )
SELECT
    models.model_name AS model_name,
    models.model_version AS model_version,
    candidates.series_kind AS series_kind,
    candidates.source AS source,
    candidates.reference_rows AS reference_rows,
    candidates.series AS series,
    candidates.created AS created_at,
    candidates.reference_id AS reference_id,
    models.service_name AS service_name,
    models.environment AS environment
FROM models
INNER JOIN candidates ON models.model_name = candidates.model_name
WHERE if(source = 'first_predictions',
    for_version = models.model_version AND for_service = models.service_name AND for_environment = models.environment,
    for_version IN (models.model_version, ''))
ORDER BY
    model_name, model_version, service_name, environment, series_kind,
    source = 'first_predictions',
    source = 'fit',
    (for_version != '',
        multiIf(for_service = models.service_name, 2, for_service = '', 1, 0),
        multiIf(for_environment = models.environment, 2, for_environment = '', 1, 0)) DESC,
    if(source = 'first_predictions', -toFloat64(created), toFloat64(created)) DESC,
    if(source = 'first_predictions', '', candidates.reference_id) DESC, candidates.reference_id
LIMIT 1 BY model_name, model_version, service_name, environment, series_kind
