-- due --
-- Experiments with folds that were not looked through, or decisions that are not in the sums.
SELECT f.experiment_id FROM fold_head f
LEFT JOIN arm_rate_head a USING (experiment_id) LEFT JOIN statistics_head s USING (experiment_id)
WHERE f.fold_no > coalesce(a.fold_no, 0) OR uid_floor(s.last_at) >= a.next_uid
ORDER BY f.experiment_id;

-- try_lock --
-- One owner for each experiment, until the transaction ends; 27 is this lock's class.
SELECT pg_try_advisory_xact_lock(27, $1);

-- prepare --
-- A plan for any keys would not know how few partitions a page touches.
SET LOCAL plan_cache_mode = force_custom_plan;
SET LOCAL jit = off;

-- head --
SELECT h.next_uid, h.fold_no, h.mature_before FROM arm_rate_head h WHERE experiment_id = $1;

-- fold_no --
SELECT fold_no FROM fold_head WHERE experiment_id = $1;

-- window_hours --
-- The longest of the versions that decisions from this moment on, or rewards of them, may have met.
SELECT max(hours) FROM (
    SELECT (spec -> 'reward' ->> 'window_hours')::float AS hours, state, lead(at) OVER (ORDER BY config_no) AS until
    FROM experiment_revision WHERE experiment_id = $1
) AS version WHERE state <> 'draft' AND (until IS NULL OR until > $2);

-- workable --
-- When the first publication was made whose posterior can be worked out, and all later ones'; NULL where all can be. Serving
-- goes on with one before for a moment.
SELECT coalesce(
    (SELECT as_of FROM publication p WHERE p.experiment_id = h.experiment_id AND p.fold_no >= h.fold_no
     ORDER BY pub_no LIMIT 1),
    (SELECT max(as_of) FROM publication p WHERE p.experiment_id = h.experiment_id)
) + interval '1 hour'
FROM past_horizon h WHERE experiment_id = $1;

-- rebuilt --
SELECT EXISTS (
    SELECT FROM fold_log WHERE experiment_id = $1 AND fold_no > $2 AND fold_no <= $3 AND rebuild_no IS NOT NULL
);

-- late --
-- Of the decisions before $4 that the folds after $2 up to $3 changed, the first: that they brought, completed, voided or
-- rewarded, and the other tries of their requests, one of which counts. No try comes after the day of $4, which ends at $5.
WITH folds AS MATERIALIZED (
    SELECT batch_no FROM fold_log WHERE experiment_id = $1 AND fold_no > $2 AND fold_no <= $3
), span AS MATERIALIZED (
    SELECT min(batch_no) AS first, max(batch_no) AS last FROM folds
), touched AS MATERIALIZED (
    SELECT uid FROM decision
    WHERE experiment_id = $1 AND batch_no BETWEEN (SELECT first FROM span) AND (SELECT last FROM span)
      AND batch_no IN (SELECT batch_no FROM folds) AND uid < $5
    UNION
    SELECT uid FROM decision
    WHERE experiment_id = $1 AND completed_batch BETWEEN (SELECT first FROM span) AND (SELECT last FROM span)
      AND completed_batch IN (SELECT batch_no FROM folds) AND uid < $5
    UNION
    SELECT uid FROM decision
    WHERE experiment_id = $1 AND voided_batch BETWEEN (SELECT first FROM span) AND (SELECT last FROM span)
      AND voided_batch IN (SELECT batch_no FROM folds) AND uid < $5
    UNION
    SELECT uid FROM reward
    WHERE experiment_id = $1 AND batch_no BETWEEN (SELECT first FROM span) AND (SELECT last FROM span)
      AND batch_no IN (SELECT batch_no FROM folds) AND status = 1 AND uid < $5
)
SELECT uid FROM (
    SELECT uid FROM touched WHERE uid < $4
    UNION ALL
    SELECT o.uid
    FROM touched JOIN decision d ON d.uid = touched.uid AND d.request_id <> ''
    CROSS JOIN LATERAL (
        SELECT uid FROM decision t
        WHERE t.unit_hash = d.unit_hash AND t.request_id = d.request_id AND t.request_id <> '' AND t.experiment_id = $1
          AND t.uid >= uid_floor(date_trunc('day', d.decided_at, 'UTC')) AND t.uid < $4
        OFFSET 0  -- by the index for each request, however few rows the planner thinks there are
    ) AS o
) AS changed ORDER BY uid LIMIT 1;

-- page --
-- The next decisions that a policy made and that stand, by uid: of the tries of a request on one day (UTC), the last. A
-- decision of which only rewards have come is not known yet.
WITH page AS MATERIALIZED (
    SELECT uid, decided_at, allocation_epoch, acting, arms[1] AS arm_no, weights[1] AS weight, totals[1] AS total, pub_no,
           kernel, candidates, candidates_hash, all_arms, unit_hash, request_id, batch_no, voided, voided_batch
    FROM decision
    WHERE experiment_id = $1 AND uid >= $2 AND uid < $3 AND acting > 0 AND NOT stub AND arms <> '{}'
    ORDER BY uid LIMIT $4
)
SELECT p.uid, p.allocation_epoch, p.acting, p.arm_no, p.weight, p.total, p.pub_no, p.kernel, p.candidates,
       p.candidates_hash, p.all_arms, back.it OR EXISTS (
           SELECT FROM (
               SELECT * FROM decision t
               WHERE p.request_id <> '' AND t.unit_hash = p.unit_hash AND t.request_id = p.request_id
                 AND t.request_id <> '' AND t.experiment_id = $1 AND t.uid > p.uid
                 AND t.uid < uid_floor(date_trunc('day', p.decided_at, 'UTC') + interval '24 hours')
               OFFSET 0
           ) AS t
           CROSS JOIN LATERAL taken_back(NULL, $1, t.decided_at, t.batch_no, t.voided, t.voided_batch) AS later
           WHERE t.acting > 0 AND NOT later.it
             AND (e.exposure <> 'confirmed' OR EXISTS (SELECT FROM worth_at(NULL) w WHERE w.uid = t.uid AND w.confirms))
       ) AS taken_back
FROM page p JOIN experiment e ON e.experiment_id = $1
CROSS JOIN LATERAL taken_back(NULL, $1, p.decided_at, p.batch_no, p.voided, p.voided_batch) AS back
ORDER BY p.uid;

-- earned --
-- What these decisions' first slots earned; and whether they were shown, where that has to be confirmed.
SELECT uid, coalesce(max(credit) FILTER (WHERE feeds), 0) AS credit, bool_or(confirms) AS shown
FROM worth_at(NULL)
WHERE uid = ANY($2::uuid[]) AND experiment_id = $1 AND slot = 1
GROUP BY uid;

-- confirmed --
SELECT exposure = 'confirmed' FROM experiment WHERE experiment_id = $1;

-- sums --
-- Of these cells, up to the end of this day.
SELECT k.place, r.offered, r.served, r.rewarded, r.credit, r.h, r.hg, r.hh, r.hhg, r.hhgg
FROM unnest($2::integer[], $3::smallint[], $4::integer[]) WITH ORDINALITY AS k (allocation_epoch, policy, arm_no, place)
CROSS JOIN LATERAL (
    SELECT * FROM arm_rate a
    WHERE (a.experiment_id, a.allocation_epoch, a.policy, a.arm_no) = ($1, k.allocation_epoch, k.policy, k.arm_no)
      AND a.day <= $5
    ORDER BY a.day DESC LIMIT 1
) AS r;

-- set_sums --
INSERT INTO arm_rate
SELECT $1, * FROM unnest($2::integer[], $3::smallint[], $4::integer[], $5::integer[], $6::bigint[], $7::bigint[],
    $8::bigint[], $9::bigint[], $10::float8[], $11::float8[], $12::float8[], $13::float8[], $14::float8[])
ON CONFLICT (experiment_id, allocation_epoch, policy, arm_no, day) DO UPDATE SET
    offered = excluded.offered, served = excluded.served, rewarded = excluded.rewarded, credit = excluded.credit,
    h = excluded.h, hg = excluded.hg, hh = excluded.hh, hhg = excluded.hhg, hhgg = excluded.hhgg;

-- add_day --
INSERT INTO arm_rate_day AS d VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (experiment_id, day) DO UPDATE SET
    counted = d.counted + excluded.counted, hashed = d.hashed + excluded.hashed,
    other_kernel = d.other_kernel + excluded.other_kernel, unpublished = d.unpublished + excluded.unpublished,
    differing = d.differing + excluded.differing;

-- set_head --
INSERT INTO arm_rate_head (experiment_id, next_uid, fold_no, mature_before) VALUES ($1, $2, $3, $4)
ON CONFLICT (experiment_id) DO UPDATE SET
    next_uid = excluded.next_uid, fold_no = excluded.fold_no, mature_before = excluded.mature_before;

-- forget --
-- This day and all later ones: the sums before it are those up to its beginning.
WITH days AS (DELETE FROM arm_rate_day WHERE experiment_id = $1 AND day >= $2)
DELETE FROM arm_rate WHERE experiment_id = $1 AND day >= $2;

-- stored --
SELECT * FROM arm_rate WHERE experiment_id = $1 AND day >= $2 ORDER BY day, allocation_epoch, policy, arm_no;

-- stored_days --
SELECT * FROM arm_rate_day WHERE experiment_id = $1 AND day >= $2 ORDER BY day;

-- newest --
-- The last day of each, as columns, packed, whose rows are in no order. All descending is the index backwards: nothing is sorted.
SELECT array_send(array_agg(allocation_epoch)) AS allocation_epoch, array_send(array_agg(policy)) AS policy,
       array_send(array_agg(arm_no)) AS arm_no, array_send(array_agg(offered)) AS offered,
       array_send(array_agg(served)) AS served, array_send(array_agg(rewarded)) AS rewarded,
       array_send(array_agg(credit)) AS credit, array_send(array_agg(h)) AS h, array_send(array_agg(hg)) AS hg,
       array_send(array_agg(hh)) AS hh, array_send(array_agg(hhg)) AS hhg, array_send(array_agg(hhgg)) AS hhgg
FROM (
    SELECT DISTINCT ON (allocation_epoch, policy, arm_no) * FROM arm_rate
    WHERE experiment_id = $1 ORDER BY allocation_epoch DESC, policy DESC, arm_no DESC, day DESC
) AS newest;

-- days --
SELECT coalesce(sum(counted), 0)::bigint AS counted, coalesce(sum(hashed), 0)::bigint AS hashed,
       coalesce(sum(other_kernel), 0)::bigint AS other_kernel, coalesce(sum(unpublished), 0)::bigint AS unpublished,
       coalesce(sum(differing), 0)::bigint AS differing
FROM arm_rate_day WHERE experiment_id = $1;
