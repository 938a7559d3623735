-- title: Quarantined
-- description: Requests that could not be stored whole, the newest first: what is missing of each, why, and whether to send it again.
-- param limit UInt = 100 : how many
SELECT
    q.time AS time,
    q.file AS request,
    q.signal AS signal,
    multiIf(
        q.table = '', 'all of it',
        q.rows = 0, concat('rows of ', q.table),
        concat(toString(q.rows), if(q.rows = 1, ' row of ', ' rows of '), q.table)) AS not_stored,
    q.reason AS reason,
    if(q.table = '', 'send it again once the cause is gone',
        'its other rows are stored: sent again, they would be there twice, or all of it be left out as repeated') AS advice
FROM ml_quarantined AS q
ORDER BY time DESC, request
LIMIT {limit:UInt64}
