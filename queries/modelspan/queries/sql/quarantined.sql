-- title: Quarantined
-- description: Requests that could not be stored whole, the newest first: what is missing of each, why, and whether to send it again.
-- param last Interval = 30d : length of the period
-- param until DateTime = now : end of the period
WITH
    {until:DateTime64(3, 'UTC')} AS period_end,
    period_end - toIntervalSecond({last:UInt64}) AS period_start
SELECT
    q.time AS time,
    q.`file` AS `file`,
    q.signal AS signal,
    multiIf(q.`table` = '', 'all of it', q.rows = 0, concat('rows of ', q.`table`),
        concat(toString(q.rows), if(q.rows = 1, ' row of ', ' rows of '), q.`table`)) AS not_stored,
    q.reason AS reason,
    if(q.`table` = '', 'send it again once the cause is gone', 'the rest is stored: sent again, it would be there twice, or be recognised and left out') AS advice
FROM ml_quarantined AS q
WHERE q.time >= period_start AND q.time <= period_end
ORDER BY time DESC, `file`
