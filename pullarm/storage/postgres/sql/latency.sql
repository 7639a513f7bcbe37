-- minutes --
SELECT policy, minute AS bucket, calls, errors, over_100ms, over_120ms, sketch::text FROM serving_minute
WHERE experiment_id = $1 AND policy = ANY($2::smallint[]) AND minute >= $3 AND minute < $4;

-- hours --
-- Hours that are added up, and the minutes of the others.
SELECT policy, hour AS bucket, calls, errors, over_100ms, over_120ms, sketch::text FROM serving_hour
WHERE experiment_id = $1 AND policy = ANY($2::smallint[]) AND hour >= $3 AND hour < $4
UNION ALL
SELECT m.policy, missing.hour, m.calls, m.errors, m.over_100ms, m.over_120ms, m.sketch::text
FROM (
    SELECT policy, hour FROM unnest($2::smallint[]) AS policy CROSS JOIN generate_series($3::integer, $4::integer - 1) AS hour
    EXCEPT SELECT policy, hour FROM serving_hour WHERE experiment_id = $1
) AS missing
CROSS JOIN LATERAL (
    SELECT * FROM serving_minute
    WHERE experiment_id = $1 AND policy = missing.policy
      AND minute >= missing.hour * 60 AND minute < (missing.hour + 1) * 60
    OFFSET 0  -- by the index for each hour, however many the planner thinks there are
) AS m;

-- lock --
-- Whoever stores a minute of an hour that may be added up already holds the shared one.
SELECT pg_advisory_xact_lock(hashtext('serving_hour'));

-- add_up --
-- Some hours before the hour $1 that are not here.
WITH due AS MATERIALIZED (
    SELECT DISTINCT experiment_id, policy, minute / 60 AS hour FROM serving_minute
    WHERE minute < $1::integer * 60
    EXCEPT SELECT experiment_id, policy, hour FROM serving_hour
    LIMIT $2
), minutes AS MATERIALIZED (
    SELECT d.hour, m.* FROM due d
    JOIN serving_minute m ON m.experiment_id = d.experiment_id AND m.policy = d.policy
        AND m.minute >= d.hour * 60 AND m.minute < (d.hour + 1) * 60
), sketches AS (
    SELECT experiment_id, policy, hour, jsonb_object_agg(bucket, n) AS sketch FROM (
        SELECT experiment_id, policy, hour, bucket, sum(told::bigint) AS n
        FROM minutes, jsonb_each_text(sketch) AS counted (bucket, told)
        GROUP BY experiment_id, policy, hour, bucket
    ) AS summed
    GROUP BY experiment_id, policy, hour
)
INSERT INTO serving_hour
SELECT experiment_id, policy, hour, sum(calls), sum(errors), sum(over_100ms), sum(over_120ms), coalesce(s.sketch, '{}')
FROM minutes LEFT JOIN sketches s USING (experiment_id, policy, hour)
GROUP BY experiment_id, policy, hour, s.sketch;
