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
        INNER JOIN ml_window_lengths USING (service_name, environment, model_name, model_version, segment)
        WHERE model_name = {model:String} AND series_kind = {kind:String} AND series_name = {feature:String}
            AND segment = '' AND window_start <= {at:DateTime64(3, 'UTC')}
            AND (dateDiff('second', window_start, window_end) = length OR window_end <= since)
            AND ({version:String} = '' OR model_version = {version:String})
            AND ({service:String} = '' OR service_name = {service:String})
        ORDER BY window_start DESC, weight DESC
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
            current.unseen AS unseen,
            current.weight AS weight,
            reference.source AS reference_source,
            arrayMap(
                cut -> if(abs(cut) >= 1e5 AND abs(cut) < 1e15, toString(round(cut, 3)), printf('%.6g', cut)),
                reference.cuts) AS shown,
            if(reference.series_type = 'numeric',
                arrayMap(i -> multiIf(
                    empty(reference.cuts), 'any',
                    i = 1, if(reference.cuts[1] < -8e307, '-infinity', concat('< ', shown[1])),
                    i > length(reference.cuts),
                        if(reference.cuts[-1] > 8e307, 'infinity', concat('>= ', shown[-1])),
                    reference.cuts[i - 1] < -8e307, concat('< ', shown[i]),
                    reference.cuts[i] > 8e307, concat('>= ', shown[i - 1]),
                    concat(shown[i - 1], ' to ', shown[i])),
                    arrayEnumerate(reference.counts)),
                arrayPushBack(reference.categories, '(unseen)')) AS names,
            arrayConcat(names, ['(text)', '(missing)']) AS labels,
            arrayConcat(reference.counts, [reference.text, reference.missing]) AS expected,
            arrayConcat(current.counts, [current.text, current.missing]) AS observed,
            -- The PSI of ml_drift, part by part: on groups of bins, of effective rows, each group with half a row more.
            arraySum(reference.counts) AS listed,
            if(reference.series_type = 'numeric',
                arrayMap((rows, before) -> if(listed > 0, least(9, floor((before - rows / 2) / listed * 10)), 0),
                    reference.counts, arrayCumSum(reference.counts)),
                arrayMap((rows, i) -> if(rows < 0.01 * listed AND i < length(reference.counts), 0, i),
                    reference.counts, arrayEnumerate(reference.counts))) AS own_groups,
            arrayConcat(arrayMap(g -> toInt64(g), own_groups), [toInt64(-2), toInt64(-1)]) AS groups,
            if(current.weight_squared > 0 AND arraySum(observed) > 0,
                pow(current.weight, 2) / current.weight_squared / arraySum(observed), 0) AS worth,
            arrayMap(g -> arraySum(arrayFilter((rows, other) -> other = g, expected, groups)), groups) AS of_group_before,
            arrayMap(g -> arraySum(arrayFilter((rows, other) -> other = g, observed, groups)) * worth, groups) AS of_group_now,
            arrayUniq(arrayFilter((g, before, now) -> before + now > 0, groups, of_group_before, of_group_now)) / 2 AS added,
            arrayMap(
                (g, e, o, before, now) -> if(before + now > 0 AND arraySum(expected) > 0 AND worth > 0,
                    ((o * worth + 0.5 / countEqual(groups, g)) / (arraySum(observed) * worth + added)
                        - (e + 0.5 / countEqual(groups, g)) / (arraySum(expected) + added))
                    * log((now + 0.5) / (arraySum(observed) * worth + added)
                        / ((before + 0.5) / (arraySum(expected) + added))), 0),
                groups, expected, observed, of_group_before, of_group_now) AS parts
        FROM current
        INNER JOIN reference USING (reference_id)
    )
SELECT
    number AS bin,
    label,
    expected_count / arraySum(expected) AS reference_share,
    observed_count / arraySum(observed) AS window_share,
    round(observed_count, 3) AS window_weight,
    part AS psi_part,
    if(label = '(unseen)' AND weight > 0,
        arrayStringConcat(arrayMap(
            pair -> concat(pair.1, ' (', toString(round(100 * pair.2 / weight, 2)), ' %)'),
            arraySort(pair -> (-pair.2, pair.1), CAST(unseen, 'Array(Tuple(String, Float64))'))), ', '), '') AS unseen_values,
    reference_source,
    model_version,
    window_start,
    window_end
FROM bins
ARRAY JOIN
    arrayEnumerate(labels) AS number, labels AS label, expected AS expected_count, observed AS observed_count, parts AS part
WHERE label NOT IN ('(text)', '(missing)') OR expected_count > 0 OR observed_count > 0
ORDER BY bin
