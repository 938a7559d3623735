-- title: References
-- description: The reference in force for each model and kind of series: where it comes from and how many rows it has.
-- param model String = '' : name of a model; empty means all
-- param version String = '' : version of the model; empty means all
-- param service String = '' : name of a service; empty means all
WITH
    models AS
    (
        SELECT model_name, model_version, service_name, environment, max(digest) AS learnt
        FROM
        (
            SELECT model_name, model_version, service_name, environment, model_digest AS digest FROM ml_models FINAL
            UNION ALL
            SELECT model_name, model_version, service_name, environment, NULL FROM ml_windows
        )
        WHERE ({model:String} = '' OR model_name = {model:String})
            AND ({version:String} = '' OR model_version = {version:String})
            AND ({service:String} = '' OR service_name = {service:String})
        GROUP BY model_name, model_version, service_name, environment
    ),
    candidates AS
    (
        SELECT
            reference_id,
            toString(source) AS reference_source,
            service_name AS for_service,
            environment AS for_environment,
            model_name AS for_model,
            model_version AS for_version,
            nullIf(model_digest, '') AS for_digest,
            series_kind AS kind,
            uniqExact(series_name) AS series,
            max(rows) AS reference_rows,
            max(created_at) AS created
        FROM ml_references FINAL
        GROUP BY
            reference_id, reference_source, for_service, for_environment, for_model, for_version, for_digest, kind
    ),
    matched AS
    (
        SELECT
            *,
            for_model = model_name AND if(reference_source IN ('first_predictions', 'provisional_predictions'),
                for_version = model_version AND for_service = service_name AND for_environment = environment,
                for_version IN (model_version, '')) AS is_named,
            ifNull(for_digest = learnt, 0) AS is_same,
            max(is_named AND reference_source NOT IN ('first_predictions', 'provisional_predictions'))
                OVER (PARTITION BY model_name, model_version, service_name, environment) AS any_named
        FROM models
        INNER JOIN candidates ON models.model_name = candidates.for_model OR models.learnt = candidates.for_digest
    )
SELECT
    model_name,
    model_version,
    kind AS series_kind,
    reference_source AS source,
    round(reference_rows, 3) AS reference_rows,
    series,
    created AS created_at,
    reference_id,
    service_name,
    environment
FROM matched
WHERE is_named OR (is_same AND NOT any_named)
ORDER BY
    model_name, model_version, service_name, environment, series_kind,
    indexOf(['first_predictions', 'provisional_predictions'], source),
    source = 'fit',
    (for_version != '',
        multiIf(for_service = service_name, 2, for_service = '', 1, 0),
        multiIf(for_environment = environment, 2, for_environment = '', 1, 0)) DESC,
    if(source IN ('first_predictions', 'provisional_predictions'), -toFloat64(created), toFloat64(created)) DESC,
    if(source IN ('first_predictions', 'provisional_predictions'), '', reference_id) DESC, reference_id
LIMIT 1 BY model_name, model_version, service_name, environment, series_kind
