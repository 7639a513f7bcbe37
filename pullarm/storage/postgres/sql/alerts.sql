-- raise --
-- Unless the same was told since $7; with a delivery for each channel.
WITH fresh AS (
    INSERT INTO alert (at, key, level, experiment_id, title, text)
    SELECT $1, $2, $3, $4, $5, $6
    WHERE NOT EXISTS (SELECT FROM alert a WHERE a.key = $2 AND a.at > $7)
    RETURNING alert_no
)
INSERT INTO alert_delivery (alert_no, channel, next_at)
SELECT alert_no, channel, $1 FROM fresh, unnest($8::text[]) AS channel;

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
