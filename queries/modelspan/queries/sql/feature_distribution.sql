-- title: Feature distribution
-- description: One series of a model in a window, bin by bin, beside its reference.
-- param model String : name of the model
-- param feature String = '' : name of the feature; empty for a label, score or value
-- param kind String(feature, label, score, value) = 'feature' : kind of series
-- param version String = '' : version of the model; empty means any
-- param service String = '' : name of the service; empty means any
-- param at DateTime = now : the latest window that had begun by then
WITH
    current AS
    (
        SELECT *
        FROM ml_feature_windows FINAL
        WHERE model_name = {model:String} AND series_kind = {kind:String} AND series_name = {feature:String}
            AND segment = '' AND window_start <= {at:DateTime64(3, 'UTC')}
            AND ({version:String} = '' OR model_version = {version:String})
            AND ({service:String} = '' OR service_name = {service:String})
            AND window_start IN
            (
                SELECT max(window_start) FROM ml_feature_windows
                WHERE model_name = {model:String} AND series_kind = {kind:String} AND series_name = {feature:String}
                    AND segment = '' AND window_start <= {at:DateTime64(3, 'UTC')}
                    AND ({version:String} = '' OR model_version = {version:String})
                    AND ({service:String} = '' OR service_name = {service:String})
            )
        ORDER BY weight DESC
        LIMIT 1
    ),
    reference AS
    (
        SELECT reference_id, source, series_type, cuts, categories, counts, missing, text
        FROM ml_references FINAL
        WHERE series_kind = {kind:String} AND series_name = {feature:String}
            AND reference_id IN (SELECT reference_id FROM current)
        ORDER BY
            model_name = {model:String} DESC,
            model_digest IN (SELECT assumeNotNull(model_digest) FROM ml_models FINAL WHERE model_name = {model:String}) DESC
        LIMIT 1
    ),
    bins AS
    (
        SELECT
            current.window_start AS window_start,
            current.window_end AS window_end,
            current.model_version AS model_version,
            reference.source AS reference_source,
            if(reference.series_type = 'numeric',
                arrayMap(i -> multiIf(
                    empty(reference.cuts), 'any',
                    i = 1, printf('< %.6g', reference.cuts[1]),
                    i > length(reference.cuts), printf('>= %.6g', reference.cuts[-1]),
                    printf('%.6g to %.6g', reference.cuts[i - 1], reference.cuts[i])),
                    arrayEnumerate(reference.counts)),
                arrayPushBack(reference.categories, '(unseen)')) AS names,
            arrayConcat(names, ['(text)', '(missing)']) AS labels,
            arrayConcat(reference.counts, [reference.text, reference.missing]) AS expected,
            arrayConcat(current.counts, [current.text, current.missing]) AS observed
        FROM current
        INNER JOIN reference USING (reference_id)
    )
SELECT
    number AS bin,
    label,
    expected_count / arraySum(expected) AS reference_share,
    observed_count / arraySum(observed) AS window_share,
    round(observed_count, 3) AS window_weight,
    if(reference_share > 0 AND window_share > 0,
        (window_share - reference_share) * log(window_share / reference_share), NULL) AS psi_part,
    reference_source,
    model_version,
    window_start,
    window_end
FROM bins
ARRAY JOIN arrayEnumerate(labels) AS number, labels AS label, expected AS expected_count, observed AS observed_count
WHERE label NOT IN ('(text)', '(missing)') OR expected_count > 0 OR observed_count > 0
ORDER BY bin
