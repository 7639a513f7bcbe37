-- raise --
-- Unless the same was told since $7.
INSERT INTO alert (at, key, level, experiment_id, title, text)
SELECT $1, $2, $3, $4, $5, $6
WHERE NOT EXISTS (SELECT FROM alert a WHERE a.key = $2 AND a.at >= $7);

-- hand_out --
-- A delivery of each new alert for every channel that takes its level.
WITH fresh AS (
    UPDATE alert SET handed_out = true WHERE NOT handed_out RETURNING alert_no, level, at
)
INSERT INTO alert_delivery (alert_no, channel, next_at)
SELECT alert_no, channel, at FROM fresh JOIN unnest($1::text[], $2::text[]) AS takes (channel, level) USING (level);

-- due --
-- Nobody else has them until the transaction ends.
SELECT d.alert_no, d.attempts, a.at, a.key, a.level, a.experiment_id, a.title, a.text
FROM alert_delivery d JOIN alert a USING (alert_no)
WHERE d.channel = $1 AND d.next_at <= $2
ORDER BY d.alert_no LIMIT 1 FOR UPDATE OF d SKIP LOCKED;

-- delivered --
UPDATE alert_delivery SET delivered_at = $3, next_at = NULL, attempts = attempts + 1, problem = ''
WHERE alert_no = $1 AND channel = $2;

-- failed --
UPDATE alert_delivery SET attempts = attempts + 1, next_at = $3, problem = $4 WHERE alert_no = $1 AND channel = $2;
