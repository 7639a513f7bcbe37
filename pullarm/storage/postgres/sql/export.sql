-- prepare --
-- A plan for any keys would not know how few partitions a page touches.
SET LOCAL plan_cache_mode = force_custom_plan;
SET LOCAL jit = off;

-- page --
-- The next decisions by uid. Stubs are left out: nothing is known of their draw yet.
SELECT uid, decided_at, allocation_epoch, config_no, pub_no, kernel, unit, bucket, assigned, acting, reason, arms,
       weights, totals, candidates, candidates_hash, all_arms, attributes, request_id, voided,
       EXISTS (SELECT FROM decision_excluded(NULL, experiment_id, decided_at, batch_no)) AS excluded
FROM decision
WHERE experiment_id = $1 AND uid >= $2 AND uid < $3 AND NOT stub
  AND ($5::smallint IS NULL OR assigned = $5) AND ($6::integer[] IS NULL OR arms && $6)
  AND ($7::integer IS NULL OR cohort = $7) AND ($8::smallint IS NULL OR bucket = $8)
ORDER BY uid LIMIT $4;

-- credits --
-- What the rewards of these decisions came to; which of them count is told in pullarm/domain/credit.py.
SELECT c.uid, c.slot, c.kind, c.value, c.booked, count(r.uid) AS count, min(r.occurred_at) AS first_at,
       max(r.occurred_at) AS last_at, max(r.received_at) AS received_at
FROM credit c
LEFT JOIN (
    SELECT uid, slot, kind, occurred_at, received_at,
           NOT bool_or(retract) OVER same AND row_number() OVER (same ORDER BY reward_uid) = 1 AS counts
    FROM reward
    WHERE uid = ANY($1::uuid[]) AND experiment_id = $2 AND status = 1
      AND NOT EXISTS (SELECT FROM reward_excluded(NULL, experiment_id, source, received_at, batch_no))
    WINDOW same AS (PARTITION BY uid, slot, kind, reward_id)
) AS r ON r.counts AND (r.uid, r.slot, r.kind) = (c.uid, c.slot, c.kind)
WHERE c.uid = ANY($1::uuid[])
GROUP BY c.uid, c.slot, c.kind;

-- arms --
SELECT arm_no, arm_id, config_no FROM arm WHERE experiment_id = $1 ORDER BY arm_no;

-- statuses --
SELECT config_no, arm_no, status FROM arm_status WHERE experiment_id = $1 ORDER BY config_no;

-- revisions --
SELECT config_no, spec FROM experiment_revision WHERE experiment_id = $1 ORDER BY config_no;
