-- title: References
-- description: The references in force for each model and kind of series: where they come from, of which model and service, and for how many series each is the one.
-- param model String = '' : name of a model; empty means all
-- param version String = '' : version of the model; empty means all
-- param service String = '' : name of a service; empty means all
WITH
    (SELECT if(count() = 0, 100, argMax(value, since)) FROM ml_settings WHERE name = 'drift.min_rows') AS min_rows,
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
    arrivals AS
    (
        SELECT
            model_name, model_version, service_name, environment, reference_id, series_kind, min(arrived_at) AS arrived
        FROM ml_reference_arrivals
        GROUP BY model_name, model_version, service_name, environment, reference_id, series_kind
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
            series_name AS series,
            rows AS reference_rows,
            created_at AS created,
            arrivals.arrived AS arrived
        FROM
        (
            SELECT given.* FROM (SELECT * FROM ml_references FINAL) AS given
            LEFT JOIN (SELECT * FROM ml_withdrawn_references FINAL) AS withdrawn USING (model_name, reference_id)
            WHERE given.created_at > withdrawn.withdrawn_at
        ) AS ml_references
        LEFT JOIN arrivals USING (model_name, model_version, service_name, environment, reference_id, series_kind)
    ),
    matched AS
    (
        SELECT
            *,
            for_model = model_name AND if(reference_source IN ('first_predictions', 'provisional_predictions'),
                for_version = model_version AND for_service = service_name AND for_environment = environment,
                for_version IN (model_version, '')) AS is_named,
            ifNull(for_digest = learnt, 0) AND reference_source NOT IN ('first_predictions', 'provisional_predictions') AS is_same,
            multiIf(for_service = service_name, 2, for_service = '', 1, 0) AS near_service,
            multiIf(for_environment = environment, 2, for_environment = '', 1, 0) AS near_environment,
            multiIf(
                reference_source = 'first_predictions', 6,
                reference_source = 'provisional_predictions', 7,
                NOT is_named, 5,
                reference_source = 'fit', 4,
                near_service > 0 AND near_environment > 0, 1,
                for_version = '', 2,
                startsWith(model_version, 'fit-'), 4,
                3) AS rank,
            (for_service, for_environment, for_model, for_version) AS origin
        FROM models
        INNER JOIN candidates ON models.model_name = candidates.for_model OR models.learnt = candidates.for_digest
        WHERE is_named OR is_same
    ),
    aged AS
    (
        SELECT
            *,
            min(arrived) OVER (PARTITION BY model_name, model_version, service_name, environment, origin) AS since,
            min(if(rank <= 3, arrived, NULL))
                OVER (PARTITION BY model_name, model_version, service_name, environment) AS first_set,
            min(if(rank <= 4, arrived, NULL))
                OVER (PARTITION BY model_name, model_version, service_name, environment) AS first_named
        FROM matched
    ),
    ranked AS
    (
        SELECT
            *,
            min((since, origin))
                OVER (PARTITION BY model_name, model_version, service_name, environment, rank) AS first_of_rank
        FROM aged
    ),
    chosen AS
    (
        SELECT *
        FROM ranked
        WHERE rank NOT IN (4, 5)
            OR ((since, origin) = first_of_rank AND ifNull(since <= if(rank = 4, first_set, first_named), 1))
        ORDER BY
            model_name, model_version, service_name, environment, kind, series,
            reference_rows < min_rows AND rank < 6, rank,
            if(rank = 1, (for_version = '', -near_service, -near_environment), (0, 0, 0)),
            if(rank IN (2, 6, 7), (toDateTime64(0, 3, 'UTC'), ('', '', '', ''), 0), (since, origin, reference_source = 'fit')),
            if(rank >= 6, toFloat64(created), -toFloat64(created)),
            reference_id
        LIMIT 1 BY model_name, model_version, service_name, environment, kind, series
    )
SELECT
    model_name,
    model_version,
    kind AS series_kind,
    reference_source AS source,
    round(max(chosen.reference_rows), 3) AS reference_rows,
    count() AS series,
    max(created) AS created_at,
    reference_id,
    for_model AS set_for_model,
    for_version AS set_for_version,
    for_service AS set_by_service,
    for_environment AS set_in_environment,
    service_name,
    environment
FROM chosen
GROUP BY
    model_name, model_version, series_kind, source, reference_id, for_model, for_version, for_service, for_environment,
    service_name, environment
ORDER BY
    model_name, model_version, service_name, environment, series_kind, series DESC, reference_id, set_for_model,
    set_for_version, set_by_service, set_in_environment
