-- due --
-- What is owed: experiments that are guarded and have no check since $1, beside the first minute of their guard epoch. All
-- guardrails are checked at once, so one of them ($3) tells of all.
SELECT e.experiment_id, e.guard_epoch, from_minute
FROM experiment e CROSS JOIN LATERAL guarded_from(e.experiment_id, e.guard_epoch) AS from_minute
WHERE e.state IN ('running', 'shipped') AND from_minute <= $2
  AND NOT EXISTS (SELECT FROM guard_check c WHERE c.experiment_id = e.experiment_id AND c.guardrail = $3 AND c.due_at >= $1)
ORDER BY e.experiment_id;

-- last_hour --
-- The newest hour that is put together; what was under other thresholds of latency is not.
WITH gone AS (
    DELETE FROM guard_hour
    WHERE (experiment_id, guard_epoch) = ($1, $2) AND (warning_ms, limit_ms) <> ($3, $4)
)
SELECT max(hour) FROM guard_hour
WHERE (experiment_id, guard_epoch) = ($1, $2) AND (warning_ms, limit_ms) = ($3, $4);

-- add_hours --
-- From the minutes [$5, $6); buckets above $9 and $10 are slower than the thresholds.
INSERT INTO guard_hour
SELECT $1::integer, $2::integer, policy, (minute - $4::integer) / 60, $7::double precision, $8::double precision,
       sum(calls), sum(errors), max(errors), sum(over_warning),
       max(over_warning), sum(over_limit), max(over_limit), sum(rewards), sum(refused), max(refused)
FROM (
    SELECT policy, minute, sum(calls) AS calls, sum(errors) AS errors, sum(rewards) AS rewards,
           sum(CASE $7::double precision WHEN 100 THEN over_100ms WHEN 120 THEN over_120ms
               ELSE slower_than(sketch, $9::integer) END) AS over_warning,
           sum(CASE $8::double precision WHEN 100 THEN over_100ms WHEN 120 THEN over_120ms
               ELSE slower_than(sketch, $10::integer) END) AS over_limit,
           sum(CASE WHEN refused = '{}' THEN 0 ELSE (SELECT sum(told::bigint) FROM jsonb_each_text(refused) AS r (s, told))
               END) AS refused
    FROM serving_minute
    WHERE experiment_id = $1 AND policy = ANY($3::smallint[]) AND minute >= $5::integer AND minute < $6::integer
    GROUP BY policy, minute
) AS by_minute
GROUP BY policy, (minute - $4::integer) / 60
ON CONFLICT (experiment_id, guard_epoch, policy, hour) DO UPDATE SET
    calls = excluded.calls, errors = excluded.errors, worst_errors = excluded.worst_errors,
    over_warning = excluded.over_warning, worst_over_warning = excluded.worst_over_warning,
    over_limit = excluded.over_limit, worst_over_limit = excluded.worst_over_limit, rewards = excluded.rewards,
    refused = excluded.refused, worst_refused = excluded.worst_refused;

-- hours --
-- Of one period, whose first hour is $3 and whose last $4.
SELECT policy, hour - $3 AS place, calls, errors, worst_errors, over_warning, worst_over_warning, over_limit,
       worst_over_limit, rewards, refused, worst_refused
FROM guard_hour WHERE experiment_id = $1 AND guard_epoch = $2 AND hour BETWEEN $3 AND $4;

-- latencies --
-- Of the minutes [$3, $4), as counts of a sketch.
SELECT policy, bucket::integer AS bucket, sum(told::bigint)::bigint AS n
FROM serving_minute, jsonb_each_text(sketch) AS counted (bucket, told)
WHERE experiment_id = $1 AND policy = ANY($2::smallint[]) AND minute >= $3 AND minute < $4
GROUP BY 1, 2;

-- last_heard --
-- The last minute from $3 on, and before $4, that serving told of.
SELECT max(newest.minute) FROM unnest($2::smallint[]) AS of (policy) CROSS JOIN LATERAL (
    SELECT minute FROM serving_minute m
    WHERE m.experiment_id = $1 AND m.policy = of.policy AND m.minute >= $3 AND m.minute < $4
    ORDER BY minute DESC LIMIT 1
) AS newest;

-- sums --
SELECT policy, place, n, m, c, mm, cc, mc FROM guard_sums JOIN guard_start USING (experiment_id, start_no)
WHERE experiment_id = $1 AND guard_epoch = $2 AND period = $3;

-- first_exposures --
-- Users whose first exposure was in this allocation epoch, by the policy they were shown.
SELECT DISTINCT ON (policy) policy, fresh FROM user_sums
WHERE experiment_id = $1 AND allocation_epoch = $2 ORDER BY policy, day DESC;

-- draws --
SELECT policy, sum(n)::bigint AS n, sum(x) AS x, sum(xx) AS xx
FROM guard_draws JOIN guard_start USING (experiment_id, start_no)
WHERE experiment_id = $1 AND guard_epoch = $2 AND period = $3 GROUP BY policy;

-- arms --
-- First slots since an hour.
SELECT policy, item AS arm_no, sum(serves)::bigint AS serves FROM rollup
WHERE experiment_id = $1 AND marginal = 4 AND bucket >= $2 AND slot_group = 0 AND item > 0
GROUP BY policy, item HAVING sum(serves) > 0 ORDER BY policy, item;

-- posterior --
SELECT policy, arm_no, sum(n)::bigint AS n, sum(s)::bigint AS s FROM posterior
WHERE experiment_id = $1 GROUP BY policy, arm_no;

-- behind_since --
-- Since when folds wait for the statistics; NULL where none does.
SELECT committed_at FROM fold_log
WHERE experiment_id = $1
  AND fold_no > coalesce((SELECT fold_no FROM statistics_head WHERE experiment_id = $1), 0)
ORDER BY fold_no LIMIT 1;

-- add_checks --
-- Of one time; none where it has been checked.
INSERT INTO guard_check (experiment_id, guardrail, due_at, checked_at, guard_epoch, verdict, content)
SELECT $1, guardrail, $2, $3, $4, verdict, content
FROM unnest($5::text[], $6::text[], $7::jsonb[]) AS told (guardrail, verdict, content)
ON CONFLICT DO NOTHING RETURNING guardrail;

-- latest --
-- The newest check of each guardrail.
SELECT newest.* FROM unnest($2::text[]) WITH ORDINALITY AS of (guardrail, place) CROSS JOIN LATERAL (
    SELECT guardrail, due_at, checked_at, guard_epoch, content FROM guard_check c
    WHERE c.experiment_id = $1 AND c.guardrail = of.guardrail ORDER BY due_at DESC LIMIT 1
) AS newest ORDER BY of.place;

-- recent --
-- What the checks of a guard epoch since $3 came to, newest first.
SELECT c.guardrail, c.verdict, c.due_at FROM unnest($4::text[]) AS of (guardrail) CROSS JOIN LATERAL (
    SELECT * FROM guard_check g
    WHERE g.experiment_id = $1 AND g.guardrail = of.guardrail AND g.due_at >= $3 AND g.guard_epoch = $2
) AS c ORDER BY c.due_at DESC;

-- states --
-- The verdicts of experiments that are guarded.
SELECT e.id, newest.guardrail, newest.verdict FROM experiment e
CROSS JOIN unnest($1::text[]) AS of (guardrail) CROSS JOIN LATERAL (
    SELECT guardrail, verdict FROM guard_check c
    WHERE c.experiment_id = e.experiment_id AND c.guardrail = of.guardrail ORDER BY due_at DESC LIMIT 1
) AS newest
WHERE e.state IN ('running', 'shipped') ORDER BY e.experiment_id, of.guardrail;

-- history --
SELECT guardrail, due_at, checked_at, guard_epoch, content FROM guard_check
WHERE experiment_id = $1 AND guardrail = $2 AND ($3::timestamptz IS NULL OR due_at < $3)
ORDER BY due_at DESC LIMIT $4;

-- forget --
-- The checks before $1, but for the newest of each guardrail.
DELETE FROM guard_check c USING (
    SELECT e.experiment_id, of.guardrail, (
        SELECT max(due_at) FROM guard_check n WHERE n.experiment_id = e.experiment_id AND n.guardrail = of.guardrail) AS newest
    FROM experiment e CROSS JOIN unnest($2::text[]) AS of (guardrail)
) AS kept
WHERE c.experiment_id = kept.experiment_id AND c.guardrail = kept.guardrail AND c.due_at < least($1, kept.newest);

-- add_rollback --
INSERT INTO guard_rollback (experiment_id, guard_epoch, at, stopped, reason, evidence, recheck_at)
VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING RETURNING true;

-- rollbacks --
SELECT guard_epoch, at, stopped, reason, evidence, recheck_at, confirmed FROM guard_rollback
WHERE experiment_id = $1 ORDER BY at DESC;

-- count_rollbacks --
-- In earlier guard epochs; what matured rewards did not confirm does not count.
SELECT count(*) FROM guard_rollback WHERE experiment_id = $1 AND guard_epoch < $2 AND confirmed IS NOT false;

-- rechecks --
SELECT experiment_id, guard_epoch, at, guarded_from(experiment_id, guard_epoch) AS from_minute FROM guard_rollback
WHERE recheck_at <= $1 AND confirmed IS NULL ORDER BY at;

-- confirm --
UPDATE guard_rollback SET confirmed = $3 WHERE experiment_id = $1 AND guard_epoch = $2 AND confirmed IS NULL
RETURNING true;
