-- prepare --
SET LOCAL jit = off;

-- sums --
-- By policy and cohort, the sums of every group over some stretches of buckets; of these cohorts or (NULL) of each. They are
-- added up as floating point, which is exact up to 2^53 (nine thousand million rewards of a group), and much faster.
SELECT policy, cohort, array_agg(grp) AS groups, array_agg(m) AS m, array_agg(c) AS c
FROM (
    SELECT policy, cohort, stripe * 25 + place - 1 AS grp, sum(cell.m::float8)::bigint AS m,
           sum(cell.c::float8)::bigint AS c
    FROM unnest($2::smallint[], $3::integer[], $4::integer[]) AS stretch (hours, first, until)
    CROSS JOIN LATERAL (
        SELECT * FROM user_group
        WHERE experiment_id = $1 AND hours = stretch.hours AND bucket >= first AND bucket < until
          AND CASE WHEN $5::integer[] IS NULL THEN cohort >= 0 ELSE cohort = ANY($5::integer[]) END
        OFFSET 0  -- by the index for each stretch, however few the planner thinks there are
    ) AS g
    CROSS JOIN LATERAL unnest(g.m, g.c) WITH ORDINALITY AS cell (m, c, place)
    GROUP BY policy, cohort, grp
) AS summed
GROUP BY policy, cohort;

-- series --
-- Each bucket of a stretch by policy, of one cohort: by the index for each, which has the other cohorts in between. As bytes,
-- because a client takes longer to read half a million numbers than the server to find them.
SELECT bucket, policy, g.stripe, array_send(g.m) AS m, array_send(g.c) AS c
FROM generate_series($3::integer, $4::integer - 1) AS bucket
CROSS JOIN unnest($5::smallint[]) AS policy
CROSS JOIN LATERAL (
    SELECT stripe, m, c FROM user_group AS u
    WHERE u.experiment_id = $1 AND u.hours = $2::smallint AND u.bucket = bucket.bucket AND u.policy = policy.policy
      AND u.cohort = $6
    OFFSET 0
) AS g;
